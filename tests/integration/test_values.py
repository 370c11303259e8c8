"""What is stored can be read back: from the database, and by a worker."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, BeforeValidator, field_serializer

from baton_dsl import Flow, Input, step
from baton_dsl.errors import InputError
from baton_dsl.runtime.values import payload
from tests.conftest import StartOban


class Price(BaseModel):
    name: str
    value: float | None = None


class Split(BaseModel):
    parts: Annotated[list[str], BeforeValidator(lambda text: text.split(","))]

    @field_serializer("parts")
    def joined(self, parts: list[str]) -> str:
        return ",".join(parts)


@step(max_attempts=5, backoff=0)
def price() -> dict[str, Price]:
    return {"eu": Price(name="tea", value=math.nan)}


@step
def spend(price: dict[str, Price]) -> int:
    return len(price)


@step
def split() -> Split:
    return Split(parts="a,b")  # type: ignore[arg-type]


@step(max_attempts=5, backoff=0)
def parts(split: Split) -> int:
    return len(split.parts)


@step
def described(value: Input[dict[str, Any]]) -> str:
    return json.dumps(value)


@step
def measured(value: Input[int | float]) -> str:
    return type(value).__name__


async def test_a_result_that_would_not_come_back_ends_its_step_in_its_first_attempt(start_oban: StartOban) -> None:
    async with start_oban():
        workflow = await Flow("f", price, spend).insert()
        await workflow.wait(60)
        nodes = {node.step: node for node in await workflow.nodes()}
    assert (nodes["price"].state, nodes["price"].attempt, nodes["spend"].state) == ("discarded", 1, "cancelled")
    assert "returned dict, which can't be read back as dict[str, " in str(nodes["price"].error)
    assert ": eu.value: NaN comes back as None" in str(nodes["price"].error)


async def test_whatever_a_validator_raises_on_a_stored_value_ends_the_step_at_once(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban(queues={}):
        workflow = await Flow("f", split, parts).insert()
    async with start_oban(name="second"):
        await workflow.wait(60)
        assert (await workflow.status()).outcome == "completed"
    conn.execute("""UPDATE workflow_nodes SET result = '{"parts": 3}' WHERE step_name = 'split'""")
    async with start_oban(name="third"):
        await workflow.retry(from_step="parts")
        await workflow.wait(60)
        node = next(node for node in await workflow.nodes() if node.step == "parts")
    assert (node.state, node.attempt) == ("discarded", 2)
    assert 'BTN504: the stored result of "split" is no Split' in str(node.error)
    assert "AttributeError: 'int' object has no attribute 'split'" in str(node.error)


def test_an_input_that_would_not_come_back_is_refused_with_its_path(conn: psycopg.Connection[Any]) -> None:
    with pytest.raises(InputError, match=r"a\.1: NaN comes back as str"):
        Flow("f", described).insert(conn, value={"a": [1.0, float("nan")]})
    with pytest.raises(InputError, match="two of its keys are written alike"):
        Flow("f", described).insert(conn, value={"a": {1: 1, "1": 2}})


def test_a_float_that_jsonb_makes_an_int_of_is_refused_where_an_int_would_do(conn: psycopg.Connection[Any]) -> None:
    with pytest.raises(InputError, match="float comes back as int"):
        Flow("f", measured).insert(conn, value=1e22)
    Flow("f", measured).insert(conn, value=1.5)


numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
plain = st.recursive(
    numbers | st.none() | st.booleans() | st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=plain)
def test_inputs_are_compared_as_the_database_gives_them_back(conn: psycopg.Connection[Any], value: Any) -> None:
    text = json.dumps(value)
    (stored,) = conn.execute("SELECT %s::jsonb", [text]).fetchone() or ()
    seen = json.loads(payload._as_jsonb(text))
    told = [json.dumps(it, sort_keys=True).replace("-0.0", "0.0") for it in (seen, stored)]
    assert told[0] == told[1]
