"""The memory engine against PostgreSQL: the same flows have the same states, attempts and errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oban import Cancel, Snooze

from baton_dsl import Flow, Skip, StepContext
from baton_dsl.core.wording import last_exception
from baton_dsl.errors import ItemNotFoundError, ResultNotReadyError
from baton_dsl.testing import Baton, attempts
from baton_dsl.testing.database import BatonDatabase, BatonServer, DatabaseRun
from baton_dsl.testing.run import Run
from tests.testing import flows

Luck = list[str]


def _fail(reason: str) -> Callable[[], Any]:
    def fails() -> Any:
        raise ValueError(reason)

    return fails


def answer_of(luck: str, value: Any) -> Any:
    """The behaviour of one attempt, as a function, so that no exception is raised twice."""
    match luck:
        case "value":
            return lambda: value
        case "error":
            return _fail("no luck")
        case "skip":
            return lambda: Skip("not today")
        case "cancel":
            return lambda: Cancel("not wanted")
        case "snooze":
            return lambda: Snooze(60)
        case _:
            return lambda: "not what the step returns"


lucks = st.lists(
    st.sampled_from(["value", "value", "error", "skip", "cancel", "snooze", "wrong"]), min_size=1, max_size=3
).filter(lambda luck: luck[-1] != "snooze")

VALUES = {"numbers": [1, 2, 3], "item": 5, "windowed": 6, "follows": 7, "gathers": ["x"]}


@st.composite
def random_flows(draw: st.DrawFn) -> tuple[Flow[..., Any], dict[str, Any]]:
    """A flow of plain steps, perhaps with maps beside them, and what its steps do."""
    flow = Flow(
        "random", ignore_cancelled=draw(st.booleans()), ignore_discarded=draw(st.booleans()) and draw(st.booleans())
    )
    names: list[str] = []
    lucky = {}
    for number in range(draw(st.integers(1, 6))):
        deps = draw(st.lists(st.sampled_from(names), unique=True, max_size=3)) if names else []
        name = f"s{number}"
        flow.add(name, flows.work, deps=deps, ignore_discarded=draw(st.sampled_from([None, True, False])))
        names.append(name)
        lucky[name] = draw(lucks)
    if draw(st.booleans()):
        for name in ("numbers", "item", "windowed", "follows", "gathers"):
            deps = draw(st.lists(st.sampled_from(names), unique=True, max_size=1))
            is_lenient = name == "follows" and (flow.settings.ignore_cancelled or flow.settings.ignore_discarded)
            flow.add(name, flows.follows_anyway if is_lenient else getattr(flows, name), deps=deps)
            if draw(st.booleans()):
                lucky[name] = draw(lucks)
    replace = {
        name: attempts(*(answer_of(luck, VALUES.get(name, 1)) for luck in several)) for name, several in lucky.items()
    }
    return flow, replace


def _by_model(luck: dict[str, Luck]) -> Callable[[StepContext], Any]:
    """The replacement for a step of several models: each model has its own results, attempt by attempt."""

    def answers(context: StepContext) -> Any:
        several = luck[context.model or ""]
        value = context.model if context.step == "vote" else len(several)
        return answer_of(several[min(context.attempt, len(several)) - 1], value)()

    return answers


unsnoozed = lucks.filter(lambda luck: "snooze" not in luck)


@st.composite
def flows_of_models(draw: st.DrawFn) -> tuple[Flow[..., Any], dict[str, Any]]:
    """A flow with steps of several models behind and beside others, and what its steps do."""
    is_lenient = draw(st.booleans())
    flow = Flow("models", ignore_cancelled=is_lenient, ignore_discarded=is_lenient and draw(st.booleans()))
    flow.add("first", flows.work)
    replace: dict[str, Any] = {"first": attempts(*(answer_of(luck, 1) for luck in draw(lucks)))}
    flow.add("numbers", flows.numbers, deps=draw(st.sampled_from([(), ("first",)])))
    for name in ("assess", "vote"):
        flow.add(name, getattr(flows, name), deps=draw(st.sampled_from([(), ("first",)])))
        replace[name] = _by_model({model: draw(unsnoozed) for model in flows.MODELS})
    flow.add("synthesis", flows.synthesis_anyway if is_lenient else flows.synthesis)
    flow.add("compares", flows.compares)
    if draw(st.booleans()):
        chosen = draw(st.lists(st.sampled_from(flows.MODELS), unique=True, min_size=1))
        flow = flow.options(models={"assess": chosen, "vote": flows.MODELS[2], "*": "one"})
    return flow, replace


def seen(run: Run | DatabaseRun) -> Any:
    """Everything that both engines report, except times and the effect of which upstream ended first."""
    states = {node.step: node.state for node in run.nodes}

    def told(node: Any) -> Any:
        error = last_exception(node.error) if node.state != "completed" else None
        if {"cancelled", "discarded"} <= {states.get(dep) for dep in node.deps}:
            error = re.sub(r"(?<=since an upstream was )(cancelled|discarded)$", "not completed", error or "")
        return node.step, node.state, node.attempt, node.max_attempts, node.items, node.model, error

    nodes = sorted(map(told, run.nodes), key=str)
    maps = [node.step for node in run.nodes if node.items is not None]
    items = [sorted(map(told, run.items(name)), key=str) for name in sorted(maps)]
    return run.outcome, nodes, items, dict(run.results), [lists_of(run, node.step) for node in run.nodes]


def lists_of(run: Run | DatabaseRun, name: str) -> Any:
    try:
        return run.results_of(name)
    except (ItemNotFoundError, ResultNotReadyError) as error:
        return type(error), error.args[0].removeprefix(f'workflow "{run.id}": ').partition("; ")[0]


@pytest.fixture(scope="module")
def database(baton_server: BatonServer) -> Any:
    with baton_server.database() as made:
        yield made


def compare(baton: Baton, database: BatonDatabase, flow: Flow[..., Any], replace: dict[str, Any]) -> None:
    ours = seen(baton.sync.run(flow, replace=replace))
    theirs = seen(database.sync.run(flow, replace=replace))
    assert ours == theirs


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(random_flows())
def test_a_run_in_memory_is_as_one_on_a_database(
    baton: Baton, database: BatonDatabase, drawn: tuple[Flow[..., Any], dict[str, Any]]
) -> None:
    compare(baton, database, *drawn)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(flows_of_models())
def test_several_models_run_in_memory_as_on_a_database(
    baton: Baton, database: BatonDatabase, drawn: tuple[Flow[..., Any], dict[str, Any]]
) -> None:
    compare(baton, database, *drawn)


@pytest.mark.slow
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(flows_of_models())
def test_several_models_run_in_memory_as_on_a_database_many_times(
    baton: Baton, database: BatonDatabase, drawn: tuple[Flow[..., Any], dict[str, Any]]
) -> None:
    compare(baton, database, *drawn)


@pytest.mark.slow
@settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(random_flows())
def test_many_runs_in_memory_are_as_those_on_a_database(
    baton: Baton, database: BatonDatabase, drawn: tuple[Flow[..., Any], dict[str, Any]]
) -> None:
    compare(baton, database, *drawn)
