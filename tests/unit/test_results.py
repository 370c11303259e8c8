"""The errors for callers and steps that ask for results that don't exist."""

import json

import pytest

from baton_dsl import Outcome
from baton_dsl.errors import ResultNotReadyError
from baton_dsl.runtime.observing.results import decoded
from baton_dsl.runtime.values.collected import collected


@pytest.mark.parametrize(
    ("node", "told"),
    [
        ("orders", 'step "orders" was discarded, so it has no result; see its error in workflow.nodes()'),
        ("orders[3]", 'step "orders[3]" was discarded, so it has no result; see its error in workflow.items("orders")'),
    ],
)
def test_where_the_error_of_a_result_that_is_missing_is_found(node: str, told: str) -> None:
    with pytest.raises(ResultNotReadyError) as raised:
        decoded("orders", {"step_name": node, "outcome": "discarded"}, [])
    assert str(raised.value) == f"BTN409: {told}"


def test_an_outcome_tells_an_exception_without_its_traceback_and_a_reason_as_it_was_given() -> None:
    error = "Traceback (most recent call last):\n  File ...\nOSError: no disk\n"
    absent = [
        {"path": [0], "state": "discarded", "reason": error},
        {"path": [1], "state": "skipped", "reason": "nothing\nto do"},
    ]
    text = collected(list[Outcome[int]], "[null, null, 3]", json.dumps(absent))
    assert json.loads(text or "") == [
        {"state": "discarded", "reason": "OSError: no disk"},
        {"state": "skipped", "reason": "nothing\nto do"},
        {"state": "completed", "value": 3},
    ]
