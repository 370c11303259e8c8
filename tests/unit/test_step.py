"""Steps stay functions, and their signatures define their upstreams and inputs."""

import inspect
import pkgutil
from collections.abc import Callable
from functools import partial, wraps
from typing import Annotated, Any

import psycopg
import pytest
import sqlalchemy
from sqlalchemy import orm
from sqlalchemy.ext.asyncio import AsyncSession

from baton_dsl import Each, Flow, FlowError, From, Input, Skip, StepContext, step
from baton_dsl.context import StepEnded
from baton_dsl.core.connections import CLASSES, access_of
from baton_dsl.core.rules.map_option import MAP_OPTIONS
from baton_dsl.core.spec import MISSING, Access, ParameterSpec, Role
from baton_dsl.reflect import LIVE_TYPES, signature, term_of
from baton_dsl.step import Step

type Region = Annotated[str, "ISO 3166"]
type RegionInput = Input[Region]
type Again = RegionInput
type Context = StepContext
type Both[K, V] = Input[dict[V, K]]


@step
def charge(region: Input[str], amount: Input[int] = 1) -> int:
    """Charge it."""
    return amount


@step(queue="auth")
async def token(key: Input[str]) -> str:
    return key


def parameters_of(function: Callable[..., Any]) -> dict[str, ParameterSpec]:
    return {parameter.name: parameter for parameter in signature(step(function)).parameters}


def test_a_step_is_called_as_its_function() -> None:
    assert charge("eu", amount=3) == 3
    assert charge.__name__ == "charge"
    assert charge.__doc__ == "Charge it."
    assert list(inspect.signature(charge).parameters) == ["region", "amount"]
    assert repr(charge).startswith("<step 'charge' of ")


async def test_an_async_step_is_awaited_as_its_function() -> None:
    assert token.is_async
    assert not charge.is_async
    assert await token("secret") == "secret"


def test_named_and_bind_leave_the_step_alone() -> None:
    eu = charge.named("charge_eu").bind(region="eu")
    both = eu.bind(amount=2)
    assert (charge.name, dict(charge.bound)) == ("charge", {})
    assert (eu.name, dict(eu.bound)) == ("charge_eu", {"region": "eu"})
    assert (both.name, dict(both.bound)) == ("charge_eu", {"region": "eu", "amount": 2})
    assert eu.function is charge.function


def test_a_static_method_is_a_step_in_both_orders() -> None:
    class Billing:
        @staticmethod
        @step
        def inner() -> int:
            return 1

        @step
        @staticmethod
        def outer() -> int:
            return 2

    assert (Billing.inner(), Billing.outer()) == (1, 2)
    assert isinstance(Billing.inner, Step)
    assert isinstance(Billing.outer, Step)


@pytest.mark.parametrize("thing", [len, int, 3, "charge", partial(len, ""), classmethod(len), charge])
def test_only_a_function_becomes_a_step(thing: Any) -> None:
    with pytest.raises(TypeError, match=r"step\(\) decorates a function, got "):
        step(thing)


def test_attributes_of_a_function_do_not_change_its_step() -> None:
    def tagged() -> int:
        return 1

    tagged.name = tagged.bound = tagged.options = tagged.function = "mine"  # type: ignore[attr-defined]
    made = step(tagged)
    assert (made.name, dict(made.bound), dict(made.options)) == ("tagged", {}, {})
    assert made() == 1


def test_wrong_options_are_told_with_their_places() -> None:
    with pytest.raises(FlowError) as raised:

        @step(
            queue=" ",
            priority=10,
        )
        def wrong() -> int:
            return 1

    first, second = raised.value.diagnostics
    assert first.place is not None
    assert second.place is not None
    assert (second.place.line, second.place.column) == (first.place.line + 1, 13)


