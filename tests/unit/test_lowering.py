"""The rows that an insert would write: ids, args, templates, edges."""

import datetime as dt
import json
import time
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oban import worker
from pydantic import BaseModel

from baton_dsl import Flow, FlowError, Input, step
from baton_dsl.errors import EmptyFlowError, InputError
from baton_dsl.runtime.lowering.lower import lower, new_workflow_id
from tests.strategies import LiveFlow, live_flows


class Customer(BaseModel):
    name: str


@step(queue="shop", tags=[" Eu ", "eu", "A"], max_attempts=3, priority=2)
def charge(region: Input[str], amount: Input[int] = 1, customer: Input[Customer | None] = None) -> int:
    return amount


@step
def receipt(charge: int) -> str:
    return str(charge)


@step
def share(ratio: Input[float], when: Input[dt.datetime], ids: Input[set[int]]) -> float:
    return ratio


@worker(queue="exports")
class ExportWorker:
    async def process(self, job: Any) -> None: ...


def args_of(flow: Flow, **inputs: Any) -> dict[str, Any]:
    lowered = lower(flow, inputs)
    return {name: json.loads(args) for name, args in zip(lowered.names, lowered.args, strict=True)}


def wrong_inputs(flow: Flow, **inputs: Any) -> list[str]:
    with pytest.raises(InputError) as raised:
        lower(flow, inputs)
    assert {finding.code for finding in raised.value.diagnostics} == {"BTN303"}
    return [finding.message for finding in raised.value.diagnostics]


@given(live_flows())
def test_every_step_is_written_once_and_every_edge_leads_onwards(live: LiveFlow) -> None:
    lowered = lower(live.flow, {})
    assert sorted(lowered.names) == sorted(live.flow.step_names)
    assert len(lowered.args) == len(lowered.template) == len(lowered.names)
    edges_by_position = [
        (abs(source), target) for source, target in zip(lowered.edge_from, lowered.edge_to, strict=True)
    ]
    assert all(source < target for source, target in edges_by_position)
    edges = {(lowered.names[source - 1], lowered.names[target - 1]) for source, target in edges_by_position}
    assert edges == {(dep, entry.name) for entry in live.flow.entries for dep in entry.deps}
    assert {json.loads(args)["seed"] for args in lowered.args} == {e.step.bound["seed"] for e in live.flow.entries}  # type: ignore[union-attr]
    assert len(lowered.templates) <= 2  # of two functions, however many steps are made of them


@given(st.integers(1, 50))
def test_workflow_ids_are_ordered_by_time_and_of_version_7(count: int) -> None:
    before = time.time_ns() // 1_000_000
    ids = [UUID(new_workflow_id()) for _ in range(count)]
    after = time.time_ns() // 1_000_000
    stamps = [value.int >> 80 for value in ids]
    assert len(set(ids)) == count
    assert stamps == sorted(stamps)
    assert before <= stamps[0]
    assert stamps[-1] <= after
    assert {(value.version, value.variant) for value in ids} == {(7, "specified in RFC 4122")}


def test_inputs_are_json_and_defaults_are_left_to_the_function() -> None:
    assert args_of(Flow("f", charge, receipt), region="eu") == {"charge": {"region": "eu"}, "receipt": {}}


def test_a_bound_input_wins_over_a_given_one() -> None:
    flow = Flow("f", charge.named("eu").bind(region="eu"), charge.named("other"))
    assert args_of(flow, region="us") == {"eu": {"region": "eu"}, "other": {"region": "us"}}


def test_the_record_of_the_inputs_has_what_was_given() -> None:
    lowered = lower(Flow("f", charge), {"customer": Customer(name="Ada"), "region": "eu"})
    assert json.loads(lowered.inputs) == {"customer": {"name": "Ada"}, "region": "eu"}


