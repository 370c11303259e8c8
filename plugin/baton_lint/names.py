"""What names and expressions of a file stand for, across imports, re-exports and aliases."""

from __future__ import annotations

import builtins
from dataclasses import replace
from typing import Final

from baton_lint.expressions import Expression, Span, chain
from baton_lint.facts import Binding, FileFacts
from baton_lint.project import Module, Project
from baton_lint.values import (
    AliasValue,
    ClassValue,
    ConstantValue,
    External,
    FlowValue,
    FunctionValue,
    ItemsValue,
    Keyword,
    ModuleValue,
    NewTypeValue,
    ParameterValue,
    StepMaker,
    StepValue,
    TextValue,
    TypeVariable,
    Unknown,
    Value,
    rebound,
)

BATON: Final = "baton_dsl"

OURS: Final = {
    f"{module}.{name}": name
    for name, modules in {
        "step": (BATON, f"{BATON}.step"),
        "From": (BATON, f"{BATON}.step"),
        "Input": (BATON, f"{BATON}.step"),
        "InputMarker": (f"{BATON}.step",),
        "Each": (BATON, f"{BATON}.step"),
        "EachMarker": (f"{BATON}.step",),
        "Flow": (BATON, f"{BATON}.flow"),
        "StepContext": (BATON, f"{BATON}.context"),
        "Skip": (BATON, f"{BATON}.context"),
        "Outcome": (BATON, f"{BATON}.outcome"),
    }.items()
    for module in modules
}
"""Full names of what we give to users, to what it is."""

MOST_HOPS: Final = 60
"""Names for names that are followed."""

_BUILTINS: Final = {name: External(f"builtins.{name}") for name in dir(builtins)}
_CIRCULAR: Final = Unknown("it is defined in terms of itself")


def ours(value: Value) -> str | None:
    """Which of our names a value is, or None."""
    return OURS.get(value.name) if isinstance(value, External) else None