def test_every_kind_of_parameter_is_told_apart() -> None:
    def kinds(
        plain: int,
        by_name: Annotated[int, From("other")],
        alias: Again,
        swapped: Both[str, int],
        context: Context,
        described: Annotated[StepContext, "the context"],
        default: Input[int] = 3,
        by_step: int = From(charge.named("charge_eu")),
        *,
        keyword: Annotated[Input[float], "metadata"],
    ) -> None: ...

    found = parameters_of(kinds)
    assert {name: (spec.role, spec.source) for name, spec in found.items()} == {
        "plain": (Role.UPSTREAM, "plain"),
        "by_name": (Role.UPSTREAM, "other"),
        "alias": (Role.INPUT, None),
        "swapped": (Role.INPUT, None),
        "context": (Role.INJECTED, None),
        "described": (Role.INJECTED, None),
        "default": (Role.INPUT, None),
        "by_step": (Role.UPSTREAM, "charge_eu"),
        "keyword": (Role.INPUT, None),
    }
    assert {name for name, spec in found.items() if spec.has_default} == {"default"}
    assert LIVE_TYPES.show(found["swapped"].type) == "dict[int, str]"
    assert LIVE_TYPES.show(found["alias"].type) == "str"


type Regions = Each[Region]
type Maybe = Skip | int


class ShopSession(orm.Session):
    """An application's own."""


class Loaned(psycopg.Connection[Any]):
    """Nobody could make one of a connection that is there."""


type Database = Annotated[AsyncSession, "the shop's"]


def test_connections_and_sessions_are_told_by_their_classes() -> None:
    def taking(
        plain: psycopg.Connection,  # type: ignore[type-arg]
        rows: "psycopg.AsyncConnection[dict[str, Any]]",
        core: sqlalchemy.Connection,
        own: ShopSession,
        alias: Database,
        left: Annotated[int, From("other")],
        upstream: list[orm.Session],
        maybe: orm.Session | None,
        loaned: Loaned,
        given: Input[orm.Session],
    ) -> None: ...

    found = {item.name: (item.role, item.access) for item in signature(step(taking)).parameters}
    assert found == {
        "plain": (Role.INJECTED, Access.SYNC),
        "rows": (Role.INJECTED, Access.ASYNC),
        "core": (Role.INJECTED, Access.SYNC),
        "own": (Role.INJECTED, Access.SYNC),
        "alias": (Role.INJECTED, Access.ASYNC),
        "left": (Role.UPSTREAM, None),
        "upstream": (Role.UPSTREAM, None),
        "maybe": (Role.UPSTREAM, None),
        "loaned": (Role.UPSTREAM, None),
        "given": (Role.INPUT, None),
    }


def test_every_class_that_a_step_may_take_is_where_its_name_says() -> None:
    for name, access in CLASSES.items():
        assert (access is Access.ASYNC) == name.rpartition(".")[2].startswith("Async")
        cls = pkgutil.resolve_name(name)
        assert f"{cls.__module__}.{cls.__qualname__}" == name
    assert access_of("sqlmodel.ext.asyncio.session.AsyncSession") is Access.ASYNC


def test_a_sync_step_is_not_cancellable() -> None:
    with pytest.raises(FlowError, match="a thread can't be stopped"):
        step(cancellable=True)(charge.function)


def test_every_way_to_map_a_step_is_read() -> None:
    def mapped(
        plain: Each[str],
        nested: Each[Each[Annotated[int, "small"]]],
        alias: Regions,
        given: Each[Input[float]],
        inside_out: Input[Each[float]],
        named: Each[Annotated[int, From("other")]],
        around: Annotated[Each[int], From("other")],
        context: StepContext,
        whole: list[str],
        by_step: Each[int] = From(charge),
    ) -> None: ...

    found = signature(step(mapped))
    assert {item.name: (item.each, item.role, item.source) for item in found.parameters} == {
        "plain": (1, Role.UPSTREAM, "plain"),
        "nested": (2, Role.UPSTREAM, "nested"),
        "alias": (1, Role.UPSTREAM, "alias"),
        "given": (1, Role.INPUT, None),
        "inside_out": (1, Role.INPUT, None),
        "named": (1, Role.UPSTREAM, "other"),
        "around": (1, Role.UPSTREAM, "other"),
        "context": (0, Role.INJECTED, None),
        "whole": (0, Role.UPSTREAM, "whole"),
        "by_step": (1, Role.UPSTREAM, "charge"),
    }
    shown = {item.name: LIVE_TYPES.show(item.type) for item in found.parameters if item.each}
    assert set(shown.values()) == {"str", "int", "float"}
    assert found.annotations["nested"] == Annotated[int, "small"]
    assert found.annotations["given"] is float


