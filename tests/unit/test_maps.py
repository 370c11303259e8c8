"""Laws of the types of maps, and the rules on maps that no example shows."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oban import worker

from baton_dsl import Each, Flow, Input, Skip, step
from baton_dsl.core import maps
from baton_dsl.core.spec import UNKNOWN, ParameterSpec, Role, StepSpec
from baton_dsl.core.types import ANY
from baton_dsl.outcome import Outcome
from baton_dsl.reflect import LIVE_TYPES, term_of

SOME: tuple[Any, ...] = (int, str, bytes, float, int | None, list[int], dict[str, float], tuple[int, str], Outcome[int])
terms = st.sampled_from(SOME).map(term_of)
levels = st.integers(0, 4)


def edge(result: Any, levels: int, each: int, taken: Any = int) -> tuple[ParameterSpec, StepSpec]:
    """A parameter with so many `Each`, and an upstream that is mapped over so many levels."""
    seed = ParameterSpec(name="seed", role=Role.INPUT, each=levels)
    upstream = StepSpec(name="up", parameters=(seed,), result=result)
    return ParameterSpec(name="up", role=Role.UPSTREAM, source="up", type=taken, each=each), upstream


@given(terms, levels)
def test_peeling_is_the_inverse_of_listing(term: Any, depth: int) -> None:
    peeled: Any = maps.listed(LIVE_TYPES, term, depth)
    for _ in range(depth):
        peeled = LIVE_TYPES.item_of(peeled)
    assert peeled == term


@given(terms, levels, levels, levels)
def test_what_is_offered_to_each_is_what_is_seen_with_as_many_levels_less(
    term: Any, lists: int, mapped: int, each: int
) -> None:
    """It makes no difference whether a list comes from a map or from the step itself."""
    parameter, from_map = edge(maps.listed(LIVE_TYPES, term, lists), mapped, each)
    _, whole = edge(maps.result(LIVE_TYPES, from_map), 0, each)
    one, other = maps.offer(LIVE_TYPES, parameter, from_map), maps.offer(LIVE_TYPES, parameter, whole)
    if isinstance(one, maps.Stuck):
        assert isinstance(other, maps.Stuck)
        assert one.type == other.type
        assert one.level + mapped == other.level
    else:
        assert one == other


@given(terms, st.integers(1, 3), st.integers(0, 3))
def test_a_parameter_fits_in_exactly_the_form_that_it_is_written_in(term: Any, mapped: int, each: int) -> None:
    for form in maps.Form:
        parameter, upstream = edge(term, mapped, min(each, mapped - 1))
        taken = maps.offer(LIVE_TYPES, parameter, upstream, form)
        parameter, upstream = edge(term, mapped, min(each, mapped - 1), taken)
        fits = maps.forms(LIVE_TYPES, parameter, upstream)
        optional = LIVE_TYPES.optional(term) == term  # then the first two forms are one
        assert form in fits
        assert len(fits) == 1 or (optional and maps.Form.OUTCOME not in fits)


@given(terms)
def test_what_accepts_none_is_its_own_optional(term: Any) -> None:
    optional = LIVE_TYPES.optional(term)
    assert LIVE_TYPES.accepts_none(optional)
    assert LIVE_TYPES.optional(optional) == optional
    assert LIVE_TYPES.assignable(term, optional)


@given(terms, terms)
def test_outcomes_fit_exactly_where_their_values_do(source: Any, target: Any) -> None:
    whole = LIVE_TYPES.assignable(LIVE_TYPES.outcome_of(source), LIVE_TYPES.outcome_of(target))
    assert whole is LIVE_TYPES.assignable(source, target)


@given(levels, levels)
def test_nothing_is_said_of_what_is_unknown(mapped: int, each: int) -> None:
    assert maps.offer(LIVE_TYPES, *edge(UNKNOWN, mapped, each)) is UNKNOWN or each < mapped
    parameter, upstream = edge(ANY, mapped, each)
    assert not isinstance(maps.offer(LIVE_TYPES, parameter, upstream), maps.Stuck)


@worker(queue="exports")
class ExportWorker:
    async def process(self, job: Any) -> None: ...


@step
def orders(exports: Each[str]) -> str | Skip:
    return exports


@step
def each_of_an_input(region: Each[Input[str]]) -> str:
    return region


def test_a_plain_job_has_no_items() -> None:
    flow = Flow("shop", orders).add("exports", ExportWorker.new({}))  # type: ignore[attr-defined]
    assert [str(finding).partition(": ")[2] for finding in flow.diagnostics()] == [
        (
            'BTN205: parameter "exports" of step "orders" takes each item, but "exports" is a plain job of Oban, '
            "which has no result"
        )
    ]


@pytest.mark.parametrize("value", ["eu", 3, None, b"eu"])
def test_one_item_bound_to_a_mapped_input_is_told(value: Any) -> None:
    found = [finding.code for finding in Flow("shop", each_of_an_input.bind(region=value)).diagnostics()]
    assert found == ["BTN303"]


def test_a_list_bound_to_a_mapped_input_is_fine() -> None:
    assert Flow("shop", each_of_an_input.bind(region=["eu", "us"])).validate() == ["each_of_an_input"]


def test_a_step_that_waits_for_a_map_without_its_results_needs_no_room_for_them() -> None:
    @step(after=("each_of_an_input",), ignore_discarded=True)
    def cleanup() -> None: ...

    found = [finding.code for finding in Flow("shop", each_of_an_input, cleanup).diagnostics()]
    assert found == ["BTN306"]
