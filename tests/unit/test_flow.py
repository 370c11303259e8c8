"""Building flows: steps, names, options, and what `validate` and `diagnostics` say."""

import inspect
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from oban import worker

from baton_dsl import Flow, FlowError, Input, StepContext, step
from baton_dsl.core.diagnostics import did_you_mean
from baton_dsl.core.rules import CATALOGUE, Rule, cycle
from tests.strategies import LiveFlow, live_flows


@step
def orders(region: Input[str]) -> list[int]:
    return [len(region)]


@step
def total(orders: list[int]) -> int:
    return sum(orders)


@step
def gather(context: StepContext) -> int:
    return len(context.upstream)


@worker(queue="exports")
class ExportWorker:
    async def process(self, job: Any) -> None: ...


def raised(build: Callable[[], object]) -> FlowError:
    with pytest.raises(FlowError) as caught:
        build()
    return caught.value


def messages(error: FlowError) -> list[str]:
    return [f"{finding.code}: {finding.message}" for finding in error.diagnostics]


@given(live_flows())
def test_validate_gives_every_step_after_its_upstreams(live: LiveFlow) -> None:
    order = live.flow.validate()
    assert sorted(order) == sorted(live.flow.step_names)
    for entry in live.flow.entries:
        assert all(order.index(dep) < order.index(entry.name) for dep in entry.deps)


def test_steps_keep_the_order_in_which_they_were_given() -> None:
    flow = Flow("shop", total, orders)
    assert flow.step_names == ("total", "orders")
    assert flow.validate() == ["orders", "total"]


def plain() -> int:
    return 1


def test_every_function_that_is_no_step_is_told_at_its_argument() -> None:
    with pytest.raises(FlowError) as raised:
        Flow("x", orders, plain, len)  # type: ignore[arg-type]
    line = inspect.getsourcelines(test_every_function_that_is_no_step_is_told_at_its_argument)[1] + 2
    found = [(it.message, it.place and (it.place.line, it.place.column)) for it in raised.value.diagnostics]
    assert found == [('"plain" is no step', (line, 27)), ('"len" is no step', (line, 34))]


def test_a_plain_job_is_a_node_that_fits_everywhere() -> None:
    flow = Flow("shop", orders, total).add("export", ExportWorker.new({"id": 1}), deps=["total"])
    flow.add("after", gather, deps=["export"])
    assert flow.validate() == ["orders", "total", "export", "after"]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Flow(""), "BTN305: the name of a flow must be a name without blanks at its ends, got ''"),
        (lambda: Flow(" x"), "BTN305: the name of a flow must be a name without blanks at its ends, got ' x'"),
        (lambda: Flow("x" * 256), f"BTN305: the name of a flow must be at most 255 characters long, got '{'x' * 59}"),
        (lambda: Flow("a\nb"), "BTN305: the name of a flow must be a name of printable characters, got 'a\\nb'"),
        (lambda: Flow("x", len), 'BTN305: "len" is no step'),  # type: ignore[arg-type]
        (lambda: Flow("x", 3), 'BTN305: "int" is no step'),  # type: ignore[arg-type]
        (lambda: Flow("x", debug=1), 'BTN305: option "debug" of a flow must be True or False, got 1'),
        (lambda: Flow("x", querty=1), 'BTN305: a flow has no option "querty"'),
        (
            lambda: Flow("x", workflow_id=" "),
            ("BTN305: option \"workflow_id\" of a flow must be a name of at most 255 characters, got ' '"),
        ),
        (lambda: Flow("x").add("y", len), 'BTN305: "len" is no step'),
        (
            lambda: Flow("x").add("y" * 500, total),
            (f"BTN305: the name of a step must be at most 255 characters long, got '{'y' * 59}"),
        ),
        (
            lambda: Flow("x").add(["y"], total),
            ("BTN305: the name of a step must be a name without blanks at its ends, got ['y']"),
        ),
        (
            lambda: Flow("x").add("y", total, deps="orders"),
            ("BTN305: deps of \"y\" must be a list of names, got 'orders'"),
        ),
        (
            lambda: Flow("x").add("y", total, deps=[total]),
            ("BTN305: deps of \"y\" must be a list of names, got [<step 'total' of test_flow.total>]"),
        ),
        (lambda: total.named("\0"), "BTN305: the name of a step must be a name of printable characters, got '\\x00'"),
        (
            lambda: total.named("orders[3]"),
            "BTN305: the name of a step must be a name without \"]\" at its end, got 'orders[3]'",
        ),
        (
            lambda: step(max_attempts=0)(total.function),
            ('BTN305: option "max_attempts" of step "total" must be a whole number from 1 to 32767, got 0'),
        ),
        (
            lambda: step(timeout=float("inf"))(total.function),
            ('BTN305: option "timeout" of step "total" must be a positive number of seconds or a timedelta, got inf'),
        ),
        (
            lambda: step(scheduled_in=10**400)(total.function),
            (
                'BTN305: option "scheduled_in" of step "total" must be a '
                "number of seconds or a timedelta, zero or more, got 1000000000000000000000000000000000000000... "
                "(401 characters)"
            ),
        ),
    ],
)
def test_what_can_be_told_at_once_is_told_at_once(build: Callable[[], object], message: str) -> None:
    (found,) = messages(raised(build))
    assert found.replace("tests.unit.", "") == message


