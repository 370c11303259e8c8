"""Maps, fan-ins and branches run end to end: results, states, counts, and failures."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from baton_dsl import Flow, Workflow
from baton_dsl.errors import (
    InputError,
    ItemNotFoundError,
    ResultNotReadyError,
    StepNotInWorkflowError,
    WorkflowNotFoundError,
)
from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.database.snapshot import read
from baton_dsl.runtime.observing.doctor import examine
from tests.conftest import StartOban, until
from tests.integration.modules import map_steps, mapped
from tests.integration.test_processes import oban_start

TIMEOUT = 60


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    for event in map_steps.HELD.values():
        event.set()
    for memory in (map_steps.RUNS, map_steps.HELD, map_steps.AT_ONCE, map_steps.BROKEN):
        memory.clear()


async def ended(flow: Flow[..., Any], **inputs: Any) -> tuple[Workflow[str], dict[str, str]]:
    """Run a flow to its end; returns the workflow, and the state of each step with the counts of its items."""
    workflow = await flow.insert(**inputs)
    await workflow.wait(TIMEOUT)
    return workflow, await states(workflow)


async def states(workflow: Workflow[Any]) -> dict[str, str]:
    """The state of each step, with the counts of its items: `discarded: completed 2, discarded 1`."""
    found = {}
    for node in await workflow.nodes():
        counts = ", ".join(f"{state} {count}" for state, count in sorted((node.items or {}).items()))
        found[node.step] = node.state if node.items is None else f"{node.state}: {counts}"
    return found


# --- every shape ----------------------------------------------------------------------------------------------------

SHAPES: dict[str, tuple[Flow[..., Any], dict[str, Any], dict[str, str], dict[str, Any]]] = {
    "a map": (
        mapped.summing,
        {"count": 5, "offset": 1},
        {"numbers": "completed", "squares": "completed: completed 5", "total": "completed"},
        {"squares": [1, 2, 5, 10, 17], "total": 35},
    ),
    "a map over nothing": (
        mapped.summing,
        {"count": 0},
        {"numbers": "completed", "squares": "completed: ", "total": "completed"},
        {"squares": [], "total": 0},
    ),
    "a dict": (
        mapped.labelling,
        {},
        {"prices": "completed", "labels": "completed: completed 2"},
        {"labels": ["tea: 2.5", "milk: 1.25"]},
    ),
    "an input": (
        mapped.greeting,
        {"names": ["Ann", "Bob"], "greeting": "Hi"},
        {"greet": "completed: completed 2", "letter": "completed"},
        {"greet": ["Hi Ann", "Hi Bob"], "letter": "Hi Ann, Hi Bob"},
    ),
    "an empty input": (
        mapped.greeting,
        {"names": [], "greeting": "Hi"},
        {"greet": "completed: ", "letter": "completed"},
        {"greet": [], "letter": ""},
    ),
    "a map after a map": (
        mapped.chained,
        {"count": 3},
        {
            "numbers": "completed",
            "squares": "completed: completed 3",
            "halves": "completed: completed 3",
            "both": "completed",
        },
        {"both": [(0, 0.0), (1, 0.5), (4, 2.0)]},
    ),
    "a map after a map over nothing": (
        mapped.chained,
        {"count": 0},
        {"numbers": "completed", "squares": "completed: ", "halves": "completed: ", "both": "completed"},
        {"both": []},
    ),
    "a product": (
        mapped.crossing,
        {"count": 3, "left": ["a", "b"]},
        {"numbers": "completed", "pairs": "completed: completed 6", "joined": "completed"},
        {"joined": "a0 a1 a2 b0 b1 b2"},
    ),
    "a product with nothing": (
        mapped.crossing,
        {"count": 3, "left": []},
        {"numbers": "completed", "pairs": "completed: ", "joined": "completed"},
        {"joined": ""},
    ),
    "a zip": (
        mapped.zipping,
        {"count": 3, "names": ["x", "y", "z"]},
        {"numbers": "completed", "squares": "completed: completed 3", "named": "completed: completed 3"},
        {"named": ["x=0", "y=1", "z=4"]},
    ),
    "two levels": (
        mapped.shelving,
        {"sizes": [[1, 2], [], [3]]},
        {
            "shelves": "completed",
            "doubled": "completed: completed 3",
            "rows": "completed: completed 3",
            "nested_report": "completed",
        },
        {"doubled": [[2, 4], [], [6]], "nested_report": "[[2, 4], [], [6]] [6, 0, 6]"},
    ),
    "two levels of nothing": (
        mapped.shelving,
        {"sizes": [[], []]},
        {
            "shelves": "completed",
            "doubled": "completed: ",
            "rows": "completed: completed 2",
            "nested_report": "completed",
        },
        {"doubled": [[], []], "nested_report": "[[], []] [0, 0]"},
    ),
    "three levels that grow": (
        mapped.growing,
        {"count": 4},
        {
            "numbers": "completed",
            "upto": "completed: completed 4",
            "spread": "completed: completed 6",
            "deepest": "completed: completed 4",
            "tree": "completed",
        },
        {"deepest": [[], [[]], [[], ["1!"]], [[], ["1!"], ["2!", "2!"]]]},
    ),
    "what stands beside the items": (
        mapped.sharing,
        {"scale": 2},
        {"atlas": "completed", "regions": "completed", "maps": "completed: completed 3"},
        {
            "maps": [
                f"maps({index},) {region} of 3 in 400000, ['atlas', 'regions']"
                for index, region in enumerate(("eu", "us", "asia"))
            ]
        },
    ),
    "items that fail": (
        mapped.failing,
        {"count": 4, "bad": [1, 2]},
        {
            "numbers": "completed",
            "fragile": "discarded: completed 2, discarded 2",
            "strict": "cancelled",
            "lenient": "completed",
            "told": "completed",
        },
        {
            "lenient": [0, None, None, 3],
            "told": ["0", "discarded ['ValueError: 1 is bad']", "discarded ['ValueError: 2 is bad']", "3"],
        },
    ),
    "an item that is cancelled": (
        mapped.failing,
        {"count": 100},
        {
            "numbers": "completed",
            "fragile": "cancelled: cancelled 1, completed 99",
            "strict": "cancelled",
            "lenient": "completed",
            "told": "completed",
        },
        {"lenient": [*range(99), None], "told": [*map(str, range(99)), "cancelled ['no 99']"]},
    ),
    "a map after one that fails": (
        mapped.following,
        {"count": 3, "bad": [1]},
        {
            "numbers": "completed",
            "fragile": "discarded: completed 2, discarded 1",
            "after_fragile": "cancelled: cancelled 1, completed 2",
        },
        {},
    ),
    "enough items that succeed": (
        mapped.demanding,
        {"count": 4, "bad": [1, 3]},
        {"numbers": "completed", "enough": "completed: completed 2, discarded 2", "counted": "completed"},
        {"counted": 2, "enough": [0, 2]},
    ),
    "too few items that succeed": (
        mapped.demanding,
        {"count": 4, "bad": [0, 1, 3]},
        {"numbers": "completed", "enough": "discarded: completed 1, discarded 3", "counted": "cancelled"},
        {},
    ),
    "the one branch": (
        mapped.branching,
        {"given": 3},
        {
            "amount": "completed",
            "small": "completed",
            "large": "skipped",
            "wrap": "skipped",
            "join": "completed",
            "later": "completed",
        },
        {"join": "small None", "later": "later"},
    ),
    "the other branch": (
        mapped.branching,
        {"given": 30},
        {
            "amount": "completed",
            "small": "skipped",
            "large": "completed",
            "wrap": "completed",
            "join": "completed",
            "later": "completed",
        },
        {"join": "None <large>"},
    ),
    "items that are skipped": (
        mapped.filtering,
        {"count": 5},
        {
            "numbers": "completed",
            "evens": "completed: completed 3, skipped 2",
            "even_halves": "completed: completed 3, skipped 2",
            "even_marks": "completed: completed 5",
            "even_report": "completed",
        },
        {
            "even_report": "[0, 2, 4] [0, 1, 2] ['0', '-', '2', '-', '4'] [0, None, 2, None, 4] "
            "[('completed', None), ('skipped', 'odd'), ('completed', None), ('skipped', 'odd'), ('completed', None)]"
        },
    ),
    "as many items as there may be": (
        mapped.bounded,
        {"count": 5},
        {"numbers": "completed", "few": "completed: completed 5", "few_total": "completed"},
        {"few_total": 10},
    ),
    "a window": (
        mapped.windowed,
        {"count": 20},
        {"numbers": "completed", "gentle": "completed: completed 20", "gentle_total": "completed"},
        {"gentle": list(range(20)), "gentle_total": 190},
    ),
}


@pytest.mark.parametrize(("flow", "inputs", "expected", "results"), SHAPES.values(), ids=SHAPES)
async def test_a_flow_ends_as_it_should_with(
    start_oban: StartOban, flow: Flow[..., Any], inputs: dict[str, Any], expected: dict[str, str], results: Any
) -> None:
    async with start_oban():
        workflow, found = await ended(flow, **inputs)
        assert found == expected
        assert {name: await workflow.result(name) for name in results} == results
        assert list(await workflow.results()) == [name for name, state in expected.items() if state[:4] == "comp"]
        assert workflow.sync.nodes() == await workflow.nodes()
        outcomes = {state.partition(":")[0] for state in expected.values()}
        worst = "discarded" if "discarded" in outcomes else "cancelled" if "cancelled" in outcomes else "completed"
        assert (await workflow.status()).outcome == worst


# --- single items ---------------------------------------------------------------------------------------------------


async def test_an_item_has_a_name_a_state_and_a_result_of_its_own(start_oban: StartOban) -> None:
    async with start_oban():
        workflow, _ = await ended(mapped.failing, count=3, bad=[1])
        items = await workflow.items(mapped.fragile)
        assert items == workflow.sync.items("fragile")
        assert [(item.step, item.state, item.attempt) for item in items] == [
            ("fragile[0]", "completed", 1),
            ("fragile[1]", "discarded", 1),
            ("fragile[2]", "completed", 1),
        ]
        assert "ValueError: 1 is bad" in (items[1].error or "")
        assert await workflow.result(mapped.fragile, 2) == workflow.sync.result("fragile", (2,)) == 2
        with pytest.raises(ResultNotReadyError, match=r'"fragile\[1\]" was discarded'):
            await workflow.result(mapped.fragile, 1)
        with pytest.raises(ResultNotReadyError, match='"fragile" was discarded'):
            await workflow.result(mapped.fragile)
        assert await workflow.items(mapped.numbers) == []


async def test_an_item_that_is_not_there_is_told(start_oban: StartOban) -> None:
    async with start_oban():
        workflow, _ = await ended(mapped.summing, count=2)
        for index in (2, -1, (0, 0)):
            with pytest.raises(ItemNotFoundError, match=r'step "squares" of workflow ".+" has no item') as raised:
                await workflow.result(mapped.squares, index)
            assert raised.value.code == "BTN413"
            assert "workflow.items(step)" in str(raised.value)
        with pytest.raises(ItemNotFoundError):
            workflow.sync.result("total", 0)
        with pytest.raises(StepNotInWorkflowError, match='did you mean "squares"'):
            await workflow.result("sqares", 0)
        with pytest.raises(StepNotInWorkflowError, match='did you mean "squares"'):
            await workflow.items("sqares")
        with pytest.raises(WorkflowNotFoundError):
            Workflow.load("nowhere").sync.items("squares")


async def test_items_of_lists_of_lists_are_in_order_however_they_came_to_be(start_oban: StartOban) -> None:
    async with start_oban():
        workflow, _ = await ended(mapped.growing, count=4)
        names = [item.step for item in await workflow.items(mapped.deepest)]
        assert names == ["deepest[2,1,0]", "deepest[3,1,0]", "deepest[3,2,0]", "deepest[3,2,1]"]
        assert await workflow.result(mapped.deepest, (3, 2, 1)) == "2!"
        assert await workflow.result("deepest", (3, 2)) == ["2!", "2!"]
        assert await workflow.result("deepest", 2) == [[], ["1!"]]


async def test_results_of_a_map_are_lists_as_deep_as_is_said(start_oban: StartOban) -> None:
    async with start_oban():
        workflow, _ = await ended(mapped.shelving, sizes=[[1], [], [2, 3]])
        lists = await workflow.result(mapped.doubled)
        assert await workflow.results_of(mapped.doubled, levels=2) == lists
        assert workflow.sync.results_of("doubled", levels=2) == lists
        assert (
            await workflow.results_of(mapped.doubled, 2) == workflow.sync.results_of(mapped.doubled, (2,)) == lists[2]
        )
        assert await workflow.results_of(mapped.rows) == await workflow.result(mapped.rows)
        for wrong, told in {
            lambda: workflow.sync.results_of(
                mapped.nested_report
            ): '"nested_report" is not mapped, so it has one result',
            lambda: workflow.sync.results_of("shelves"): "; ask for result(shelves)",
            lambda: workflow.sync.results_of(mapped.doubled): 'step "doubled" is mapped 2 levels deep, but lists of 1',
            lambda: workflow.sync.results_of(mapped.rows, levels=2): "say results_of(rows)",
            lambda: workflow.sync.results_of(mapped.doubled, (2, 1)): '"doubled[2,1]" is an item of a map: one result',
            lambda: workflow.sync.results_of(mapped.doubled, 2, levels=2): "say results_of(doubled, 2)",
            lambda: workflow.sync.results_of("doubled", 2, levels=0): "say results_of(doubled, 2)",
            lambda: workflow.sync.results_of(mapped.doubled, 9): "has no item 9",
        }.items():
            with pytest.raises(ItemNotFoundError, match=re.escape(told)):
                wrong()
        with pytest.raises(StepNotInWorkflowError, match='did you mean "doubled"'):
            await workflow.results_of("dubled")


async def test_what_failed_two_levels_down_leaves_its_place_empty(start_oban: StartOban) -> None:
    async with start_oban():
        workflow, found = await ended(map_steps.gridding, sizes=[[1, -2], [], [-3], [4]])
        assert found["cell"] == "discarded: completed 2, discarded 2"
        assert await workflow.result(map_steps.cells) == (
            [[1, None], [], [None], [4]],
            [["completed", "discarded"], [], ["discarded"], ["completed"]],
        )


# --- what an item may be --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        {"aNUL": "NULbNULNUL", "c": "d"},
        {"\\u0000": "\\", "\\NUL\\": "\\\\NUL", '"NUL"': '\\"', "ü\\\\u0000": "\\\\\\NUL"},
        {"": "", "\\u0000": "\\\\u0000"},
    ],
    ids=["NULs", "NULs among backslashes", "none, though it looks so"],
)
async def test_a_dict_is_mapped_over_whatever_characters_are_in_it(
    start_oban: StartOban, values: dict[str, str]
) -> None:
    async with start_oban():
        workflow, found = await ended(map_steps.carrying, values=values)
        assert found["pair"] == f"completed: completed {len(values)}"
        back = await workflow.result(map_steps.back)
        assert back == {key.replace("NUL", "\0"): value.replace("NUL", "\0") for key, value in values.items()}
        assert list(back) == list(await workflow.result(map_steps.pairs))


async def test_large_integers_arrive_as_they_left(start_oban: StartOban) -> None:
    async with start_oban():
        workflow, _ = await ended(map_steps.growing)
        assert await workflow.result(map_steps.largest) == [10 * 2**63, -(10**41), 70]


async def test_a_reason_that_can_not_be_stored_is_escaped(start_oban: StartOban) -> None:
    """Oban would try to store such an error forever, and no other job of the queue would start."""
    async with start_oban():
        workflow, found = await ended(map_steps.speaking)
        assert found["unspeakable"] == "discarded: cancelled 1, discarded 1, skipped 1"
        reasons = [(item.error or "").strip().splitlines()[-1] for item in await workflow.items("unspeakable")]
        assert reasons == [
            r"ValueError: a \x00 and a \ud800",
            r"c \x00 and c \ud800",
            r"b \x00 and b \ud800",
        ]


@pytest.mark.parametrize(
    ("value", "kind"), [(7, "number"), ("text", "string"), (None, "null"), (True, "boolean")], ids=repr
)
async def test_what_is_no_collection_is_refused_and_stays_readable(
    start_oban: StartOban, value: Any, kind: str
) -> None:
    async with start_oban():
        workflow, found = await ended(map_steps.guessing, values=value)
        assert found == {
            "given": "completed",
            "whole_number": "discarded: ",
            "all_numbers": "cancelled",
            "told": "completed",
        }
        assert await workflow.result(map_steps.given) == value
        assert (await workflow.nodes())[1].error == (
            f'BTN509: "whole_number" maps over what is no collection: parameter "given" got {kind}; '
            "let what it maps over be a list or a dict"
        )
        assert "BTN509" in await workflow.why("all_numbers")
        assert await workflow.result(map_steps.told) == []


async def test_an_item_that_does_not_validate_fails_at_once_and_the_others_go_on(start_oban: StartOban) -> None:
    async with start_oban():
        workflow, found = await ended(map_steps.guessing, values=[1, "two", 3])
        assert found["whole_number"] == "discarded: completed 2, discarded 1"
        assert found["all_numbers"] == "cancelled"
        item = (await workflow.items("whole_number"))[1]
        assert item.attempt == 1
        assert (
            'BTN504: an item of "given" is no int, which parameter "given" of step "whole_number[1]" expects: '
            "Input should be a valid integer" in (item.error or "")
        )
        one, two, three = await workflow.result(map_steps.told)
        assert (one, three) == ("1", "3")
        assert "BTN504" in two
        assert await workflow.result(map_steps.given) == [1, "two", 3]


async def test_collections_of_different_lengths_are_not_zipped(start_oban: StartOban) -> None:
    async with start_oban():
        workflow, found = await ended(mapped.zipping, count=3, names=["x"])
        assert found["named"] == "discarded: "
        assert await workflow.result(mapped.squares) == [0, 1, 4]
        assert (await workflow.nodes())[-1].error == (
            'BTN509: "named" zips collections of different lengths: "names" has 1, "squares" has 3; '
            'make them equally long, or say combine="product"'
        )


async def test_more_items_than_the_bound_are_refused_before_any_is_made(
    start_oban: StartOban, conn: psycopg.Connection[Any]
) -> None:
    async with start_oban():
        workflow, found = await ended(mapped.bounded, count=6)
        assert found == {"numbers": "completed", "few": "discarded: ", "few_total": "cancelled"}
        assert await workflow.result(mapped.numbers) == list(range(6))
        assert (await workflow.nodes())[1].error == (
            'BTN513: "few" would have 6 items, its max_items is 5; raise max_items of the step, or map over fewer'
        )
        assert conn.execute("SELECT count(*) FROM oban_jobs").fetchone() == (2,)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["Ann", 3], "got list: [1]: Input should be a valid string"),
        ("Ann", "got str"),
        (["A\0"], "got list: a NUL character can't be stored"),
    ],
    ids=["an item", "the whole", "a character"],
)
def test_an_input_that_can_not_be_mapped_over_is_refused_at_insert(
    conn: psycopg.Connection[Any], names: Any, said: str
) -> None:
    with pytest.raises(InputError) as raised:
        mapped.greeting.insert(conn, names=names, greeting="Hi")
    (finding,) = raised.value.diagnostics
    assert (finding.code, finding.message) == ("BTN303", f'input "names" must be list[str], {said}')
    assert conn.execute("SELECT count(*) FROM workflow_nodes").fetchone() == (0,)


async def test_a_map_says_how_many_of_its_items_failed_and_how_many_may(start_oban: StartOban) -> None:
    async with start_oban():
        strict, _ = await ended(mapped.failing, count=3, bad=[1])
        least, _ = await ended(mapped.demanding, count=4, bad=[0, 1, 3])
        assert (await strict.nodes())[1].error == (
            'BTN511: 1 of 3 items failed; workflow.items("fragile") tells why, workflow.retry() tries them again'
        )
        assert (await least.nodes())[1].error == (
            'BTN511: 3 of 4 items failed, 2 must succeed; workflow.items("enough") tells why, '
            "workflow.retry() tries them again"
        )
        assert 'because of "fragile[1]"' in await strict.why(mapped.strict)


# --- operating ------------------------------------------------------------------------------------------------------


async def test_a_retry_runs_the_items_that_failed_and_what_is_behind_them_and_nothing_else(
    start_oban: StartOban,
) -> None:
    map_steps.BROKEN.update({1, 3})
    async with start_oban():
        workflow, found = await ended(map_steps.counting, count=4)
        assert found == {
            "numbers": "completed",
            "counted": "discarded: completed 2, discarded 2",
            "followed": "cancelled: cancelled 2, completed 2",
            "totals": "cancelled",
        }
        map_steps.BROKEN.clear()
        assert await workflow.retry() is True
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        assert await workflow.result(map_steps.totals) == 12
        assert await workflow.retry() is False
    assert {
        "numbers": 1,
        **{f"counted({index},)": 2 if index in (1, 3) else 1 for index in range(4)},
        **{f"followed({index},)": 1 for index in range(4)},
        "totals": 1,
    } == map_steps.RUNS


async def test_a_cancellation_reaches_items_that_are_not_there_yet(start_oban: StartOban) -> None:
    async with start_oban(queues={}) as oban:
        workflow = await map_steps.counting.insert(count=4)
        assert await workflow.cancel() is True
        assert await states(workflow) == {
            "numbers": "cancelled",
            "counted": "cancelled: ",
            "followed": "cancelled: ",
            "totals": "cancelled",
        }
        assert (await workflow.status()).outcome == "cancelled"
        assert await workflow.retry() is True
        await oban.start_queue(queue="default", limit=5)
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        assert await workflow.result(map_steps.totals) == 12


async def test_a_cancellation_ends_the_items_that_have_not_started(start_oban: StartOban) -> None:
    map_steps.HELD["0"] = threading.Event()
    async with start_oban(queues={"default": 1}):
        workflow = await map_steps.holding.insert(count=3)

        async def is_held() -> bool:
            return (await states(workflow))["held"] == "executing: available 2, executing 1"

        await until(is_held)
        assert await workflow.cancel() is True
        map_steps.HELD["0"].set()
        assert (await workflow.wait(TIMEOUT)).outcome == "cancelled"
        assert await states(workflow) == {
            "numbers": "completed",
            "held": "cancelled: cancelled 2, completed 1",
            "past": "cancelled: cancelled 3",
            "everything": "cancelled",
        }
        with pytest.raises(ResultNotReadyError):
            await workflow.result(map_steps.past)
        assert await workflow.retry() is True
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        assert await workflow.result(map_steps.everything) == [0, 1, 2, 100, 101, 102]


async def test_a_map_that_is_made_while_its_workflow_is_paused_starts_none_of_its_items(
    start_oban: StartOban,
) -> None:
    """The upstream map ends when its items end, also while the workflow is paused."""
    map_steps.HELD["0"] = threading.Event()
    async with start_oban():
        workflow = await map_steps.holding.insert(count=3)

        async def is_held() -> bool:
            """The next items have run too: an item that starts just before the pause still ends."""
            now = await states(workflow)
            return (
                now["held"] == "executing: completed 2, executing 1"
                and now["past"] == "suspended: completed 2, suspended 1"
            )

        await until(is_held)
        assert await workflow.pause() is True
        map_steps.HELD["0"].set()

        async def is_past() -> bool:
            return (await states(workflow))["held"] == "completed: completed 3"

        await until(is_past)
        assert (await states(workflow))["past"] == "suspended: completed 2, suspended 1"
        assert "has been paused since" in await workflow.why("past")
        assert await workflow.resume() is True
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        assert await workflow.result(map_steps.everything) == [0, 1, 2, 100, 101, 102]


async def test_a_map_over_an_input_waits_while_its_workflow_is_paused(start_oban: StartOban) -> None:
    async with start_oban(queues={}) as oban:
        workflow = await mapped.greeting.insert(names=["Ann", "Bob"], greeting="Hi")
        assert await workflow.pause() is True
        assert await states(workflow) == {"greet": "suspended: suspended 2", "letter": "suspended"}
        await oban.start_queue(queue="default", limit=5)
        assert await workflow.resume() is True
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"


async def test_an_item_goes_on_while_another_one_of_its_map_still_runs(start_oban: StartOban) -> None:
    map_steps.HELD["1"] = threading.Event()
    async with start_oban():
        workflow = await map_steps.holding.insert(count=3)

        async def has_gone_on() -> bool:
            return (await states(workflow))["past"] == "suspended: completed 2, suspended 1"

        await until(has_gone_on)
        assert (await states(workflow))["held"] == "executing: completed 2, executing 1"
        assert await workflow.result(map_steps.past, 0) == 100
        assert 'waits for "past[1]", which waits for "held[1]", which has run' in await workflow.why("past")
        map_steps.HELD["1"].set()
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"


async def test_no_more_items_run_at_once_than_may(start_oban: StartOban) -> None:
    async with start_oban(queues={"default": 20}):
        workflow, _ = await ended(map_steps.crowding, count=40)
        assert await workflow.result(map_steps.crowd) == 40
    assert 1 <= map_steps.AT_ONCE["most"] <= 3


async def test_what_all_items_take_is_stored_once(start_oban: StartOban, conn: psycopg.Connection[Any]) -> None:
    async with start_oban():
        workflow, _ = await ended(mapped.sharing, scale=1)
    nodes, jobs = conn.execute(
        "SELECT (SELECT sum(length(node::text)) FROM workflow_nodes AS node), "
        "(SELECT sum(length(job::text)) FROM oban_jobs AS job)"
    ).fetchone() or (0, 0)
    assert 200_000 < nodes < 210_000
    assert jobs < 10_000
    assert len(workflow.sync.result(mapped.atlas)) == 200_000


async def test_the_doctor_finds_nothing_wrong_with_maps_at_any_moment(start_oban: StartOban, dsn: str) -> None:
    looks = 0
    async with start_oban(queues={"default": 3}):
        workflows = [await flow.insert(**inputs) for flow, inputs, *_ in SHAPES.values()]

        async def all_ended() -> bool:
            nonlocal looks
            looks += 1
            report = await read(Database.configured(dsn=dsn), examine("public"))
            assert report.findings == ()
            return all([(await workflow.status()).outcome for workflow in workflows])

        await until(all_ended)
    assert looks > 1


async def test_two_processes_share_the_items_and_run_none_twice(dsn: str, conn: psycopg.Connection[Any]) -> None:
    with oban_start(dsn, "default:4"), oban_start(dsn, "default:4"):
        await until(lambda: conn.execute("SELECT count(*) FROM oban_producers").fetchone() == (2,))
        workflows: list[Workflow[Any]] = []

        async def have_both_run_some() -> bool:
            more = [mapped.chained.insert(conn, count=60), mapped.windowed.insert(conn, count=60)]
            for workflow in more:
                assert (await workflow.wait(TIMEOUT)).outcome == "completed"
            workflows.extend(more)
            return conn.execute("SELECT count(DISTINCT attempted_by[1]) FROM oban_jobs").fetchone() == (2,)

        await until(have_both_run_some)
    assert workflows[0].sync.result(mapped.both) == [(n * n, n * n / 2) for n in range(60)]
    assert workflows[1].sync.result(mapped.gentle_total) == sum(range(60))
    assert conn.execute("SELECT max(attempt) FROM oban_jobs").fetchone() == (1,)
    assert conn.execute("SELECT sum(pending), sum(in_flight) FROM workflow_nodes").fetchone() == (0, 0)