def test_what_is_bound_to_a_flow_counts_as_given_unless_the_insert_gives_it_anew() -> None:
    flow = Flow("f", charge, charge.named("us").bind(region="us")).bind(region="eu", amount=2)
    assert args_of(flow) == {"charge": {"region": "eu", "amount": 2}, "us": {"region": "us", "amount": 2}}
    assert args_of(flow, amount=3)["charge"] == {"region": "eu", "amount": 3}
    assert json.loads(lower(flow, {"region": "uk"}).inputs) == {"region": "uk", "amount": 2}
    assert wrong_inputs(flow.bind(customer=Customer), amount=3)
    assert wrong_inputs(flow.bind(amount="2"), amount=3) == ['input "amount" must be int, got str']


def test_an_input_that_several_steps_annotate_otherwise_is_written_for_each() -> None:
    @step
    def exact(ratio: Input[int]) -> int:
        return ratio

    @step
    def rough(ratio: Input[float]) -> float:
        return ratio

    exact.function.__qualname__, rough.function.__qualname__ = "exact", "rough"
    assert args_of(Flow("f", exact, rough), ratio=3) == {"exact": {"ratio": 3}, "rough": {"ratio": 3.0}}


@pytest.mark.parametrize(
    ("inputs", "messages"),
    [
        ({"amount": "3", "region": "eu"}, ['input "amount" must be int, got str']),
        ({"amount": 3.0, "region": "eu"}, ['input "amount" must be int, got float']),
        ({"region": None}, ['input "region" must be str, got None']),
        ({}, ['input "region" is missing; step "charge" needs it']),
        (
            {"regoin": "eu", "amount": "3"},
            [
                'the flow has no input called "regoin"; did you mean "region"?',
                'input "amount" must be int, got str',
                'input "region" is missing; step "charge" needs it',
            ],
        ),
        (
            {"region": "eu", "customer": {"nam": "Ada"}},
            ["input \"customer\" must be Customer | None, got dict: ['name']: Field required"],
        ),
        ({"region": "\0"}, ['input "region" must be str, got str: a NUL character can\'t be stored']),
        (
            {"region": "eu\ud800"},
            [
                (
                    'input "region" must be str, got str: Error serializing to JSON: UnicodeEncodeError: '
                    "'utf-8' codec can't encode character '\\ud800' in position 2: surrogates not allowed"
                )
            ],
        ),
    ],
)
def test_a_wrong_input_is_told_before_anything_is_written(inputs: dict[str, Any], messages: list[str]) -> None:
    assert wrong_inputs(Flow("f", charge), **inputs) == messages


@given(st.text(st.sampled_from('\\u0"\n'), max_size=12))
def test_text_that_looks_like_an_escape_is_no_nul(text: str) -> None:
    assert args_of(Flow("f", charge), region=text)["charge"]["region"] == text


@given(st.integers() | st.floats() | st.booleans() | st.text(max_size=3) | st.none() | st.binary(max_size=3))
def test_a_scalar_is_taken_exactly_if_a_type_checker_takes_it(value: Any) -> None:
    flow = Flow("f", share)
    moment = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
    try:
        lower(flow, {"ratio": value, "when": moment, "ids": {1}})
        taken = True
    except InputError:
        taken = False
    assert taken is isinstance(value, int | float)


def test_all_wrong_inputs_are_told_at_once() -> None:
    assert len(wrong_inputs(Flow("f", share), ratio=1.5, when="tomorrow", ids={"x", "y"})) == 1  # told by their types
    moment = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
    assert len(wrong_inputs(Flow("f", share), ratio=1.5, when=moment, ids=["x", "y"])) == 2  # told by pydantic


def test_an_input_that_would_hide_the_model_is_an_error() -> None:
    @step
    def summary(workflow_model: Input[str]) -> str:
        return workflow_model

    with pytest.raises(FlowError, match='input "workflow_model" of step "summary" has the name under which'):
        lower(Flow("f", summary), {"workflow_model": "x"})


