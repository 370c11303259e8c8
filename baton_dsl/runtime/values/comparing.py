"""Find where a value changes when it is written and read again.

`==` is used where it is reliable. It does not distinguish a subclass from its base (1 and True, a NamedTuple and a
tuple), says that NaN differs from NaN, and does not work for classes that don't define it. So two values are compared
part by part, and a difference is reported with its path. Equal values of equal types pass. These differences pass too:

- private attributes and computed fields of a model, which pydantic does not store either;
- the class of a collection, if its annotation is abstract, such as `Sequence`;
- a datetime in another time zone;
- values whose annotation is `Any`, if JSON's own values come back unchanged: see `_Comparison._loose`.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final, NamedTuple, cast

from pydantic import BaseModel, Secret, SecretBytes, SecretStr

from baton_dsl.runtime.values.positions import Positions

type Path = tuple[object, ...]

_MISSING: Final = object()
_PLAIN: Final = frozenset({bool, int, float, str, bytes, type(None)})
_JSON: Final = (bool, int, float, str, type(None))
_SECRETS: Final = (Secret, SecretStr, SecretBytes)
_MOST_STRAYS: Final = 100
"""The most items of a set, such as NaN, that don't equal themselves and are compared one by one."""


class Difference(NamedTuple):
    """Where two values differ.

    Attributes:
        path: The path to it: field names, keys, indexes.
        what: The difference, as a part of a sentence: `a Dog comes back as Animal`.
        remedy: What to do about it, if there is better advice than to return plain data.
    """

    path: Path
    what: str
    remedy: str | None = None

    def __str__(self) -> str:
        where = ".".join(map(str, self.path))
        return f"{where}: {self.what}" if where else self.what


def difference(
    value: object, decoded: object, positions: Positions, is_written_alike: Callable[[], bool]
) -> Difference | None:
    """The first difference between a value and its decoded form; None if there is none.

    Args:
        value: The value that was written.
        decoded: The value that was read.
        positions: What the annotation says about the parts of the value.
        is_written_alike: Whether both are written as the same JSON; used for classes without `==`.
    """
    return _Comparison(is_written_alike).compare(value, decoded, positions, ())