def test_a_name_that_is_taken_is_told_at_the_call() -> None:
    flow = Flow("shop", orders)
    error = raised(lambda: flow.add("orders", total))
    assert messages(error) == ['BTN103: a step called "orders" is in the flow already']
    (finding,) = error.diagnostics
    assert finding.place is not None
    assert finding.place.path == __file__
    assert flow.step_names == ("orders",)


def test_odd_names_are_names() -> None:
    flow = Flow("shop")
    for name in ("a b", "naïve", "日本", 'say "hi"', "<b>", "x" * 255, "a.b/c"):
        flow.add(name, orders.bind(region="eu"))
    assert len(flow.validate()) == 7


def test_a_wrong_option_is_told_where_it_is_given() -> None:
    error = raised(lambda: Flow("x").options(debug=True, workflow_nam="y"))  # type: ignore[call-arg]
    (finding,) = error.diagnostics
    assert finding.suggestion == "workflow_name"
    assert finding.place is not None
    line = Path(__file__).read_text(encoding="utf-8").splitlines()[finding.place.line - 1]
    assert line[finding.place.column - 1 : finding.place.end_column - 1] == 'workflow_nam="y"'


def test_binding_makes_a_copy_and_leaves_the_flow_alone() -> None:
    flow = Flow("shop", orders, total)
    copy = flow.bind(region="eu")
    flow.add("other", gather)
    assert (dict(flow.bound), dict(copy.bound)) == ({}, {"region": "eu"})
    assert copy.step_names == ("orders", "total")
    assert copy.options(debug=True).bound == {"region": "eu"}
    assert copy.validate() == ["orders", "total"]


def test_what_is_bound_later_wins_and_is_checked_anew() -> None:
    flow = Flow("shop", orders, total)
    assert flow.validate() == ["orders", "total"]
    wrong = flow.bind(region=3)
    assert messages(raised(wrong.validate)) == ['BTN303: input "region" must be str, got int']
    assert flow.validate() == ["orders", "total"]
    assert wrong.bind(region="eu").validate() == ["orders", "total"]
    assert flow.bind(region="eu").bind(region="us").bound == {"region": "us"}


def test_what_is_bound_is_checked_against_every_step_however_late() -> None:
    flow = Flow("shop").bind(region="eu", size=1).add("orders", orders)
    assert messages(raised(flow.validate)) == ['BTN303: the flow has no input called "size"']
    assert Flow("shop", orders).bind(self="x").diagnostics()[0].parameter == "self"


def test_options_make_a_copy_and_leave_the_flow_alone() -> None:
    flow = Flow("shop", orders, total)
    copy = flow.options(workflow_id="one", debug=True)
    copy.add("more", gather)
    flow.add("other", gather)
    assert (flow.settings.workflow_id, copy.settings.workflow_id) == (None, "one")
    assert flow.step_names == ("orders", "total", "other")
    assert copy.step_names == ("orders", "total", "more")
    assert copy.validate() == ["orders", "more", "total"]
    assert flow.options(workflow_id=None).settings.debug is False


def test_an_option_that_rules_look_at_checks_the_copy_anew() -> None:
    flow = Flow("shop", orders, total)
    assert flow.diagnostics() == ()
    lenient = flow.options(ignore_discarded=True)
    assert [finding.code for finding in lenient.diagnostics()] == ["BTN202"]
    assert flow.diagnostics() == ()
    assert lenient.options(ignore_discarded=False).diagnostics() == ()