def test_models_are_given_to_their_steps_and_the_star_to_all_others() -> None:
    flow = Flow("f", charge.bind(region="eu"), receipt, models={"receipt": "small", "*": "large"})
    assert args_of(flow) == {
        "charge": {"region": "eu", "workflow_model": "large"},
        "receipt": {"workflow_model": "small"},
    }


def test_a_template_has_the_options_with_oban_s_tags() -> None:
    (template,) = lower(Flow("f", charge), {"region": "eu"}).templates
    assert template == {
        "worker": "baton_dsl.steps." + charge.function.__module__.replace(".", "/") + ":charge",
        "queue": "shop",
        "max_attempts": 3,
        "priority": 2,
        "tags": ["a", "eu"],
        "scheduled_at": None,
        "ignore_cancelled": False,
        "ignore_discarded": False,
    }


def test_steps_that_ignore_otherwise_have_templates_of_their_own() -> None:
    flow = Flow("f", charge.bind(region="eu"), ignore_discarded=True)
    flow.add("strict", charge.bind(region="eu"), ignore_discarded=False)
    assert [template["ignore_discarded"] for template in lower(flow, {}).templates] == [True, False]


def test_a_schedule_is_utc_without_a_zone() -> None:
    moment = dt.datetime(2026, 11, 22, 12, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    later = Flow("f", step(scheduled_at=moment)(receipt.function).named("later").bind(), charge.bind(region="eu"))
    assert lower(later, {}).templates[-1]["scheduled_at"] == "2026-11-22T10:00:00"


def test_all_delays_of_one_insert_count_from_one_moment() -> None:
    first = step(scheduled_in=60)(charge.function).named("first").bind(region="eu")
    second = step(scheduled_in=dt.timedelta(minutes=1))(charge.function).named("second").bind(region="eu")
    moments = [template["scheduled_at"] for template in lower(Flow("f", first, second), {}).templates]
    assert moments[0] == moments[1]
    assert abs(dt.datetime.fromisoformat(moments[0] + "Z") - dt.datetime.now(dt.UTC)).total_seconds() < 120


def test_a_plain_job_keeps_its_options_and_args() -> None:
    flow = Flow("f").add("export", ExportWorker.new({"id": 3}, tags=["B"], priority=4, meta={"by": "Ada"}))
    lowered = lower(flow, {})
    assert lowered.args == ['{"id": 3}']
    (template,) = lowered.templates
    assert (template["queue"], template["tags"], template["priority"]) == ("exports", ["b"], 4)
    assert template["meta"]["by"] == "Ada"


@pytest.mark.parametrize(
    ("part", "value"),
    [("args", {"x": object()}), ("args", {"x": float("nan")}), ("args", {"x": "\0"}), ("meta", {"x": {1, 2}})],
)
def test_a_plain_job_that_is_no_json_is_a_sentence(part: str, value: dict[str, Any]) -> None:
    job = ExportWorker.new({}, meta={})
    setattr(job, part, value)
    with pytest.raises(FlowError, match=f'the {part} of job "export" can\'t be written as JSON: '):
        lower(Flow("f").add("export", job), {})


def test_an_empty_flow_is_refused() -> None:
    with pytest.raises(EmptyFlowError, match='BTN401: flow "f" has no steps; give it steps'):
        lower(Flow("f"), {})


def test_a_step_that_no_worker_can_import_is_refused_at_insert_only() -> None:
    @step
    def local() -> int:
        return 1

    flow = Flow("f", local)
    assert flow.validate() == ["local"]
    with pytest.raises(FlowError, match="BTN306"):
        lower(flow, {})


def test_all_that_is_wrong_with_a_flow_is_told_before_its_inputs() -> None:
    with pytest.raises(FlowError) as raised:
        lower(Flow("f", receipt.named("a"), receipt.named("b")), {"nonsense": 1})
    assert [finding.code for finding in raised.value.diagnostics] == ["BTN102", "BTN102"]
    assert not isinstance(raised.value, InputError)
