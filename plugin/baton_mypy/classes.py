"""Describe classes from mypy's types: their bases, and whether pydantic can store them."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from mypy.nodes import MypyFile, TypeInfo, Var
from mypy.types import Type

from baton_dsl.core.class_bodies import changes_storing, is_left_out
from baton_dsl.core.types import ClassFacts, Term, TermTypes
from baton_mypy import names
from baton_mypy.metadata import Reader, Scope
from baton_mypy.source_text import absent_in, classes_in, names_in

if TYPE_CHECKING:
    from mypy.checker import TypeChecker

_SECRETS: Final = frozenset({"pydantic.types.Secret", "pydantic.types.SecretStr", "pydantic.types.SecretBytes"})
_DATACLASS: Final = frozenset({"dataclass", "dataclass_tag"})
"""Keys in the metadata of a class that mypy's own plugin for dataclasses sets."""
_HOOKS: Final = ("__get_pydantic_core_schema__", "__get_validators__", "__pydantic_core_schema__")


class Classes:
    """Provides the facts about the classes of one flow for `TermTypes`.

    Args:
        checker: The checker of the module that the flow is in.
        term: Converts a type to a term.
        types: Answers questions about terms.
    """

    def __init__(self, checker: TypeChecker, term: Callable[[Type], Term], types: TermTypes) -> None:
        self.infos: dict[str, TypeInfo] = {}
        """The classes by their names in terms."""
        self._checker = checker
        self._reader = Reader(checker)
        self._term = term
        self._types = types
        self._facts: dict[str, ClassFacts | None] = {}

    def facts(self, name: str) -> ClassFacts | None:
        """The facts about a class; None for an unknown one."""
        if name not in self._facts:
            self._facts[name] = None  # meanwhile, for a class that contains itself
            info = self.infos.get(name)
            self._facts[name] = None if info is None else self._inspect(info)
        return self._facts[name]

    def _inspect(self, info: TypeInfo) -> ClassFacts:
        bases = tuple(self._term(base) for base in info.bases)
        if _is_hooked(info):
            return ClassFacts(bases=bases, serializable=False if _is_secret(info) else None)
        if info.is_newtype:
            parts = tuple(term for term in bases if self._types.unserializable(term))
            return ClassFacts(bases=bases, serializable=False if parts else None)
        if not _has_fields(info):
            return ClassFacts(bases=bases, is_protocol=info.is_protocol, serializable=self._round_trips(info))
        return ClassFacts(
            bases=bases, serializable=True, parts=tuple(self._parts(info)), incomplete=self._incomplete(info)
        )

    def _round_trips(self, info: TypeInfo) -> bool | None:
        """Whether pydantic can round-trip a class without fields: False for a plain one, None if unknown."""
        if info.is_enum:
            return True
        if info.fallback_to_any or info.alt_promote is not None or _is_standard(info):
            return None
        if info.metaclass_type is not None and info.metaclass_type.type.fullname != "abc.ABCMeta":
            return None
        return False if all(map(self._shows_itself, info.mro)) else None

    def _shows_itself(self, base: TypeInfo) -> bool:
        """Whether the whole class is visible: stubs leave out methods that pydantic calls."""
        if base.dataclass_transform_spec is not None:
            return False
        if _is_standard(base):
            return True
        module = self._module_of(base)
        return module is not None and not module.is_stub

    # -- fields -----------------------------------------------------------------------------------------------

    def _parts(self, info: TypeInfo) -> Iterator[Term]:
        """The types of the fields that have a problem, if pydantic stores each as it stores that type anywhere."""
        found = [(owner, name, self._term(annotation)) for owner, name, annotation in _fields(info)]
        yield from (term for _, _, term in found if self._types.unevaluable(term))
        wrong = [(owner, name, term) for owner, name, term in found if self._types.unserializable(term)]
        if wrong and not any(self._stores_by_itself(base) for base in info.mro[:-1] if base.fullname != names.MODEL):
            for owner, name, term in wrong:
                if self._is_stored_as_it_is(owner, name):
                    yield term

    def _stores_by_itself(self, info: TypeInfo) -> bool:
        """Whether a class has serializers or early validators: then the types of its fields prove nothing."""
        if _is_standard(info):
            return False
        definition = self._definition(info)
        return definition is None or any(map(changes_storing, definition.body))

    def _is_stored_as_it_is(self, owner: TypeInfo, name: str) -> bool:
        definition, module = self._definition(owner), self._module_of(owner)
        for statement in definition.body if definition is not None else ():
            match statement:
                case ast.AnnAssign(target=ast.Name(id=target), annotation=annotation, value=value) if target == name:
                    scope = Scope(owner, module) if module is not None and not is_left_out(value) else None
                    return scope is not None and not self._reader.is_custom(annotation, scope)
                case _:
                    pass
        return False

    def _incomplete(self, info: TypeInfo) -> str | None:
        """Why the annotation of a field can't be evaluated at run time."""
        if absent_in(self._checker.tree.path).is_rebuilt:
            return None
        written = [(base, module) for base in info.mro if (module := self._written_in(base)) is not None]
        absent = {module: self._reader.absent(module) for _, module in written}
        if not any(absent.values()):  # of nearly all classes, whose text then need not be parsed
            return None
        is_model = any(base.fullname == names.MODEL for base in info.mro)
        seen: set[str] = set()
        for base, module in written:
            definition = None if absent_in(module.path).is_rebuilt else self._definition(base)
            for name, annotation in _annotated(definition):
                if name in seen or (is_model and name.startswith("_")):
                    continue
                seen.add(name)
                missing = [item for item in names_in(annotation) if item in absent[module] and item not in base.names]
                if missing and not _is_no_field(annotation):
                    return f"name {missing[0]!r} is not defined"
        return None

    def _written_in(self, base: TypeInfo) -> MypyFile | None:
        """The module with the text of a class; None for a class whose fields are none of a user's."""
        module = self._module_of(base)
        is_users = module is not None and not module.is_stub and not _is_standard(base)
        return module if is_users and base.fullname != names.MODEL else None

    # -- text -------------------------------------------------------------------------------------------------

    def _module_of(self, info: TypeInfo) -> MypyFile | None:
        return self._checker.modules.get(info.module_name)

    def _definition(self, info: TypeInfo) -> ast.ClassDef | None:
        module = self._module_of(info)
        if module is None:
            return None
        return classes_in(self._reader.file(module)).get(info.fullname.removeprefix(f"{module.fullname}."))


