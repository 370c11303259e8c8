"""A recursive alias by assignment is stored as it is annotated, as one by a `type` statement."""

# ruff: noqa: UP007 - a string has no operator for a union

from typing import Any, Union

import pytest
from pydantic import TypeAdapter, ValidationError

from baton_dsl import Each, Flow, Input, step
from baton_dsl.reflect import signature
from baton_dsl.testing import Baton

Json = Union[dict[str, "Json"], list["Json"], str, None]
Even = Union[list["Odd"], int]
Odd = Union[list["Even"], str]


class Scope:
    Names = Union[list["Names"], str]

    @step
    @staticmethod
    def names(raw: "Input[Names]") -> "Names":
        return raw


@step
def doc(raw: Input[Json]) -> list[Json]:
    return [raw, None]


@step
def items(doc: Each[Json]) -> Json:
    return doc


@step
def even(items: list[Json], number: "Input[Even | None]") -> "Even | None":
    return number


tree = Flow("tree", doc, items, even)


def annotation(of: Any, name: str) -> Any:
    return signature(of).annotations[name]


@pytest.mark.parametrize(
    ("annotated", "value", "wrong"),
    [
        (annotation(doc, "raw"), {"a": [None, {"b": "c"}]}, {"a": [1]}),
        (annotation(even, "number"), ["a", [1, ["b"]]], [1]),
        (annotation(Scope.names, "raw"), ["a", ["b"]], [["a", 1]]),
    ],
    ids=["itself", "two of each other", "in a class"],
)
def test_it_is_validated_to_any_depth(annotated: Any, value: object, wrong: object) -> None:
    adapter = TypeAdapter[Any](annotated)
    assert adapter.validate_json(adapter.dump_json(value)) == value
    with pytest.raises(ValidationError):
        adapter.validate_python(wrong)
    assert "$defs" in adapter.json_schema()


async def test_a_flow_with_it_runs(baton: Baton) -> None:
    run = await baton.run(tree, raw={"a": ["b"]}, number=["x"])
    assert run[even] == ["x"]
