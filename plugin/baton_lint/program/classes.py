"""Describe the project's own classes: their bases, their fields, and whether JSON can carry them."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from baton_dsl.core.spec import UNKNOWN
from baton_dsl.core.types import STANDARD, ClassFacts, Instance, Key, Term, TermTypes, TupleOf, union
from baton_lint.program.annotations import Annotations
from baton_lint.program.doubts import Doubting
from baton_lint.program.known import canonical
from baton_lint.program.module_names import Modules
from baton_lint.program.values import ClassValue, External, MadeClass, NewTypeValue
from baton_lint.program.written import evaluated_in, unquoted
from baton_lint.source.expressions import Expression
from baton_lint.source.facts import ClassFieldFacts, ClassSourceFacts

_DATACLASS: Final = frozenset({"dataclasses.dataclass", "pydantic.dataclasses.dataclass"})
_PYDANTIC_HOOKS: Final = ("__get_pydantic_core_schema__", "__get_validators__", "__pydantic_core_schema__")
_MODEL: Final = "pydantic.main.BaseModel"
_ENUM: Final = "enum.Enum"
_BUILTINS: Final = frozenset(dir(builtins))
_QUALIFIERS: Final = frozenset({"typing.Required", "typing.NotRequired", "typing.ReadOnly", "typing.Annotated"})
_NO_FIELDS: Final = frozenset({"typing.ClassVar", "dataclasses.InitVar"})


class Classes:
    """Provides the facts about classes for `TermTypes`.

    Args:
        annotations: Translates the annotations in the classes.
        doubting: Finds names in them that do not exist at run time.
    """

    def __init__(self, annotations: Annotations, doubting: Doubting | None = None) -> None:
        self.annotations = annotations
        self.doubting = doubting or Doubting(annotations.names)
        self.types = TermTypes(self.facts, self._dotted)
        self._facts: dict[str, ClassFacts | None] = {}
        self._fields: dict[str, dict[str, tuple[ClassValue, ClassFieldFacts]]] = {}
        """The fields of a class and of its bases, by name, each with the class that annotates it."""
        self._by_itself: set[str] = set()
        """Classes with serializers or early validators, their own or of a base."""

    def facts(self, name: str) -> ClassFacts | None:
        """The facts about a class of the project; None for an unknown class."""
        if name not in self._facts:
            self._facts[name] = None  # meanwhile, for a class that contains itself
            value = self.annotations.classes.get(name)
            if isinstance(value, NewTypeValue):
                base = self.annotations.term(value.path, value.scope, value.base)
                ok = False if self.types.unserializable(base) else None
                self._facts[name] = ClassFacts(bases=(base,), serializable=ok)
            elif isinstance(value, MadeClass):
                self._facts[name] = ClassFacts(bases=None, is_protocol=True)  # a TypedDict, perhaps
            elif value is not None:
                self._facts[name] = self._inspect(value)
        return self._facts[name]

    def _dotted(self, name: str) -> str:
        """The dotted name of a class in Python: of its module, and its own."""
        value = self.annotations.classes.get(name)
        if value is None:
            return name
        module = Modules(self.annotations.names.project).name(value.path)
        own = self.annotations.name_of(value)
        return f"{module}.{own}" if module else own

    def _inspect(self, value: ClassValue) -> ClassFacts | None:
        file = self.annotations.names.project.files.facts(value.path)
        if file is None:
            return None
        source = file["classes"][value.index]
        variables: dict[str, Term] = {name: Instance(f"~{name}") for name in source["parameters"]}
        bases: list[Term] = []
        is_protocol = is_named_tuple = False
        keys: tuple[Key, ...] | None = None
        for base in source["bases"]:
            plain = base[2] if base[0] == "sub" else base
            known = self.annotations.names.evaluate(value.path, source["scope"], plain)
            name = canonical(known.name) if isinstance(known, External) else None
            if name in ("typing.Generic", "typing.Protocol"):
                is_protocol |= name == "typing.Protocol"
                variables |= self._variables(base)
            elif name == "typing.TypedDict":
                keys = self._keys(value, source)
            elif name == "typing.NamedTuple":
                is_named_tuple = True
                items = [self._term(value, source, field["annotation"]) for field in source["fields"]]
                bases.append(Instance("builtins.tuple", (union(items),) if items else ()))
            else:
                bases.append(self.annotations.term(value.path, source["scope"], base, variables))
        inherited = [facts.keys for facts in map(self._about, bases) if facts and facts.keys is not None]
        if inherited and keys is None:
            keys = (*(key for part in inherited for key in part), *self._keys(value, source))
        if keys is not None:
            bases = [Instance("collections.abc.Mapping", (Instance("builtins.str"), Instance("builtins.object")))]
        facts = ClassFacts(bases=tuple(bases), parameters=tuple(variables.values()), is_protocol=is_protocol, keys=keys)
        if UNKNOWN in bases or self._is_hooked(value, source):
            return facts
        if is_protocol:
            return replace(facts, serializable=False if not source["decorators"] else None)
        kind = "TypedDict" if keys is not None else "NamedTuple" if is_named_tuple else self._kind(value, source, bases)
        self._inherit(value, source, bases, kind)
        name = self.annotations.register(value)
        return replace(
            facts,
            serializable=self._round_trips(source, bases, kind),
            parts=tuple(self._parts(name)) if kind else (),
            incomplete=self._incomplete(name) if kind else None,
        )

    def _about(self, base: Term) -> ClassFacts | None:
        return self.types.about(base.name) if isinstance(base, Instance) else None

    def _term(self, value: ClassValue, source: ClassSourceFacts, annotation: Expression) -> Term:
        scope = evaluated_in(self.annotations.names.project, value.path, source["inner"])
        return self.annotations.term(value.path, scope, annotation)

    def _variables(self, base: tuple[object, ...]) -> dict[str, Term]:
        """The type parameters that `Generic[T]` or `Protocol[T]` lists."""
        if base[0] != "sub":
            return {}
        index = base[3]
        assert isinstance(index, tuple)
        items = index[2] if index[0] == "tuple" else (index,)
        return {item[2]: Instance(f"~{item[2]}") for item in items if item[0] == "name"}

    def _keys(self, value: ClassValue, source: ClassSourceFacts) -> tuple[Key, ...]:
        total = source["keywords"].get("total")
        is_total = total is None or total[0] != "const" or bool(total[2])
        found: list[Key] = []
        for field in source["fields"]:
            is_required, is_read_only = is_total, False
            for form in self._forms(value.path, source["inner"], field["annotation"]):
                is_required = form == "typing.Required" or (is_required and form != "typing.NotRequired")
                is_read_only = is_read_only or form == "typing.ReadOnly"
            found.append(Key(field["name"], self._term(value, source, field["annotation"]), is_required, is_read_only))
        return tuple(found)

    def _forms(self, path: str, scope: int, annotation: Expression) -> Iterator[str]:
        """The qualifiers around an annotation of a field: `Required[ReadOnly[int]]` has two."""
        for _ in range(len(_QUALIFIERS)):
            scope, annotation = unquoted(self.annotations.names.project, path, scope, annotation)
            if annotation[0] == "name" and annotation[2] in _BUILTINS:
                return
            if annotation[0] != "sub":
                annotation = ("sub", annotation[1], annotation, ("?", annotation[1]))
            form = self.annotations.names.evaluate(path, scope, annotation[2])
            if not isinstance(form, External):
                return
            yield canonical(form.name)
            if canonical(form.name) not in _QUALIFIERS:
                return
            annotation = annotation[3][2][0] if annotation[3][0] == "tuple" and annotation[3][2] else annotation[3]

    # -- fields -----------------------------------------------------------------------------------------------

    def _kind(self, value: ClassValue, source: ClassSourceFacts, bases: list[Term]) -> str | None:
        """The kind of a class with fields, for pydantic; None for a class without fields, or an unknown one."""
        decorators = [
            self.annotations.names.evaluate(value.path, source["scope"], item[2] if item[0] == "call" else item)
            for item in source["decorators"]
        ]
        if decorators:
            known = all(isinstance(item, External) and item.name in _DATACLASS for item in decorators)
            return "dataclass" if known else None
        return "model" if any(self.types.assignable(base, Instance(_MODEL)) for base in bases) else None

    def _inherit(self, value: ClassValue, source: ClassSourceFacts, bases: list[Term], kind: str | None) -> None:
        """Record the fields of a class, including those of its bases."""
        name = self.annotations.register(value)
        fields: dict[str, tuple[ClassValue, ClassFieldFacts]] = {}
        by_itself = source["stores_by_itself"]
        for base in reversed(bases):
            if isinstance(base, Instance) and self.types.about(base.name) is not None:
                fields |= self._fields.get(base.name, {})
                by_itself = by_itself or base.name in self._by_itself
        for field in source["fields"]:
            fields[field["name"]] = (value, field)
        for field_name, (owner, field) in list(fields.items()):
            inner = self._source(owner)["inner"]
            if (kind == "model" and field_name.startswith("_")) or not _NO_FIELDS.isdisjoint(
                self._forms(owner.path, inner, field["annotation"])
            ):
                del fields[field_name]
        self._fields[name] = fields
        if by_itself:
            self._by_itself.add(name)

    def _source(self, value: ClassValue) -> ClassSourceFacts:
        facts = self.annotations.names.project.files.facts(value.path)
        assert facts is not None
        return facts["classes"][value.index]

    def _parts(self, name: str) -> Iterator[Term]:
        """The types of the fields that pydantic stores one by one, as it stores those types anywhere."""
        if name not in self._by_itself:
            for owner, field in self._fields[name].values():
                if not field["is_excluded"]:
                    yield self._term(owner, self._source(owner), field["annotation"])

    def _incomplete(self, name: str) -> str | None:
        """Why the annotation of a field can't be evaluated at run time."""
        files = self.annotations.names.project.files
        if files.rebuilds:
            return None
        for owner, field in self._fields[name].values():
            source = self._source(owner)
            facts = files.facts(owner.path)
            if facts is None or facts["scopes"][source["inner"]]["name"].count(".") > 1:
                continue  # pydantic also looks into the outer scopes
            scope = evaluated_in(self.annotations.names.project, owner.path, source["inner"])
            known = (source["name"], *source["parameters"])
            if reason := self.doubting.of(owner.path, scope, field["annotation"], known).unevaluable:
                return reason
        return None

    # -- storing ----------------------------------------------------------------------------------------------

    def _is_hooked(self, value: ClassValue, source: ClassSourceFacts) -> bool:
        """Whether a class has its own schema, which is defined or assigned in its body, or assigned from outside."""
        facts = self.annotations.names.project.files.facts(value.path)
        if facts is None or source["name"] in facts["hooked"]:
            return True
        return any(hook in facts["scopes"][source["inner"]]["names"] for hook in _PYDANTIC_HOOKS)

    def _round_trips(self, source: ClassSourceFacts, bases: list[Term], kind: str | None) -> bool | None:
        """Whether pydantic can round-trip the class, if that is certain; else None."""
        if kind is not None:
            return True
        if source["decorators"] or "metaclass" in source["keywords"]:
            return None
        verdict: bool | None = False
        for base in bases:
            above = self._about(base)
            if isinstance(base, Instance) and self.types.assignable(base, Instance(_ENUM)):
                return True
            if isinstance(base, TupleOf) or (isinstance(base, Instance) and base.name in STANDARD):
                continue  # pydantic can store `str`, but not its subclasses
            if above is None or above.serializable is not False:
                verdict = None
        return verdict
