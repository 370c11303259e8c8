"""Finds the running workflows that new code can't finish: each kind of change, before and after a settle."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest

from baton_dsl.errors import SchemaMissingError
from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.observing.deploy import Judgement, judge
from tests.conftest import StartOban
from tests.integration.modules import steps
from tests.integration.test_at_once import SETTLE

OLD = """
from typing import Annotated, Any, Literal
from baton_dsl import Flow, From, Input, step
from pydantic import BaseModel, BeforeValidator, Field

class Order(BaseModel):
    sku: str
    count: int

@step
def fetch(region: Input[str]) -> list[Order]:
    return [Order(sku=region, count=7)]

@step
def report(fetch: list[Order]) -> str:
    return f"{len(fetch)} orders"

shop = Flow("shop", fetch, report)
"""
STORED = '[{"sku": "a", "count": 7}]'

type Code = Callable[[str], ModuleType]
type Deploy = Callable[..., list[str]]


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Code]:
    """Write a text as the code of the module `shopcode`."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def become(text: str) -> ModuleType:
        (tmp_path / "shopcode.py").write_text(text, encoding="utf-8")
        sys.modules.pop("shopcode", None)
        importlib.invalidate_caches()
        return importlib.import_module("shopcode")

    yield become
    sys.modules.pop("shopcode", None)


@pytest.fixture
def in_flight(code: Code, conn: psycopg.Connection[Any]) -> str:
    """The id of a workflow that the old code inserted."""
    workflow_id: str = code(OLD).shop.insert(conn, region="us").id
    return workflow_id


@pytest.fixture
def deploy(code: Code, dsn: str) -> Deploy:
    """The problems of new code, which is the old code with texts replaced: pairs of old and new."""

    def told(*changes: str, stopped: bool = False) -> list[str]:
        text = OLD
        for old, new in zip(changes[::2], changes[1::2], strict=True):
            assert old in text
            text = text.replace(old, new)
        code(text)
        return [
            f"{obstacle.step}: {obstacle.problem}; {obstacle.remedy}" for obstacle in looked(dsn, stopped).obstacles
        ]

    return told


def looked(dsn: str, stopped: bool = False) -> Judgement:
    return judge(Database.configured(dsn=dsn), ["shopcode"], stopped=stopped)


def settle(conn: psycopg.Connection[Any], stored: str = STORED) -> None:
    row = conn.execute("SELECT oban_job_id FROM workflow_nodes WHERE step_name = 'fetch'").fetchone()
    assert row is not None
    conn.execute(SETTLE.replace("'7'", "%s"), [row[0], stored])


KEEP = "keep it until these workflows have ended (if it has moved, import it in the old module too), or cancel them"
ACCEPT = "let the annotation accept what is stored too, until they have ended"
BOTH = (
    "let the annotation accept both until they have ended; or stop every worker before the code changes, and check "
    "with --stopped"
)


@pytest.mark.usefixtures("in_flight")
@pytest.mark.parametrize("is_settled", [False, True])
@pytest.mark.parametrize(
    "changes",
    [
        (),
        ('return f"', 'return "now " + f"'),
        ("count: int", "count: int | str"),
        ("count: int", "count: float\n    price: float = 1.0"),
        ('Flow("shop", fetch, report)', 'Flow("shop", step(lambda: 1), report)'),
        ("report(fetch: list[Order])", 'report(orders: Annotated[list[Order], From("fetch")])'),
        ("region: Input[str]", "region: Input[str], since: Input[int] = 1"),
        ("count: int", "count: Annotated[str, BeforeValidator(str)]"),
        ("report(fetch: list[Order])", "report(fetch: Any)"),
        ("def report(fetch: list[Order])", "def report(fetch: list[dict[str, Any]])"),
    ],
)
def test_what_the_new_code_can_finish_is_silent(
    conn: psycopg.Connection[Any], deploy: Deploy, changes: tuple[str, ...], is_settled: bool
) -> None:
    if is_settled:
        settle(conn)
    assert deploy(*changes) == []


