"""What the project's own classes are: their bases, their fields, and whether JSON can carry them."""

from __future__ import annotations

from typing import Final

from baton_dsl.core.spec import UNKNOWN
from baton_dsl.core.types import STANDARD, ClassFacts, Instance, Term, TermTypes, union
from baton_lint.annotations import Annotations, canonical
from baton_lint.facts import ClassSourceFacts
from baton_lint.module_names import Modules
from baton_lint.values import ClassValue, External, NewTypeValue

_DATACLASS: Final = frozenset({"dataclasses.dataclass", "pydantic.dataclasses.dataclass"})
_PYDANTIC_HOOKS: Final = frozenset({"__get_pydantic_core_schema__", "__get_validators__"})
_MODEL: Final = "pydantic.main.BaseModel"
_ENUM: Final = "enum.Enum"


class Classes:
    """Answers what `TermTypes` asks about classes.

    Args:
        annotations: Translates what stands in the classes.
    """

    def __init__(self, annotations: Annotations) -> None:
        self.annotations = annotations
        self.types = TermTypes(self.facts, self._dotted)
        self._facts: dict[str, ClassFacts | None] = {}

    def facts(self, name: str) -> ClassFacts | None:
        """What is known of a class of the project; None for one that can't be seen."""
        if name not in self._facts:
            self._facts[name] = None  # while we look: a class that contains itself
            value = self.annotations.classes.get(name)
            if isinstance(value, NewTypeValue):
                base = self.annotations.term(value.path, value.scope, value.base)
                ok = False if self.types.unserializable(base) else None
                self._facts[name] = ClassFacts(bases=(base,), serializable=ok)
            elif value is not None:
                self._facts[name] = self._inspect(value)
        return self._facts[name]

    def _dotted(self, name: str) -> str:
        """The name by which Python knows a class: its module's, and its own."""
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
        is_protocol = False
        fields: tuple[tuple[str, Term, bool], ...] | None = None
        for base in source["bases"]:
            plain = base[2] if base[0] == "sub" else base
            known = self.annotations.names.evaluate(value.path, source["scope"], plain)
            name = canonical(known.name) if isinstance(known, External) else None
            if name in ("typing.Generic", "typing.Protocol"):
                is_protocol |= name == "typing.Protocol"
                variables |= self._variables(base)
            elif name == "typing.TypedDict":
                fields = self._keys(value, source)
            elif name == "typing.NamedTuple":
                items = self._types_of_fields(value, source)
                bases.append(Instance("builtins.tuple", (union(items),) if items else ()))
            else:
                bases.append(self.annotations.term(value.path, source["scope"], base, variables))
        inherited = [facts.fields for facts in map(self._about, bases) if facts and facts.fields is not None]
        if inherited and fields is None:
            fields = (*(field for part in inherited for field in part), *self._keys(value, source))
        if fields is not None:
            bases = [Instance("collections.abc.Mapping", (Instance("builtins.str"), Instance("builtins.object")))]
        return ClassFacts(
            bases=tuple(bases),
            parameters=tuple(variables.values()),
            is_protocol=is_protocol,
            fields=fields,
            serializable=self._round_trips(value, source, bases, is_protocol, fields is not None),
        )

    def _about(self, base: Term) -> ClassFacts | None:
        return self.types.about(base.name) if isinstance(base, Instance) else None

    def _variables(self, base: tuple[object, ...]) -> dict[str, Term]:
        """The type parameters that `Generic[T]` or `Protocol[T]` lists."""
        if base[0] != "sub":
            return {}
        index = base[3]
        assert isinstance(index, tuple)
        items = index[2] if index[0] == "tuple" else (index,)
        return {item[2]: Instance(f"~{item[2]}") for item in items if item[0] == "name"}

    def _keys(self, value: ClassValue, source: ClassSourceFacts) -> tuple[tuple[str, Term, bool], ...]:
        total = source["keywords"].get("total")
        is_total = total is None or total[0] != "const" or bool(total[2])
        found: list[tuple[str, Term, bool]] = []
        for field in source["fields"]:
            annotation = field["annotation"]
            required = is_total
            if annotation[0] == "sub":
                form = self.annotations.names.evaluate(value.path, source["inner"], annotation[2])
                if isinstance(form, External) and canonical(form.name) in ("typing.Required", "typing.NotRequired"):
                    required = canonical(form.name) == "typing.Required"
            found.append((field["name"], self.annotations.term(value.path, source["inner"], annotation), required))
        return tuple(found)

    def _types_of_fields(self, value: ClassValue, source: ClassSourceFacts) -> list[Term]:
        return [self.annotations.term(value.path, source["inner"], field["annotation"]) for field in source["fields"]]

    def _round_trips(
        self, value: ClassValue, source: ClassSourceFacts, bases: list[Term], is_protocol: bool, is_typed_dict: bool
    ) -> bool | None:
        """What pydantic would say of the class, where that is certain."""
        if is_protocol or _PYDANTIC_HOOKS & set(source["methods"]) or UNKNOWN in bases:
            return None
        decorators = [
            self.annotations.names.evaluate(value.path, source["scope"], item[2] if item[0] == "call" else item)
            for item in source["decorators"]
        ]
        is_dataclass = any(isinstance(item, External) and item.name in _DATACLASS for item in decorators)
        if decorators and not is_dataclass:
            return None
        names = [base.name for base in bases if isinstance(base, Instance)]
        if is_dataclass or is_typed_dict or "builtins.tuple" in names:
            fields = self._types_of_fields(value, source)
            return not any(self.types.unserializable(field) for field in fields)
        verdicts: list[bool | None] = []
        for base in bases:
            above = self._about(base)
            if self.types.assignable(base, Instance(_MODEL)) or self.types.assignable(base, Instance(_ENUM)):
                return True
            if isinstance(base, Instance) and base.name == "builtins.object":
                continue
            is_plain = above is not None and above.serializable is False
            verdicts.append(False if is_plain else None)
        standard = [name for name in names if name in STANDARD and STANDARD[name].serializable is not False]
        return None if None in verdicts or [name for name in standard if name != "builtins.object"] else False
