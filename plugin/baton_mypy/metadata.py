"""Read the metadata in `Annotated[...]` from the text of an annotation or of its alias, because mypy drops it.

mypy keeps, also in its cache, the alias in an annotation and the place of its definition. So that statement is parsed
again, in whichever module it is.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from mypy.nodes import Decorator, FuncDef, MypyFile, SymbolNode, TypeAlias, TypeInfo, Var
from mypy.server.trigger import make_wildcard_trigger
from mypy.types import CallableType, Instance, TupleType, Type, TypeAliasType, UnboundType, UnionType, get_proper_type
from mypy.util import correct_relative_import

from baton_dsl.core.rules.missing_annotation import ENDLESS
from baton_mypy import names, remembered
from baton_mypy.literals import text_of
from baton_mypy.source_text import (
    absent_in,
    aliases_in,
    annotations_in,
    items_of,
    names_in,
    names_in_order,
    quoted_aliases_in,
    quoted_names_in,
    unquoted,
)

if TYPE_CHECKING:
    from mypy.checker import TypeChecker

_UNKNOWN: Final = None
_DEEPEST: Final = 16
"""The most nested aliases that are followed."""
_KNOWN: Final = frozenset({"pydantic", "annotated_types", "typing", "typing_extensions"})
"""Packages whose aliases have none of our markers, and whose metadata does not matter."""
_MARKERS: Final = tuple(f"{name}Marker" for name in names.MARKERS)
_HARMLESS: Final = ("pydantic.fields.Field", "typing.Doc", "typing_extensions.Doc")
"""Metadata that does not change how a type is stored."""


class Metadata(NamedTuple):
    """The metadata of an annotation.

    Attributes:
        sources: The names in each `From` around the type, from the outside in; None if one is unknown.
        is_custom: Whether there is other metadata, which may change how pydantic stores the type.
    """

    sources: tuple[str | None, ...] = ()
    is_custom: bool = False

    def __or__(self, inner: Metadata) -> Metadata:
        return Metadata((*self.sources, *inner.sources), self.is_custom or inner.is_custom)


NOTHING: Final = Metadata()
UNREADABLE: Final = Metadata(sources=(_UNKNOWN,), is_custom=True)


def has_annotated(written: Type | None) -> bool:
    """True if `Annotated` is written somewhere in an annotation."""
    if not isinstance(written, UnboundType):
        return isinstance(written, UnionType) and any(map(has_annotated, written.items))
    return written.name.rpartition(".")[2] == "Annotated" or any(map(has_annotated, written.args))


def is_nested(function: FuncDef) -> bool:
    """True for a function inside a function."""
    return "." not in function.fullname or "@" in function.fullname


class Scope(NamedTuple):
    """A scope in which names are looked up."""

    owner: TypeInfo | None
    module: MypyFile


class Reader:
    """Reads the metadata of annotations of one module.

    Args:
        checker: The checker of the module.
    """

    def __init__(self, checker: TypeChecker) -> None:
        self._checker = checker
        self._module = checker.tree
        self._builtins = checker.modules["builtins"]

    def of_function(self, function: FuncDef) -> Mapping[str, Metadata]:
        """The metadata in a function's own annotations, by parameter; of its result under "return"."""
        scope = Scope(function.info or None, self._module)
        written = annotations_in(self._module.path, function)
        return {name: self._written(annotation, scope) for name, annotation in written.items()}

    def of_names(self, written: Type | None, function: FuncDef) -> Metadata:
        """The metadata of aliases of plain classes in an annotation as it is written: its type does not keep those.

        Args:
            written: The annotation, not analyzed.
            function: The function that has it.
        """
        if isinstance(written, UnionType):
            return self._of_inner_names(written.items, function)
        if not isinstance(written, UnboundType):
            return NOTHING
        node = self._looked_up(written.name, Scope(function.info or None, self._module))
        if isinstance(node, TypeAlias) and node.no_args:
            return self._of_alias(node)
        if isinstance(node, TypeAlias) and node.fullname in names.MARKERS and written.args:
            return self.of_names(written.args[0], function)
        if node is None and is_nested(function):
            return UNREADABLE  # perhaps an alias of the outer function
        return self._of_inner_names(written.args, function)

    def _of_inner_names(self, written: Iterable[Type], function: FuncDef) -> Metadata:
        for item in written:
            if self.of_names(item, function).is_custom:
                return Metadata(is_custom=True)
        return NOTHING

    def of_type(self, annotation: Type) -> Metadata:
        """The metadata of the other aliases in a type."""
        if not _has_alias(annotation):  # most types
            return NOTHING
        found = NOTHING
        for _ in range(_DEEPEST):  # around the type
            alias = annotation.alias if isinstance(annotation, TypeAliasType) else None
            if alias is None or not isinstance(annotation, TypeAliasType):
                break
            if alias.fullname not in names.MARKERS:
                found |= self._of_alias(alias)
                annotation = annotation._expand_once()  # noqa: SLF001 - get_proper_type() would unroll our markers too
            elif annotation.args:
                annotation = annotation.args[0]
            else:
                break
        return found._replace(is_custom=found.is_custom or self._is_custom(annotation, ()))

    def _is_custom(self, annotation: Type, within: tuple[TypeAlias, ...]) -> bool:
        """Whether an alias anywhere in a type may change how the type is stored."""
        alias = annotation.alias if isinstance(annotation, TypeAliasType) else None
        if alias is not None and isinstance(annotation, TypeAliasType):
            if alias in within or len(within) == _DEEPEST:
                return False
            if alias.fullname not in names.MARKERS and self._of_alias(alias).is_custom:
                return True
            return self._is_custom(annotation._expand_once(), (*within, alias))  # noqa: SLF001 - one at a time
        return any(self._is_custom(item, within) for item in _inside(annotation))

    def _of_alias(self, alias: TypeAlias) -> Metadata:
        """The metadata in an alias itself, without that of the aliases that it uses."""
        module = self._checker.modules.get(alias.module)
        if module is None:
            return NOTHING
        if module.fullname in ("typing", "typing_extensions"):
            return NOTHING  # `DefaultDict` is `defaultdict`
        if module.fullname.partition(".")[0] in _KNOWN:
            return Metadata(is_custom=True)
        path = self.file(module)
        scope = Scope(_owner(alias, module), module)
        name = alias.fullname.removeprefix(f"{module.fullname}.")
        said = {self._written(value, scope) for value in aliases_in(path).get(name, ())}
        return UNREADABLE if len(said) > 1 else next(iter(said), NOTHING)

    def unevaluable(self, function: FuncDef, type: CallableType) -> Iterator[tuple[str, str]]:
        """Each parameter, or "return", whose annotation can't be evaluated at run time, with the reason.

        Its names, or those in the value of an alias, exist only for type checkers.
        """
        absent = self.absent(self._module)
        written = annotations_in(self._module.path, function) if absent else {}
        here = function.info.names if function.info else {}
        types = zip((*type.arg_names, "return"), (*type.arg_types, type.ret_type), strict=True)
        for name, annotation in types:
            if name is None:
                continue
            names_here = names_in_order(written[name]) if name in written else iter(())
            missing = next((each for each in names_here if each in absent and each not in here), None)
            if missing is None and _has_alias(annotation):
                missing = next(self._missing_in_aliases(annotation, ()), None)
            if missing is not None:
                yield name, f"name {missing!r} is not defined"
            elif _is_endless(annotation, ()):
                yield name, ENDLESS

    def _missing_in_aliases(
        self, annotation: Type, within: tuple[TypeAlias, ...], *, of_model: bool = False
    ) -> Iterator[str]:
        """The names in the values of a type's aliases that do not exist at run time.

        Strings inside a model of pydantic are left out: `Page["Order"]` is a class, and its strings are not evaluated
        with the annotation.
        """
        alias = annotation.alias if isinstance(annotation, TypeAliasType) else None
        if alias is None or not isinstance(annotation, TypeAliasType):
            for item in _inside(annotation):
                yield from self._missing_in_aliases(item, within, of_model=of_model or _is_model(annotation))
            return
        if alias not in within and len(within) < _DEEPEST:
            module = self._checker.modules.get(alias.module)
            if not of_model:
                yield from self._missing_in_strings(alias, module)
            is_read = module is not None and alias.python_3_12_type_alias and alias.fullname not in names.MARKERS
            if module is not None and is_read and module.fullname.partition(".")[0] not in _KNOWN:
                path = self.file(module)
                if absent := self.absent(module):
                    own = alias.fullname.removeprefix(f"{module.fullname}.")
                    for value in aliases_in(path).get(own, ()):
                        yield from (name for name in names_in(value) if name in absent)
            yield from self._missing_in_aliases(alias.target, (*within, alias), of_model=of_model)
        of_model = of_model or (not alias.python_3_12_type_alias and _is_model(alias.target))
        for item in annotation.args:
            yield from self._missing_in_aliases(item, within, of_model=of_model)

    def _missing_in_strings(self, alias: TypeAlias, module: MypyFile | None) -> Iterator[str]:
        """The names in strings of an assigned alias that do not exist at run time in the module that uses it."""
        if alias.python_3_12_type_alias or module is None or module is self._module:
            return
        if module.fullname.partition(".")[0] in _KNOWN or not module.path.endswith(".py"):
            return
        own, absent = alias.fullname.removeprefix(f"{module.fullname}."), self.absent(self._module)
        for value in quoted_aliases_in(self.file(module)).get(own, ()):
            for name in quoted_names_in(value):
                if name in absent or (name not in self._module.names and name not in self._builtins.names):
                    yield name

    def is_custom(self, annotation: ast.expr, scope: Scope) -> bool:
        """Whether metadata in an annotation, or in an alias in it, may change how the type is stored."""
        return self._written(annotation, scope).is_custom or any(self._customs_of_names(annotation, scope))

    def _customs_of_names(self, annotation: ast.expr, scope: Scope) -> Iterator[bool]:
        for node in ast.walk(unquoted(annotation)):
            if isinstance(node, ast.Name | ast.Attribute) and isinstance(
                alias := self._resolved(node, scope), TypeAlias
            ):
                yield self._is_custom(TypeAliasType(alias, [*alias.alias_tvars]), ())
                yield self._of_alias(alias).is_custom

    def absent(self, module: MypyFile) -> frozenset[str]:
        """The names that a module has only for type checkers; empty if a star import may define them."""
        found = absent_in(self.file(module))
        brought: set[str] = set()
        for level, dotted in found.stars if found.names else ():
            is_package = module.is_package_init_file()
            name, _ = correct_relative_import(module.fullname, level, dotted, is_package)
            imported = self._checker.modules.get(name)
            if imported is None:
                return frozenset()
            brought |= {name for name, symbol in imported.names.items() if symbol.module_public}
        return found.names - brought

    def file(self, module: MypyFile) -> str:
        """The path of a module whose text will be read, which is recorded for mypy's cache."""
        if module is not self._module:
            remembered.reads(self._module.fullname, module.path)
            trigger = make_wildcard_trigger(module.fullname)
            self._module.plugin_deps.setdefault(trigger, set()).add(self._checker.tscope.current_target())
        return module.path

    # -- expressions ------------------------------------------------------------------------------------------

    def _written(self, annotation: ast.expr, scope: Scope) -> Metadata:
        sources: list[str | None] = []
        around = unquoted(annotation)
        while isinstance(around, ast.Subscript):
            for item in self._metadata(around, scope):
                sources += self._source(item, scope)
            around = unquoted(items_of(around)[0])
        if (alias := self._plain_alias(around, scope)) is not None:
            sources += self._of_alias(alias).sources
        return Metadata(tuple(sources), any(self._customs(annotation, scope)))

    def _plain_alias(self, name: ast.expr, scope: Scope) -> TypeAlias | None:
        """The alias of a plain class that a name refers to."""
        node = self._resolved(name, scope)
        return node if isinstance(node, TypeAlias) and node.no_args else None

    def _customs(self, annotation: ast.expr, scope: Scope) -> Iterator[bool]:
        """For each part of an annotation, at any depth, whether its metadata may change how it is stored."""
        annotation = unquoted(annotation)
        match annotation:
            case ast.Subscript():
                metadata = self._metadata(annotation, scope)
                for item in items_of(annotation):
                    if item in metadata:
                        yield self._may_be_custom(item, scope)
                    else:
                        yield from self._customs(item, scope)
            case ast.BinOp():
                yield from self._customs(annotation.left, scope)
                yield from self._customs(annotation.right, scope)
            case _:
                alias = self._plain_alias(annotation, scope)
                yield alias is not None and self._of_alias(alias).is_custom

    def _metadata(self, annotation: ast.Subscript, scope: Scope) -> list[ast.expr]:
        """The metadata in `Annotated[...]`; for `Literal[...]`, everything that is not a type."""
        form = self._resolved(annotation.value, scope)
        name = form.fullname if form is not None else ast.unparse(annotation.value)
        match name.rpartition(".")[2]:
            case "Annotated":
                return items_of(annotation)[1:]
            case "Literal":
                return [item for item in items_of(annotation) if isinstance(item, ast.Constant)]
            case _:
                return []

    def _source(self, item: ast.expr, scope: Scope) -> Iterator[str | None]:
        """The name in `From(...)`."""
        if not isinstance(item, ast.Call):
            return
        function = self._resolved(item.func, scope)
        if function is None or function.fullname in _MARKERS:
            yield _UNKNOWN  # perhaps our marker under an unknown name, or a marker class without its alias
        elif function.fullname == names.FROM and item.args:
            yield self._name_in_flow(item.args[0], scope)

    def _name_in_flow(self, step: ast.expr, scope: Scope) -> str | None:
        """The name in a flow of the argument of `From`: a string, a step, or `step.named("...")`."""
        match step:
            case ast.Constant(value=str() as name):
                return name
            case ast.Call(func=ast.Attribute(attr="named"), args=[ast.Constant(value=str() as name)]):
                return name
            case ast.Call(func=ast.Attribute(attr="bind", value=bound)):
                return self._name_in_flow(bound, scope)
            case _:
                return name_of_step(self._resolved(step, scope))

    def _may_be_custom(self, item: ast.expr, scope: Scope) -> bool:
        """Whether metadata may change how pydantic stores a type: a serializer, a validator, its own schema."""
        if isinstance(item, ast.Constant):
            return False
        if isinstance(item, ast.Call) and any(keyword.arg == "default_factory" for keyword in item.keywords):
            return True  # the default of a defaultdict
        named = self._resolved(item.func if isinstance(item, ast.Call) else item, scope)
        name = named.fullname if named is not None else ""
        return name not in (names.FROM, *_MARKERS, *_HARMLESS) and not name.startswith("annotated_types.")

    def _resolved(self, expression: ast.expr, scope: Scope) -> SymbolNode | None:
        """The symbol of a dotted name in a scope; None for other expressions."""
        is_dotted = isinstance(expression, ast.Name | ast.Attribute)
        return self._looked_up(ast.unparse(expression), scope) if is_dotted else None

    def _looked_up(self, dotted: str, scope: Scope) -> SymbolNode | None:
        first, _, rest = dotted.partition(".")
        found = scope.owner.names.get(first) if scope.owner else None
        found = found or scope.module.names.get(first) or self._builtins.names.get(first)
        for name in rest.split(".") if rest else ():
            owner = found.node if found else None
            found = owner.names.get(name) if isinstance(owner, MypyFile | TypeInfo) else None
        return found.node if found else None