def test_a_model_for_a_step_that_is_not_there_is_told() -> None:
    flow = Flow("shop", orders, total, models={"*": "large", "total": "small"})
    assert flow.diagnostics() == ()
    assert messages(raised(flow.options(models={"totl": "small"}).validate)) == [
        'BTN305: option "models" names "totl", which is no step of the flow; did you mean "total"?'
    ]


def test_copies_for_many_inserts_share_one_check() -> None:
    flow = Flow("shop", orders, total)
    copies = [flow.options(workflow_id=f"w{number}") for number in range(3)]
    assert len({id(copy.checked()) for copy in copies} | {id(flow.checked())}) == 1
    copies[0].add("broken", total, deps=["nothing"])
    assert [finding.code for finding in copies[0].diagnostics()] == ["BTN102"]
    assert flow.diagnostics() == copies[1].diagnostics() == ()


def test_a_step_added_after_a_check_is_checked() -> None:
    flow = Flow("shop", orders)
    assert flow.validate() == ["orders"]
    flow.add("more", total.named("more"), deps=["more"])
    assert "BTN105" in [finding.code for finding in flow.diagnostics()]


def test_validate_leaves_to_insert_what_only_a_worker_minds() -> None:
    @step
    def local() -> int:
        return 1

    flow = Flow("shop", local)
    assert flow.validate() == ["local"]
    assert [finding.code for finding in flow.diagnostics()] == ["BTN306"]


def test_all_findings_are_raised_at_once_with_help_and_link() -> None:
    flow = Flow("shop", total, orders.named("ordres").bind(regoin="eu"))
    error = raised(flow.validate)
    assert messages(error) == [
        'BTN102: step "total" has no upstream or input called "orders"; did you mean "ordres"?',
        'BTN303: step "ordres" has no input called "regoin"; did you mean "region"?',
    ]
    text = str(error)
    assert text.startswith("2 findings\n")
    assert text.count("https://baton-dsl.readthedocs.io/rules/") == 2
    assert text.count("  help: ") == 2
    assert all(finding.place is not None and finding.flow == "shop" for finding in error.diagnostics)


def test_an_error_survives_the_way_to_another_process() -> None:
    error = raised(Flow("shop", total).validate)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is FlowError
    assert (str(copy), copy.diagnostics, copy.code) == (str(error), error.diagnostics, "BTN102")


def test_inputs_of_a_flow_are_not_given_by_position() -> None:
    with pytest.raises(TypeError, match="pass the inputs of a flow by name, got 1 by position"):
        Flow("shop", orders).insert(None, "eu")


def test_thousands_of_misspelt_names_are_told_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    def count(name: str, known: Any) -> str | None:
        compared.append(name)
        return did_you_mean(name, list(known)[:10])

    monkeypatch.setattr("baton_dsl.core.rules.missing_upstream.did_you_mean", count)
    flow = Flow("shop")
    for number in range(2_000):
        flow.add(f"step_{number}", gather, deps=[f"stpe_{number}"])
    assert len(flow.diagnostics()) == 2_000
    assert len(compared) <= 200  # once without places, once with them


@pytest.mark.parametrize(
    ("name", "known", "nearest"),
    [
        ("order", ["orders", "report"], "orders"),
        ("FetchToken", ["fetch_token"], "fetch_token"),
        ("reprot", ["report", "orders"], "report"),
        ("x", ["orders"], None),
        ("orders", ["orders"], None),
        ("", ["orders"], None),
        ("a" * 500, ["a" * 499], "a" * 499),
    ],
)
def test_a_misspelt_name_has_its_nearest(name: str, known: list[str], nearest: str | None) -> None:
    assert did_you_mean(name, known) == nearest


@pytest.mark.parametrize("rule", CATALOGUE.values(), ids=lambda rule: rule.code)
def test_a_rule_has_a_code_a_slug_and_a_summary_of_one_line(rule: Rule) -> None:
    assert rule.code.startswith("BTN")
    assert rule.slug.startswith("baton-")
    assert "\n" not in rule.summary


def test_slugs_are_unique() -> None:
    assert len({rule.slug for rule in CATALOGUE.values()}) == len(CATALOGUE)
    assert CATALOGUE["BTN101"] is cycle.RULE