@pytest.mark.usefixtures("in_flight")
def test_a_removed_step_is_told(deploy: Deploy) -> None:
    gone = 'its function is gone: module "shopcode" has no step "report"'
    assert deploy("def report", "def summary", "fetch, report", "fetch, summary") == [f"report: {gone}; {KEEP}"]


def test_code_that_can_not_be_imported_is_told(in_flight: str, dsn: str, code: Code, tmp_path: Path) -> None:
    (tmp_path / "shopcode.py").write_text("1 / 0", encoding="utf-8")
    sys.modules.pop("shopcode")
    importlib.invalidate_caches()
    told = [str(obstacle) for obstacle in looked(dsn).obstacles]
    reason = "can't be imported: ZeroDivisionError: division by zero"
    assert told == [
        f'workflow "{in_flight}" of flow "shop", step "{step}": its function is gone: module "shopcode" of step '
        f'"{step}" {reason}; {KEEP}'
        for step in ("fetch", "report")
    ]


@pytest.mark.usefixtures("in_flight")
@pytest.mark.parametrize("is_settled", [False, True])
def test_a_renamed_parameter_is_told_with_the_name_that_would_do(
    conn: psycopg.Connection[Any], deploy: Deploy, is_settled: bool
) -> None:
    if is_settled:
        settle(conn)
    told = deploy("report(fetch: list[Order])", "report(orders: list[Order])")
    assert told == [
        (
            'report: parameter "orders" takes the result of "orders", for which the step did not wait when the '
            'workflow was inserted: it waits for "fetch"; name what it reads: orders: Annotated[..., From("fetch")]'
        )
    ]


@pytest.mark.usefixtures("in_flight")
def test_a_further_upstream_is_told(deploy: Deploy) -> None:
    told = deploy("report(fetch: list[Order])", "report(fetch: list[Order], rates: dict[str, float])")
    assert told == [
        (
            'report: parameter "rates" takes the result of "rates", for which the step did not wait when the '
            f'workflow was inserted: it waits for "fetch"; {KEEP}'
        )
    ]


@pytest.mark.usefixtures("in_flight")
def test_a_further_input_without_a_default_is_told(deploy: Deploy) -> None:
    assert deploy("region: Input[str]", "region: Input[str], since: Input[int]") == [
        'fetch: input "since" was not given when the workflow was inserted; give it a default, until they have ended'
    ]


@pytest.mark.usefixtures("in_flight")
def test_an_input_whose_stored_value_is_refused_is_told(deploy: Deploy) -> None:
    assert deploy("region: Input[str]", 'region: Input[Literal["eu", "us"]]') == []
    assert deploy("region: Input[str]", 'region: Input[Literal["eu"]]') == [
        (
            'fetch: the stored input "region" of step "fetch" is no typing.Literal[\'eu\']: '
            f"Input should be 'eu'; {ACCEPT}"
        )
    ]


@pytest.mark.usefixtures("in_flight")
def test_a_stored_result_is_tried_and_not_guessed_at(conn: psycopg.Connection[Any], deploy: Deploy) -> None:
    settle(conn)
    assert deploy("count: int", "count: Annotated[int, Field(le=7)]") == []
    assert deploy("count: int", "count: Annotated[int, Field(le=6)]") == [
        (
            'report: the stored result of "fetch" is no list[shopcode.Order], which parameter "fetch" of step "report" '
            f"expects: 0.count: Input should be less than or equal to 6; {ACCEPT}"
        )
    ]


@pytest.mark.usefixtures("in_flight")
def test_a_result_that_old_workers_may_still_store_is_compared_unless_they_are_stopped(deploy: Deploy) -> None:
    narrowed = ("count: int", "count: int\n    price: float")
    assert deploy(*narrowed) == [
        (
            'report: the result of "fetch" does not fit parameter "fetch": where the code from before still runs, '
            f"each item has no 'price', which is expected; {BOTH}"
        )
    ]
    assert deploy(*narrowed, stopped=True) == []


@pytest.mark.usefixtures("in_flight")
def test_new_code_that_does_not_fit_itself_is_told_also_when_all_is_stopped(deploy: Deploy) -> None:
    told = deploy("report(fetch: list[Order])", "report(fetch: dict[str, int])", stopped=True)
    assert told == [
        (
            'report: the result of "fetch" does not fit parameter "fetch": it is a list, an object is expected; '
            "let the annotation accept it"
        )
    ]


