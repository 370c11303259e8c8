"""Steps stay functions, and their signatures say what they wait for and what they take."""

import inspect
from collections.abc import Callable
from functools import partial, wraps
from typing import Annotated, Any

import pytest

from baton_dsl import Flow, FlowError, From, Input, StepContext, step
from baton_dsl.core.spec import MISSING, ParameterSpec, Role
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
    assert [finding.message for finding in raised.value.diagnostics] == [
        "an annotation of step \"one\" can't be evaluated: name 'Nowhere' is not defined",
        "an annotation of step \"two\" can't be evaluated: name 'Nowhere' is not defined",
    ]
    assert {finding.code for finding in flow.diagnostics()} == {"BTN204"}
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
    assert [finding.message for finding in wrong.diagnostics()][-1] == 'input "user" is str | None, got int'