@dataclasses.dataclass(frozen=True, slots=True)
class _Comparison:
    is_written_alike: Callable[[], bool]

    def compare(self, value: Any, decoded: Any, positions: Positions, path: Path) -> Difference | None:
        """The first difference at a place or below it."""
        if type(value) in _PLAIN and type(value) is type(decoded) and value == decoded:
            return None
        if isinstance(value, _SECRETS) and type(value) is type(decoded):
            return None if value == decoded else _secret(path)
        if positions.are_loose:
            return self._loose(value, decoded, positions, path)
        if positions.are_streams or isinstance(value, Iterator):
            return None  # it can be read only once, and has been
        if type(value) is not type(decoded):
            return self._of_types(value, decoded, positions, path)
        match value:
            case BaseModel():
                return self._models(value, decoded, positions, path)
            case _ if dataclasses.is_dataclass(value):
                return self._fields(value, decoded, _names(cast("Any", type(value))), positions, path)
            case Mapping():
                return self._dicts(value, decoded, positions, path)
            case tuple() if hasattr(value, "_fields"):
                return self._fields(value, decoded, value._fields, positions, path)
            case list() | tuple() | deque():
                return self._lists(value, decoded, positions, path)
            case Set():
                return self._sets(value, decoded, positions, path)
            case _:
                return None if self._is_same(value, decoded) else _changed(value, decoded, path)

    def _is_same(self, value: Any, decoded: Any) -> bool:
        """Whether two values of one type, which have no parts, are the same."""
        if isinstance(value, datetime) and value.tzinfo is not None and decoded.tzinfo is not None:
            # In UTC: `==` is False in the hour that repeats at the end of summer time.
            return bool(value.astimezone(UTC) == decoded.astimezone(UTC))
        if cast("Any", type(value)).__eq__ is object.__eq__:
            return self.is_written_alike()
        try:
            if value == decoded:
                return True
            return bool(value != value and decoded != decoded)
        except Exception:  # noqa: BLE001 - `==` need not return a bool: for an array it returns an array
            return self.is_written_alike()

    def _of_types(self, value: Any, decoded: Any, positions: Positions, path: Path) -> Difference | None:
        """Compare two values of different types."""
        if positions.are_abstract:
            if isinstance(value, Mapping) and isinstance(decoded, Mapping):
                return self._dicts(value, decoded, positions, path)
            if _is_list(value) and _is_list(decoded):
                return self._lists(value, decoded, positions, path)
            if isinstance(value, Set) and isinstance(decoded, Set):
                return self._sets(value, decoded, positions, path)
        is_kind_of = isinstance(value, type(decoded)) and not isinstance(value, bool)
        if is_kind_of and not _has_parts(value):
            # A subclass of a plain type, such as pandas' of datetime: the annotation promises only the plain type.
            try:
                if value == decoded:
                    return None
            except Exception:  # noqa: BLE001, S110
                pass
        remedy = None
        if is_kind_of and type(decoded) is not object:
            remedy = f"annotate it as {type(value).__name__}, or as a union of the classes that it may be of"
        elif isinstance(value, float) and value != value:
            remedy = 'set ser_json_inf_nan="strings" in the configuration of the model'
        return Difference(path, f"{_name(value)} comes back as {_name(decoded)}", remedy)

    def _models(self, value: BaseModel, decoded: BaseModel, positions: Positions, path: Path) -> Difference | None:
        names = type(value).model_fields
        if list(names) == ["root"] and getattr(type(value), "__pydantic_root_model__", False):
            return self.compare(value.__dict__.get("root"), decoded.__dict__.get("root"), positions.field("root"), path)
        extra = value.model_extra or {}
        if len(extra) != len(decoded.model_extra or {}):
            return Difference(path, "a field that the model does not declare gets lost")
        return self._fields(value, decoded, [*names, *extra], positions, path)

    def _fields(
        self, value: Any, decoded: Any, names: Iterable[str], positions: Positions, path: Path
    ) -> Difference | None:
        for name in names:
            mine, other = getattr(value, name, _MISSING), getattr(decoded, name, _MISSING)
            if mine is not other and (found := self.compare(mine, other, positions.field(name), (*path, name))):
                return found
        return None

    def _dicts(
        self, value: Mapping[Any, Any], decoded: Mapping[Any, Any], positions: Positions, path: Path
    ) -> Difference | None:
        if len(value) != len(decoded):
            return Difference(path, "two of its keys are written alike")
        if positions.keys().are_loose:
            return self._in_order(value, decoded, positions, path)
        keys = {key: key for key in decoded}
        for key, mine in value.items():
            found = keys.get(key, _MISSING)
            if found is _MISSING or (type(found) is not type(key) and not _is_kind_of(key, found)):
                return Difference((*path, key), "the key comes back as another one")
            if below := self.compare(mine, decoded[key], positions.value(key), (*path, key)):
                return below
        return None

    def _in_order(
        self, value: Mapping[Any, Any], decoded: Mapping[Any, Any], positions: Positions, path: Path
    ) -> Difference | None:
        """Compare dicts whose keys come back as strings, by their order, which stays."""
        for (key, mine), other in zip(value.items(), decoded.values(), strict=True):
            if below := self.compare(mine, other, positions.value(key), (*path, key)):
                return below
        return None

    def _lists(
        self, value: Sequence[Any], decoded: Sequence[Any], positions: Positions, path: Path
    ) -> Difference | None:
        if len(value) != len(decoded):
            return Difference(path, f"{len(value):,} items come back as {len(decoded):,}")
        for index, (mine, other) in enumerate(zip(value, decoded, strict=True)):
            if mine is not other and (found := self.compare(mine, other, positions.item(index), (*path, index))):
                return found
        return None

    def _sets(self, value: Set[Any], decoded: Set[Any], positions: Positions, path: Path) -> Difference | None:
        if len(value) != len(decoded):
            return Difference(path, f"{len(value):,} items come back as {len(decoded):,}")
        found = {item: item for item in decoded}
        inside = positions.item(0)
        strays = [item for item in value if found.get(item, _MISSING) is _MISSING]
        others = [item for item in decoded if item not in value]
        for item in value:
            other = found.get(item, _MISSING)
            if other is not _MISSING and (below := self.compare(item, other, inside, path)):
                return below
        if len(strays) > _MOST_STRAYS:
            return Difference(path, "its items come back as others")
        for item in strays:
            twin = next((it for it in others if self.compare(item, it, inside, path) is None), _MISSING)
            if twin is _MISSING:
                return Difference(path, f"an item of type {type(item).__name__} comes back as another one")
            others = [it for it in others if it is not twin]
        return None

    def _loose(self, value: Any, decoded: Any, positions: Positions, path: Path) -> Difference | None:
        """Compare values annotated as `Any`: JSON's own values must come back unchanged, others as JSON writes them."""
        if isinstance(value, _SECRETS):
            return _secret(path)
        if isinstance(value, _JSON) and type(value) in _JSON:
            is_same = value == decoded or (value != value and decoded != decoded)  # NaN does not equal itself
            return None if type(value) is type(decoded) and is_same else _changed(value, decoded, path)
        if isinstance(value, Mapping) and isinstance(decoded, Mapping):
            if len(value) != len(decoded):
                return Difference(path, "two of its keys are written alike")
            for (key, mine), (written, other) in zip(value.items(), decoded.items(), strict=True):
                if type(key) is str and key != written:
                    return Difference((*path, key), "the key comes back as another one")
                if below := self._loose(mine, other, positions, (*path, key)):
                    return below
            return None
        if _is_list(value) and isinstance(decoded, list) and not hasattr(value, "_fields"):
            if len(value) != len(decoded):
                return Difference(path, f"{len(value):,} items come back as {len(decoded):,}")
            for index, (mine, other) in enumerate(zip(value, decoded, strict=True)):
                if below := self._loose(mine, other, positions, (*path, index)):
                    return below
            return None
        if (isinstance(value, BaseModel) or dataclasses.is_dataclass(value)) and isinstance(decoded, Mapping):
            for name, other in decoded.items():
                mine = getattr(value, name, _MISSING)
                if mine is not _MISSING and (below := self._loose(mine, other, positions, (*path, name))):
                    return below
        return None


@cache
def _names(cls: type) -> tuple[str, ...]:
    return tuple(each.name for each in dataclasses.fields(cast("Any", cls)))


def _changed(value: object, decoded: object, path: Path) -> Difference:
    if type(value) is not type(decoded):
        return Difference(path, f"{_name(value)} comes back as {_name(decoded)}")
    return Difference(path, f"{_name(value)} comes back as another one")


def _secret(path: Path) -> Difference:
    return Difference(
        path,
        "a secret is written as asterisks",
        "return a name by which the secret can be looked up, or give the field a serializer that reveals it",
    )


def _name(value: object) -> str:
    """The name of a value in messages: its type, because the value itself may be private."""
    if value is _MISSING:
        return "nothing"
    if isinstance(value, float) and value != value:
        return "NaN"
    return type(value).__name__ if value is not None else "None"


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence | deque) and not isinstance(value, str | bytes | bytearray)


def _has_parts(value: object) -> bool:
    return isinstance(value, BaseModel | Mapping | Set) or dataclasses.is_dataclass(value) or _is_list(value)


def _is_kind_of(value: object, base: object) -> bool:
    return isinstance(value, type(base)) and not isinstance(value, bool) and not _has_parts(value)