def test_a_workflow_whose_fingerprint_is_unknown_is_judged_by_what_is_stored(
    in_flight: str, conn: psycopg.Connection[Any], deploy: Deploy
) -> None:
    conn.execute("DELETE FROM baton_flows")
    assert deploy("count: int", "count: int\n    price: float") == []
    settle(conn)
    (told,) = deploy("count: int", "count: int\n    price: float")
    assert "0.price: Field required" in told


def test_each_workflow_is_counted_and_what_has_ended_or_belongs_to_others_is_left_alone(
    code: Code, conn: psycopg.Connection[Any], dsn: str
) -> None:
    shop = code(OLD).shop
    for number in range(3):
        shop.options(workflow_id=f"w{number}").insert(conn, region="us")
    steps.billing.insert(conn, api_key="k")
    conn.execute("UPDATE oban_jobs SET state = 'cancelled' WHERE meta ->> 'workflow_id' = 'w1'")
    code("")
    judgement = looked(dsn)
    assert judgement.workflows == 2
    assert [(it.workflow_id, it.step) for it in judgement.obstacles] == [
        ("w0", "fetch"),
        ("w2", "fetch"),
        ("w0", "report"),
        ("w2", "report"),
    ]


def test_an_ignored_upstream_that_was_cancelled_has_nothing_to_be_tried(
    code: Code, conn: psycopg.Connection[Any], deploy: Deploy
) -> None:
    optional = OLD.replace("fetch: list[Order]", "fetch: list[Order] | None")
    code(optional).shop.options(ignore_cancelled=True).insert(conn, region="us")
    conn.execute("UPDATE oban_jobs SET state = 'cancelled' WHERE worker LIKE '%fetch'")
    assert deploy("report(fetch: list[Order])", "report(fetch: list[Order] | None)", "count: int", "count: bool") == []


def test_a_database_without_our_tables_is_told(empty_dsn: str) -> None:
    with pytest.raises(SchemaMissingError):
        looked(empty_dsn)