def test_a_mapped_step_has_the_levels_of_its_deepest_parameter() -> None:
    @step(combine="zip", max_items=10)
    def pairs(rows: Each[Each[int]], names: Each[Each[str]], title: Input[str]) -> str:
        return title

    pairs_spec, charge_spec = Flow("f", pairs, charge).spec().steps
    assert (pairs_spec.is_mapped, pairs_spec.levels) == (True, 2)
    assert (charge_spec.is_mapped, charge_spec.levels) == (False, 0)
    assert {name: option.value for name, option in pairs_spec.options.items()} == {"combine": "zip", "max_items": 10}
    assert charge_spec.options == {}


@pytest.mark.parametrize(
    ("written", "rest"),
    [
        (int | Skip, int),
        (Skip | int | None, int | None),
        (Maybe, int),
        (Maybe | str, int | str),
        (Annotated[Maybe, "metadata"], Annotated[int, "metadata"]),
        (Skip, type(None)),
    ],
)
def test_skip_is_left_out_of_what_a_step_returns(written: Any, rest: Any) -> None:
    def branch() -> None: ...

    branch.__annotations__["return"] = written
    found = signature(step(branch))
    assert (found.returns, found.may_skip) == (rest, True)
    assert found.result == term_of(rest)


@pytest.mark.parametrize("written", [int, int | None, list[Skip]])
def test_a_step_that_never_says_skip_returns_what_it_says(written: Any) -> None:
    def branch() -> None: ...

    branch.__annotations__["return"] = written
    found = signature(step(branch))
    assert (found.returns, found.may_skip) == (written, False)


def test_a_context_ends_its_step_as_skipped() -> None:
    with pytest.raises(StepEnded, match="nothing to do") as raised:
        StepContext.skip(object.__new__(StepContext), "nothing to do")
    assert raised.value.skip == Skip("nothing to do")
    assert (raised.value.reason, raised.value.seconds) == (None, None)


@pytest.mark.parametrize(
    "options",
    [
        {"combine": "product", "max_concurrency": 1, "max_items": 1, "min_success": 1},
        {"combine": "zip", "max_concurrency": 2**31 - 1, "max_items": 2**31 - 1, "min_success": 1.0},
        {"min_success": 0.001},
    ],
)
def test_the_options_of_a_map_take_everything_in_their_range(options: Any) -> None:
    assert step(**options)(lambda: None).options == options


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("combine", value) for value in ("cross", "", None, True, 1, ["zip"])),
        *((option, value) for option in MAP_OPTIONS[1:3] for value in (0, -1, 1.0, True, None, "3", 2**31)),
        *(("min_success", value) for value in (0, -1, 0.0, 1.5, True, False, None, "3", float("nan"), 2**31)),
    ],
)
def test_an_option_of_a_map_out_of_range_is_a_finding(option: str, value: Any) -> None:
    with pytest.raises(FlowError, match=f'BTN305: option "{option}" of step ".lambda.*" must be ') as raised:
        step(**{option: value})(lambda: None)
    assert [finding.code for finding in raised.value.diagnostics] == ["BTN305"]


def test_extras_of_annotated_go_to_pydantic_without_our_marker() -> None:
    def bounded(count: Annotated[Input[int], "small"]) -> int:
        return count

    assert signature(step(bounded)).annotations["count"] == Annotated[int, "small"]