def _annotated(definition: ast.ClassDef | None) -> Iterator[tuple[str, ast.expr]]:
    """The annotated names of a class."""
    for statement in definition.body if definition is not None else ():
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            yield statement.target.id, statement.annotation


def _is_no_field(annotation: ast.expr) -> bool:
    form = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    name = form.attr if isinstance(form, ast.Attribute) else form.id if isinstance(form, ast.Name) else ""
    return name in ("ClassVar", "InitVar")


def _is_standard(info: TypeInfo) -> bool:
    """Whether a class is in the standard library."""
    return info.module_name.partition(".")[0] in sys.stdlib_module_names


def _is_hooked(info: TypeInfo) -> bool:
    """Whether a class has its own pydantic schema."""
    bases = (base for base in info.mro if base.fullname not in (names.MODEL, "pydantic.root_model.RootModel"))
    return any(hook in base.names for base in bases for hook in _HOOKS)


def _is_secret(info: TypeInfo) -> bool:
    """Whether values of a class are written as asterisks."""
    return not _SECRETS.isdisjoint(base.fullname for base in info.mro) and _HOOKS[0] not in info.names


def _has_fields(info: TypeInfo) -> bool:
    """Whether pydantic stores a class field by field."""
    if info.is_named_tuple or info.typeddict_type is not None:
        return True
    return any(base.fullname == names.MODEL or not _DATACLASS.isdisjoint(base.metadata) for base in info.mro)


def _fields(info: TypeInfo) -> Iterator[tuple[TypeInfo, str, Type]]:
    """The fields of a class and of its bases, each with the class that annotates it."""
    if info.typeddict_type is not None:
        for name, annotation in info.typeddict_type.items.items():
            yield next((base for base in info.mro if name in base.names), info), name, annotation
        return
    seen: set[str] = set()
    for base in info.mro:
        for name, symbol in base.names.items():
            node = symbol.node
            is_field = isinstance(node, Var) and not node.is_classvar and not node.is_inferred
            if isinstance(node, Var) and node.is_property:  # mypy represents the items of a named tuple this way
                is_field = base.is_named_tuple
            if name in seen or not is_field or name.startswith("_") or name == "model_config":
                continue
            seen.add(name)
            if isinstance(node, Var) and node.type is not None and base.fullname != names.MODEL:
                yield base, name, node.type