async def test_a_stored_result_that_does_not_validate_any_more_ends_its_step_at_once_and_names_both(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    workflow = steps.billing.insert(conn, api_key="k")
    row = conn.execute("SELECT oban_job_id FROM workflow_nodes WHERE step_name = 'fetch_token'").fetchone()
    assert row is not None
    conn.execute(SETTLE.replace("'7'", "%s"), [row[0], '{"token": "of another version"}'])
    async with start_oban():
        assert (await workflow.wait(60)).outcome == "discarded"
    regions = next(node for node in await workflow.nodes() if node.step == "regions")
    assert (regions.state, regions.attempt) == ("discarded", 1)
    assert regions.error is not None
    told = 'BTN504: the stored result of "fetch_token" is no Token, which parameter "fetch_token" of step "regions" '
    assert told in regions.error
    assert "the code has changed since the value was stored" in regions.error


# --- maps ----------------------------------------------------------------------------------------------------------

MAPPED = """
from typing import Annotated, Any
from baton_dsl import Each, Flow, Input, Outcome, step
from pydantic import Field

@step
def regions() -> list[str]:
    return ["eu", "us"]

@step
def token(key: Input[str]) -> str:
    return key

@step
def orders(regions: Each[str], token: str) -> int:
    return len(regions)

@step
def report(orders: list[int]) -> str:
    return str(sum(orders))

shop = Flow("shop", regions, token, orders, report)
"""


@pytest.fixture
def mapped(code: Code, conn: psycopg.Connection[Any], dsn: str) -> Callable[..., list[str]]:
    """The problems of new code for a workflow with a map of which these nodes have settled."""
    code(MAPPED).shop.insert(conn, key="k")

    def told(settled: dict[str, str], *changes: str) -> list[str]:
        for name, stored in settled.items():
            row = conn.execute("SELECT oban_job_id FROM workflow_nodes WHERE step_name = %s", [name]).fetchone()
            assert row is not None
            conn.execute(SETTLE.replace("'7'", "%s"), [row[0], stored])
        text = MAPPED
        for old, new in zip(changes[::2], changes[1::2], strict=True):
            assert old in text
            text = text.replace(old, new)
        code(text)
        return [f"{obstacle.step}: {obstacle.problem}" for obstacle in looked(dsn).obstacles]

    return told


REGIONS = {"regions": '["eu", "us"]'}
EXPANDED = {**REGIONS, "token": '"t"'}
ALL_ITEMS = {**EXPANDED, "orders[0]": "2"}


@pytest.mark.parametrize("settled", [{}, REGIONS, EXPANDED, ALL_ITEMS, {**ALL_ITEMS, "orders[1]": "3"}])
def test_a_map_that_has_not_changed_is_silent_however_far_it_has_come(
    mapped: Callable[..., list[str]], settled: dict[str, str]
) -> None:
    assert mapped(settled) == []


def test_a_collection_is_tried_before_it_is_expanded_and_its_items_afterwards(
    mapped: Callable[..., list[str]],
) -> None:
    narrowed = ("regions: Each[str]", "regions: Each[Annotated[str, Field(max_length=1)]]")
    (told,) = mapped(REGIONS, *narrowed)
    assert told.startswith('orders: the stored result of "regions" is no list[')
    assert told.endswith("0: String should have at most 1 character")
    (told,) = mapped({"token": '"t"'}, *narrowed)
    assert told.startswith('orders: an item of "regions" is no typing.Annotated[str, ')


def test_a_step_that_becomes_a_map_or_none_is_told(mapped: Callable[..., list[str]]) -> None:
    told = mapped({}, "regions: Each[str]", "regions: list[str]", "orders: list[int]", "orders: Each[int]")
    assert told == [
        'orders: it maps over nothing, and mapped over "regions" when the workflow was inserted',
        'report: it maps over "orders", and mapped over nothing when the workflow was inserted',
    ]


def test_what_the_items_of_a_map_returned_is_tried_as_its_reader_asks_for_it(
    mapped: Callable[..., list[str]], conn: psycopg.Connection[Any]
) -> None:
    done = {**ALL_ITEMS, "orders[1]": "3"}
    assert mapped(done, "orders: list[int]", "orders: list[Outcome[int]]") == []
    assert mapped({}, "orders: list[int]", "orders: list[int | None]") == []
    (told,) = mapped({}, "orders: list[int]", "orders: list[Annotated[int, Field(le=2)]]")
    assert told.endswith("expects: 1: Input should be less than or equal to 2")


COMPARED = """
from baton_dsl import Flow, StepContext, step

@step(models=("anthropic:a", "openai:b"))
def assess(context: StepContext) -> int:
    return 1

@step
def report(assess: dict[str, int]) -> str:
    return str(assess)

review = Flow("review", assess, report)
"""


def test_a_step_of_several_models_is_compared_with_what_it_was(
    code: Code, conn: psycopg.Connection[Any], dsn: str
) -> None:
    code(COMPARED).review.insert(conn)

    def told(*changes: str) -> list[str]:
        text = COMPARED
        for old, new in zip(changes[::2], changes[1::2], strict=True):
            text = text.replace(old, new)
        code(text)
        return [f"{obstacle.step}: {obstacle.problem}" for obstacle in looked(dsn).obstacles]

    assert told() == []
    assert told('models=("anthropic:a", "openai:b")', 'models=("openai:b", "local:c", "local:d")') == []
    single = ('models=("anthropic:a", "openai:b")', 'models="openai:b"', "assess: dict[str, int]", "assess: int")
    assert "assess: it does not run once for each model, as it did when the workflow was inserted" in told(*single)
    for name, stored in (("assess[0]", "1"), ("assess[1]", "2")):
        row = conn.execute("SELECT oban_job_id FROM workflow_nodes WHERE step_name = %s", [name]).fetchone()
        assert row is not None
        conn.execute(SETTLE.replace("'7'", "%s"), [row[0], stored])
    assert told() == []
    (bad,) = told("assess: dict[str, int]", "assess: dict[str, bool]")
    assert bad.startswith('report: the stored result of "assess" is no dict[str, bool]')