class Names:
    """Resolves the names of a project.

    Args:
        project: Where modules lie.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self._names: dict[tuple[str, int, str], Value] = {}
        self._functions: dict[tuple[str, int], Value] = {}
        self._searching: set[tuple[str, str]] = set()
        self._depth = 0

    # -- expressions ------------------------------------------------------------------------------------------

    def evaluate(self, path: str, scope: int, expression: Expression) -> Value:
        """What an expression stands for."""
        if expression[0] not in ("attr", "call"):
            return self._start(path, scope, expression)
        links = list(chain(expression))
        value = self._start(path, scope, links.pop())
        previous: Value = value
        attribute: str | None = None
        for link in reversed(links):
            if link[0] == "attr":
                previous, attribute = value, link[3]
                value = self.attribute(value, link[3], path, link[1])
            else:
                value = self._called(path, scope, link, value, previous, attribute)
                attribute = None
        return value

    def text(self, path: str, scope: int, expression: Expression) -> str | None:
        """The string that an expression certainly is, or None."""
        value = self.evaluate(path, scope, expression)
        return value.value if isinstance(value, ConstantValue) and isinstance(value.value, str) else None

    def _start(self, path: str, scope: int, expression: Expression) -> Value:
        span = expression[1]
        match expression[0]:
            case "name":
                return self.lookup(path, scope, expression[2], span)
            case "const":
                return ConstantValue(expression[2])
            case "string":
                return TextValue()
            case "tuple" | "list":
                return ItemsValue(path, scope, expression[2])
            case "sub" | "or":
                return AliasValue(path, scope, (), expression)
            case "lambda":
                return Unknown("a lambda", self.project.place(path, span))
            case _:
                return Unknown("an expression that only runs can tell", self.project.place(path, span))

    def attribute(self, value: Value, name: str, path: str, span: Span) -> Value:
        """What `value.name` stands for."""
        match value:
            case External(full):
                return External(f"{full}.{name}")
            case ModuleValue(module):
                return self._member(module, name, path, span)
            case ClassValue(file, index):
                facts = self._facts(file)
                inner = facts["classes"][index]["inner"] if facts else 0
                if facts and name in facts["scopes"][inner]["names"]:
                    return self.lookup(file, inner, name, span)
            case Unknown():
                return value
            case _:
                pass
        return Unknown(f'"{name}" of something that only runs can tell', self.project.place(path, span))

    def _called(
        self, path: str, scope: int, call: Expression, function: Value, receiver: Value, method: str | None
    ) -> Value:
        _, span, _, arguments, keywords = call
        given = tuple(Keyword(name, place, value, path, scope) for name, place, value in keywords if name)
        hides = len(given) < len(keywords)
        if method is not None and isinstance(receiver, StepValue):
            return self._derived(receiver, method, path, scope, call, given, hides)
        if method is not None and isinstance(receiver, FlowValue):
            if method == "bind":
                return receiver.binding(given, hides=hides)
            return receiver if method in ("add", "options") else Unknown("what a method of a flow gives")
        match ours(function):
            case "step" if arguments:
                return self._decorated(path, scope, arguments[0], StepMaker())
            case "step":
                return StepMaker(given, hides)
            case "Flow":
                return FlowValue(path, span)
            case _:
                pass
        if isinstance(function, StepMaker) and len(arguments) == 1:
            return self._decorated(path, scope, arguments[0], function)
        if isinstance(function, External) and function.name == "typing.NewType" and len(arguments) == 2:
            name = arguments[0][2] if arguments[0][0] == "const" else "?"
            return NewTypeValue(path, scope, str(name), arguments[1])
        if isinstance(function, External) and function.name == "typing.TypeVar":
            return TypeVariable("?")
        if isinstance(function, Unknown):
            return function
        return Unknown("what a call gives", self.project.place(path, span))

    def _derived(
        self,
        step: StepValue,
        method: str,
        path: str,
        scope: int,
        call: Expression,
        given: tuple[Keyword, ...],
        hides: bool,
    ) -> Value:
        if method == "bind":
            bound = rebound(step.bound, given)
            return replace(step, bound=bound, bind=(path, call[1]), hides_bound=step.hides_bound or hides)
        if method == "named" and len(call[3]) == 1:
            return replace(step, name=self.text(path, scope, call[3][0]))
        return Unknown("what a step gives when it is called", self.project.place(path, call[1]))

    def _decorated(self, path: str, scope: int, function: Expression, maker: StepMaker) -> Value:
        """`step(function)`."""
        if function[0] == "lambda":
            return StepValue(path, None, self._name_of(maker, "<lambda>"), maker)
        value = self.evaluate(path, scope, function)
        if isinstance(value, FunctionValue):
            facts = self._facts(value.path)
            name = facts["functions"][value.index]["name"] if facts else "?"
            return StepValue(value.path, value.index, self._name_of(maker, name), maker)
        return Unknown("a step made of something that only runs can tell", self.project.place(path, function[1]))

    def _name_of(self, maker: StepMaker, default: str) -> str | None:
        for keyword in maker.options:
            if keyword.name == "name":
                return self.text(keyword.path, keyword.scope, keyword.expression)
        return None if maker.hides_options else default

    # -- names ------------------------------------------------------------------------------------------------

    def lookup(self, path: str, scope: int, name: str, span: Span) -> Value:
        """What a name stands for in a scope of a file, or in those around it."""
        found = self._lookup(path, scope, name)
        if found is not None:
            return found
        return _BUILTINS.get(name) or Unknown(f'"{name}" is not defined here', self.project.place(path, span))

    def _lookup(self, path: str, scope: int, name: str) -> Value | None:
        facts = self._facts(path)
        if facts is None:
            return None
        scopes = facts["scopes"]
        start = scope
        while scope >= 0:
            here = scopes[scope]
            binding = here["names"].get(name)
            if binding is not None and (scope == start or here["kind"] != "class"):
                return self._bound(path, scope, name, binding)
            scope = here["parent"]
        stars = scopes[0]["stars"]
        if not stars or (path, name) in self._searching:
            return None
        self._searching.add((path, name))
        try:
            return self._from_stars(path, name, stars)
        finally:
            self._searching.discard((path, name))

    def _from_stars(self, path: str, name: str, stars: list[tuple[int, str]]) -> Value | None:
        """A name that `from module import *` may bring."""
        unseen: Value | None = None
        for level, module in stars:
            value = self._imported(path, level, module, name)
            if not isinstance(value, External | Unknown) or ours(value) is not None:
                return value
            if name not in _BUILTINS and not (isinstance(value, External) and value.name.startswith(f"{BATON}.")):
                unseen = Unknown(f'"{name}" may come from "from {module} import *"')
        return unseen

    def _bound(self, path: str, scope: int, name: str, binding: Binding) -> Value:
        key = (path, scope, name)
        found = self._names.get(key)
        if found is not None:
            return found
        if self._depth > MOST_HOPS:
            return Unknown(f'"{name}" goes by too many other names')
        self._names[key] = _CIRCULAR
        self._depth += 1
        try:
            found = self._names[key] = self._meaning(path, scope, name, binding)
        finally:
            self._depth -= 1
        return found

    def _meaning(self, path: str, scope: int, name: str, binding: Binding) -> Value:
        kind = binding[0]
        match kind:
            case "module" | "package":
                return self._module(path, binding[1])
            case "from":
                return self._imported(path, *binding[1:])
            case "def":
                return self.function(path, binding[1])
            case "class":
                return ClassValue(path, binding[1])
            case "value":
                return self._assigned(path, scope, name, binding[1])
            case "alias":
                return AliasValue(path, scope, binding[1], binding[2])
            case "parameter":
                return ParameterValue(path, scope, binding[1])
            case "variable":
                return TypeVariable(name)
            case _:
                return Unknown(f'"{name}" {binding[1]}', self.project.place(path, binding[2]))

    def _assigned(self, path: str, scope: int, name: str, expression: Expression) -> Value:
        value = self.evaluate(path, scope, expression)
        facts = self._facts(path)
        if isinstance(value, ItemsValue) and expression[0] == "list" and facts and name in facts["written"]:
            return replace(value, changes=f'the items of "{name}" may change at run time')
        return value

    # -- imports ----------------------------------------------------------------------------------------------

    def _module(self, path: str, dotted: str) -> Value:
        if dotted.partition(".")[0] == BATON:
            return External(dotted)
        module = self.project.module(path, dotted)
        if module is not None:
            return ModuleValue(module)
        if self.project.knows(path, dotted):
            return Unknown(f'module "{dotted}" is not there')
        return External(dotted)

    def _imported(self, path: str, level: int, module: str, name: str) -> Value:
        if level:
            found = self.project.relative(path, level, module)
            if found is None:
                return Unknown(f'module "{"." * level}{module}" is not there')
            return self._member(found, name, path, None)
        value = self._module(path, module)
        if isinstance(value, ModuleValue):
            return self._member(value.module, name, path, None)
        return self.attribute(value, name, path, (1, 1, 1, 1))

    def _member(self, module: Module, name: str, path: str, span: Span | None) -> Value:
        """A name of a module: what the module binds it to, else a submodule."""
        place = self.project.place(path, span) if span else None
        if module.path is not None:
            facts = self._facts(module.path)
            if facts is None or facts["error"]:
                return Unknown(f"{self.project.place(module.path, (1, 1, 1, 1)).path} can't be read or parsed", place)
            found = self._lookup(module.path, 0, name)
            if found is not None:
                return found
        inner = self.project.submodule(module, name)
        if inner is not None:
            return ModuleValue(inner)
        return Unknown(f'"{name}" is not in the module that it is imported from', place)

    # -- functions --------------------------------------------------------------------------------------------

    def function(self, path: str, index: int) -> Value:
        """What a `def` gives: a step if one of its decorators says so."""
        if (path, index) not in self._functions:
            self._functions[path, index] = _CIRCULAR
            self._functions[path, index] = self._defined(path, index)
        return self._functions[path, index]

    def _defined(self, path: str, index: int) -> Value:
        facts = self._facts(path)
        if facts is None:
            return Unknown("it can't be read")
        function = facts["functions"][index]
        decorators = function["decorators"]
        values = [self.evaluate(path, function["scope"], decorator) for decorator in decorators]
        for position, value in enumerate(values):
            maker = value if isinstance(value, StepMaker) else StepMaker() if ours(value) == "step" else None
            if maker is None:
                continue
            above = tuple(
                decorator
                for decorator, its_value in zip(decorators[:position], values[:position], strict=True)
                if its_value != _STATIC
            )
            return StepValue(
                path,
                index,
                self._name_of(maker, function["name"]),
                maker,
                above=above,
                is_wrapped=any(below != _STATIC for below in values[position + 1 :]),
            )
        if any(value != _STATIC for value in values):
            return Unknown(
                f'"{function["name"]}" is wrapped by a decorator', self.project.place(path, function["span"])
            )
        return FunctionValue(path, index)

    def _facts(self, path: str) -> FileFacts | None:
        return self.project.files.facts(path)


_STATIC: Final = External("builtins.staticmethod")
