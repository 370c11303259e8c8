"""Names that have moved: the old ones still work, with a warning that names the new ones."""

import pytest

from baton_dsl.runtime import database, observing, operating, reading


@pytest.mark.parametrize(
    ("place", "name", "now"),
    [
        (reading, "read", database.read),
        (reading, "read_sync", database.read_sync),
        (operating, "Which", observing.WorkflowFilter),
    ],
)
def test_a_former_place_serves_with_a_warning(place: object, name: str, now: object) -> None:
    with pytest.warns(DeprecationWarning, match=r"baton_dsl\.runtime\.(database|observing)"):
        assert getattr(place, name) is now


def test_what_was_never_there_is_not_there() -> None:
    for place in (reading, operating):
        with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
            _ = place.nothing