def test_a_parameter_without_annotation_keeps_its_source() -> None:
    def loose(left=From(charge), right=None, *rest, **others):  # type: ignore[no-untyped-def]
        return left

    found = parameters_of(loose)
    assert (found["left"].source, found["left"].has_default, found["left"].type) == ("charge", False, MISSING)
    assert (found["right"].source, found["right"].has_default) == ("right", True)
    assert {found["rest"].role, found["others"].role} == {Role.UNKNOWN}


def test_star_arguments_are_one_finding_each_annotated_or_not() -> None:
    @step
    def stars(*rest, **others: int) -> int:  # type: ignore[no-untyped-def]
        return 1

    found = [finding.code for finding in Flow("f", stars).diagnostics()]
    assert found == ["BTN306", "BTN301", "BTN301"]


def test_a_function_wrapped_by_another_decorator_shows_its_own_parameters() -> None:
    def retried(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    @retried
    def report(charge: int) -> str:
        return str(charge)

    assert {name: spec.role for name, spec in parameters_of(report).items()} == {"charge": Role.UPSTREAM}


def test_strings_inside_annotations_are_evaluated() -> None:
    def nested(left: "list[Payment]", right: list["Payment"], given: Input["Payment"]) -> "Payment | None": ...

    found = parameters_of(nested)
    assert found["left"].type == found["right"].type == term_of(list[Payment])
    assert found["given"].role is Role.INPUT
    assert found["given"].type == term_of(Payment)
    assert signature(step(nested)).returns == Payment | None


class Payment:
    amount: int = 0


type Broken = list[Nowhere]  # type: ignore[name-defined]  # noqa: F821


def test_every_annotation_that_cannot_be_evaluated_is_told_at_once() -> None:
    @step
    def one(region: "Nowhere") -> int:  # type: ignore[name-defined]  # noqa: F821
        return 1

    @step
    def two(region: Broken) -> int:
        return 1

    flow = Flow("f", one, one.named("again"), two, charge)
    with pytest.raises(FlowError) as raised:
        flow.validate()
    assert [finding.message for finding in raised.value.diagnostics if finding.code == "BTN204"] == [
        'the annotation of parameter "region" of step "one" can\'t be evaluated: name \'Nowhere\' is not defined',
        'the annotation of parameter "region" of step "again" can\'t be evaluated: name \'Nowhere\' is not defined',
        'the annotation of parameter "region" of step "two" can\'t be evaluated: name \'Nowhere\' is not defined',
    ]
    assert {finding.code for finding in flow.diagnostics()} == {"BTN102", "BTN204", "BTN306"}
    assert all(finding.place is not None and finding.help for finding in flow.diagnostics())


def test_names_of_a_result_class_that_exist_for_checkers_only_are_unknown() -> None:
    from typing import TypedDict

    class Row(TypedDict):
        value: "Nowhere"  # type: ignore[name-defined]  # noqa: F821

    class Other(TypedDict):
        value: int

    assert LIVE_TYPES.assignable(term_of(Row), term_of(Other)) is None


def test_from_takes_a_step_or_a_name_only() -> None:
    with pytest.raises(TypeError, match=r"From\(\) takes a step or the name of one, got int"):
        From(3)  # type: ignore[call-overload]


def test_a_value_of_a_new_type_is_a_value_of_what_it_wraps() -> None:
    from typing import NewType

    UserId = NewType("UserId", str)

    def greet(user: Input[UserId | None], users: Input[list[UserId]] = []) -> str:  # noqa: B006
        return user or ""

    flow = Flow("f", step(greet).bind(user=UserId("ada"), users=[UserId("eve")]))
    assert flow.validate() == ["greet"]
    wrong = Flow("f", step(greet).bind(user=3))
    assert [finding.message for finding in wrong.diagnostics()][-1] == 'input "user" must be str | None, got int'