def _has_alias(annotation: Type) -> bool:
    """Whether a type is an alias, or has one inside."""
    if isinstance(annotation, TypeAliasType):
        return True
    inside = annotation.args if isinstance(annotation, Instance) else _inside(annotation)
    return any(map(_has_alias, inside)) if inside else False


def _is_model(annotation: Type) -> bool:
    proper = get_proper_type(annotation)
    return isinstance(proper, Instance) and any(base.fullname == names.MODEL for base in proper.type.mro)


def _is_endless(annotation: Type, within: tuple[TypeAlias, ...], *, of_model: bool = False) -> bool:
    """Whether pydantic would follow a recursive alias by assignment without end: in the arguments of a model."""
    alias = annotation.alias if isinstance(annotation, TypeAliasType) else None
    if alias is None or not isinstance(annotation, TypeAliasType):
        of_model = of_model or _is_model(annotation)
        return any(_is_endless(item, within, of_model=of_model) for item in _inside(annotation))
    if alias in within or len(within) == _DEEPEST:
        return False
    if of_model and annotation.is_recursive and _leads_to(alias, annotation, ()):
        return True
    return _is_endless(annotation._expand_once(), (*within, alias), of_model=of_model)  # noqa: SLF001 - one at a time


def _leads_to(goal: TypeAlias, annotation: Type, within: tuple[TypeAlias, ...]) -> bool:
    """Whether an alias is within an annotation, if only aliases by assignment are expanded."""
    if not isinstance(annotation, TypeAliasType):
        return any(_leads_to(goal, item, within) for item in _inside(annotation))
    alias = annotation.alias
    if alias is None or alias.python_3_12_type_alias or alias in within:
        return alias is goal and alias in within
    return _leads_to(goal, alias.target, (*within, alias))


def _inside(annotation: Type) -> Sequence[Type]:
    """The types inside a type."""
    proper = get_proper_type(annotation)
    match proper:
        case Instance():
            return proper.args
        case UnionType() | TupleType():
            return proper.items
        case _:
            return ()


def _owner(alias: TypeAlias, module: MypyFile) -> TypeInfo | None:
    """The class in which an alias is defined."""
    node: SymbolNode | None = module
    for name in alias.fullname.removeprefix(f"{module.fullname}.").split(".")[:-1]:
        found = node.names.get(name) if isinstance(node, MypyFile | TypeInfo) else None
        node = found.node if found else None
    return node if isinstance(node, TypeInfo) else None


def name_of_step(node: SymbolNode | None) -> str | None:
    """The step's own name, from the symbol that a name in a module refers to."""
    variable = node.var if isinstance(node, Decorator) else node
    step = get_proper_type(variable.type) if isinstance(variable, Var) else None
    if isinstance(step, Instance) and step.type.fullname == names.STEP:
        return text_of(step.args[2])
    return _UNKNOWN
