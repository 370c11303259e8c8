"""Resolve names and expressions of a file, across imports, re-exports and aliases."""

from __future__ import annotations

import builtins
import sys
from dataclasses import replace
from typing import Final, cast

from baton_lint.program.known import BATON, MAKERS, OURS, ours
from baton_lint.program.project import Module, Project
from baton_lint.program.scopes import visible
from baton_lint.program.values import (
    AliasValue,
    ClassValue,
    ConstantValue,
    External,
    FlowValue,
    FunctionValue,
    ItemsValue,
    Keyword,
    MadeClass,
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
from baton_lint.source.circumstances import CHECKING
from baton_lint.source.expressions import Expression, Span, chain
from baton_lint.source.facts import Binding, FileFacts

MOST_HOPS: Final = 60
"""The most names that are followed one after another."""

_BUILTINS: Final = {name: External(f"builtins.{name}") for name in dir(builtins)}
_OF_MODULES: Final = frozenset({"__name__", "__file__", "__doc__", "__package__", "__spec__", "__path__"})
_CIRCULAR: Final = Unknown("it is defined in terms of itself")


class Names:
    """Resolves the names of a project.

    Args:
        project: Finds modules.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self._names: dict[tuple[str, int, str], Value] = {}
        self._functions: dict[tuple[str, int], Value] = {}
        self._searching: set[tuple[str, str]] = set()
        self._depth = 0

    # -- expressions ------------------------------------------------------------------------------------------

    def evaluate(self, path: str, scope: int, expression: Expression) -> Value:
        """The value of an expression."""
        kind = expression[0]
        if kind == "name":
            return self.lookup(path, scope, expression[2], expression[1])
        if kind != "attr" and kind != "call":
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
        """The value of an expression that is certainly a string; else None."""
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
        """The value of `value.name`."""
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
        if isinstance(function, External) and function.name in MAKERS and arguments:
            name = str(arguments[0][2]) if arguments[0][0] == "const" else "?"
            match MAKERS[function.name]:
                case "TypeVar":
                    return TypeVariable("?")
                case "NewType":
                    return NewTypeValue(path, scope, name, arguments[1]) if len(arguments) == 2 else Unknown("no type")
                case _:
                    return MadeClass(path, name, call[1])
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
        """The value of `step(function)`."""
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
        """The value of a name in a scope of a file or its outer scopes."""
        found = self._lookup(path, scope, name)
        if found is not None:
            return found
        return _BUILTINS.get(name) or Unknown(f'"{name}" is not defined here', self.project.place(path, span))

    def _lookup(self, path: str, scope: int, name: str) -> Value | None:
        facts = self._facts(path)
        if facts is None:
            return None
        scopes = facts["scopes"]
        found = scope if name in scopes[scope]["names"] else visible(scopes, scope, name)
        own = None if found is None else self._bound(path, found, name, scopes[found]["names"][name])
        if not scopes[0]["stars"] or (found is not None and found > 0):
            return own
        brought = self._from_stars(path, name, is_bound=own is not None)
        if own is None or brought is None or brought == own:
            return brought if own is None else own
        if ours(own) is not None and isinstance(brought, Unknown):
            return own
        return Unknown(f'"{name}" is set more than once')

    def _from_stars(self, path: str, name: str, *, is_bound: bool) -> Value | None:
        """The value of a name that `from module import *` may define: the last such import wins."""
        if (path, name) in self._searching:
            return None
        self._searching.add((path, name))
        try:
            for level, module, view in reversed(self._facts_of(path)["scopes"][0]["stars"]):
                value = self._starred(path, level, module, name)
                if value is None or (isinstance(value, External) and (is_bound or name in _BUILTINS)):
                    continue  # a library is not expected to hide a name of the module itself
                if view == "maybe" or (isinstance(value, External | Unknown) and ours(value) is None):
                    return Unknown(f'"{name}" may come from "from {module} import *"')
                return value
        finally:
            self._searching.discard((path, name))
        return None

    def _starred(self, path: str, level: int, module: str, name: str) -> Value | None:
        """The value that `from module import *` defines for a name; None if it certainly does not."""
        value = self.project.relative(path, level, module) if level else self._module(path, module)
        if isinstance(value, ModuleValue):
            value = value.module
        if value is None or isinstance(value, Unknown):
            return Unknown(f'module "{"." * level}{module}" is not there')
        if not isinstance(value, Module):
            if isinstance(value, External) and value.name.partition(".")[0] == BATON:
                return External(f"{value.name}.{name}") if f"{value.name}.{name}" in OURS else None
            return self.attribute(value, name, path, (1, 1, 1, 1))
        facts = self._facts(value.path) if value.path else None
        if facts is None or facts["error"]:
            return Unknown("it can't be read or parsed")
        listed = facts["scopes"][0]["names"].get("__all__")
        if listed is None:
            return None if name.startswith("_") else self._lookup(str(value.path), 0, name)
        names = listed[1][2] if listed[0] == "value" and listed[1][0] in ("list", "tuple") else None
        if names is None or any(item[0] != "const" for item in names):
            found = self._lookup(str(value.path), 0, name)
            return None if found is None else Unknown('"__all__" is made at run time')
        if not any(item[2] == name for item in names):
            return None
        return self._member(value, name, path, None)

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
                return AliasValue(path, scope, binding[1], binding[2], is_lazy=True)
            case "parameter":
                return ParameterValue(path, self._facts_of(path)["scopes"][scope]["parent"], binding[1])
            case "variable":
                return TypeVariable(name)
            case "either":
                first, second = (self._meaning(path, scope, name, part) for part in binding[1:])
                return self._either(name, first, second)
            case _:
                return Unknown(f'"{name}" {binding[1]}', self.project.place(path, binding[2]))

    def _either(self, name: str, first: Value, second: Value) -> Value:
        """The common value of two branches; unknown if it is unknown in one of them."""
        if first == second or second == ConstantValue(None) or isinstance(first, StepMaker) or ours(first) is not None:
            return first
        if isinstance(first, External) and isinstance(second, External):
            spelled = [value.name.replace("typing_extensions.", "typing.", 1) for value in (first, second)]
            if spelled[0] == spelled[1]:
                return first
        return first if isinstance(first, Unknown) else Unknown(f'"{name}" is one of two things')

    def _assigned(self, path: str, scope: int, name: str, expression: Expression) -> Value:
        value = self.evaluate(path, scope, expression)
        facts = self._facts(path)
        if isinstance(value, ItemsValue) and expression[0] == "list" and facts and name in facts["written"]:
            return replace(value, changes=f'the items of "{name}" may change at run time')
        return value

    # -- imports ----------------------------------------------------------------------------------------------

    def _module(self, path: str, dotted: str) -> Value:
        top = dotted.partition(".")[0]
        if top == BATON:
            return External(dotted)
        module = self.project.module(path, dotted)
        if module is not None:
            if top in sys.stdlib_module_names:
                return Unknown(f'"{dotted}" is a module of the project and of the standard library')
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
        """The value of a name of a module: what the module binds it to, or else a submodule."""
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
        """The value of a `def`: a step if a decorator makes it one."""
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

    # -- names that do not exist at run time -------------------------------------------------------------------

    def absence(self, path: str, scope: int, name: str) -> str | None:
        """Why a name does not exist at run time, in Python's words; None if it does, or may."""
        facts = self._facts(path)
        if facts is None or facts["is_dynamic"]:
            return None
        scopes = facts["scopes"]
        found = visible(scopes, scope, name)
        if found is None or name in scopes[found]["absent"]:
            if name in _BUILTINS or name in _OF_MODULES or self._may_be_starred(path, name):
                return None
            return f"name '{name}' is not defined"
        binding = scopes[found]["names"][name]
        return self._not_imported(path, *binding[1:]) if binding[0] == "from" else None

    def _may_be_starred(self, path: str, name: str) -> bool:
        """Whether a star import may define a name at run time."""
        if (path, name) in self._searching:
            return False
        self._searching.add((path, name))
        try:
            for level, module, view in self._facts_of(path)["scopes"][0]["stars"]:
                if view != CHECKING and self._starred(path, level, module, name) is not None:
                    found = self.project.relative(path, level, module) if level else self.project.module(path, module)
                    if found is None or found.path is None or self.absence(found.path, 0, name) is None:
                        return True
        finally:
            self._searching.discard((path, name))
        return False

    def _not_imported(self, path: str, level: int, module: str, name: str) -> str | None:
        """Why `from module import name` fails, if the module defines the name only for type checkers."""
        value = self.project.relative(path, level, module) if level else self._module(path, module)
        value = value.module if isinstance(value, ModuleValue) else value
        facts = self._facts(value.path) if isinstance(value, Module) and value.path else None
        if facts is None or facts["is_dynamic"] or name not in facts["scopes"][0]["absent"]:
            return None
        if "__getattr__" in facts["scopes"][0]["names"] or self.project.submodule(cast("Module", value), name):
            return None
        return f"cannot import name '{name}' from '{'.' * level}{module}'"

    def _facts_of(self, path: str) -> FileFacts:
        facts = self._facts(path)
        assert facts is not None
        return facts

    def _facts(self, path: str) -> FileFacts | None:
        return self.project.files.facts(path)


_STATIC: Final = External("builtins.staticmethod")
