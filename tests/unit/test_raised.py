"""Whatever is raised can be reported: plain exceptions stay, all others get a substitute with their name."""

from __future__ import annotations

import sys
import traceback
from typing import Any

import pytest

from baton_dsl.core.wording import LONGEST_ERROR, shortened
from baton_dsl.runtime.values.raised import MOST, described, kind_of, tellable, text_of, traceback_of


class Broken:
    """Makes of a method what raises."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __get__(self, _instance: object, _owner: object) -> Any:
        raise self.error


class MuteError(Exception):
    __str__ = Broken(KeyError("no text"))  # type: ignore[assignment]


class ExitingError(Exception):
    def __str__(self) -> str:
        sys.exit(3)


class NumberError(Exception):
    def __str__(self) -> str:
        return 7  # type: ignore[return-value]


class Tricky(str):
    __slots__ = ()

    def __len__(self) -> int:
        raise RuntimeError("no length")

    def splitlines(self, keepends: bool = False) -> list[str]:
        raise RuntimeError("no lines")


class TrickyTextError(Exception):
    def __str__(self) -> str:
        return Tricky("no stock")


class Meta(type):
    def __getattribute__(cls, name: str) -> object:
        raise RuntimeError(f"no {name}")


class NamelessError(Exception, metaclass=Meta):
    pass


class NumberedError(Exception):
    pass


NumberedError.__name__ = "of a \N{SNOWMAN}"


class BadNotesError(Exception):
    __notes__ = Broken(SystemExit(3))  # type: ignore[assignment]


class BadCauseError(Exception):
    def __setattr__(self, name: str, value: object) -> None:
        raise RuntimeError(f"{name} can't be set")


def chained(error: Exception, cause: BaseException) -> Exception:
    BaseException.__setattr__(error, "__cause__", cause)
    return error


EVERY = [
    MuteError(),
    ExitingError(),
    NumberError(),
    TrickyTextError(),
    NamelessError("no stock"),
    NumberedError("no stock"),
    BadNotesError("no stock"),
    chained(BadCauseError("no stock"), ValueError("x" * MOST)),
    chained(ValueError("no stock"), ExitingError()),
    chained(ValueError("no stock"), NamelessError()),
    ExceptionGroup("no stock", [MuteError(), NamelessError(), ExceptionGroup("inner", [ExitingError()])]),
    ValueError("x" * MOST),
    ValueError("\0\ud800"),
    ValueError(),
]


@pytest.mark.parametrize("error", EVERY, ids=lambda error: kind_of(error).encode(errors="replace").decode())
def test_whatever_is_raised_can_be_told_in_moderate_length(error: Exception) -> None:
    try:
        raise error
    except Exception as caught:  # noqa: BLE001
        shown = tellable(caught)
    assert isinstance(str(shown), str)
    assert type(shown).__name__ == kind_of(error)
    text = "".join(traceback.format_exception(shown))
    assert len(text) <= MOST
    assert "test_whatever_is_raised_can_be_told" in text
    for said in (text_of(error), described(error), traceback_of(error)):
        assert type(said) is str


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no stock"),
        chained(KeyError("no stock"), ValueError("no order")),
        ExceptionGroup("all", [ValueError("no stock")]),
        ValueError("x" * LONGEST_ERROR),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_plain_stays_as_it_is(error: Exception) -> None:
    cause = error.__cause__
    assert tellable(error) is error
    assert error.__cause__ is cause
    assert not hasattr(error, "__notes__")


def test_a_cause_that_is_too_long_is_left_out_and_the_error_stays() -> None:
    error = chained(ValueError("no stock"), ValueError("x" * MOST))
    assert tellable(error) is error
    assert traceback_of(error).startswith("ValueError: no stock\n(Its cause is left out")


def test_a_stand_in_says_what_keeps_the_error_from_being_told() -> None:
    assert str(tellable(MuteError())) == "(it has no text: __str__ raised KeyError: 'no text')"
    assert str(tellable(ExitingError())) == "(it has no text: __str__ raised SystemExit: 3)"


@pytest.mark.parametrize("text", ["x" * 10**6, "\0" * 10**6, "\ud800" * 10**6, "\N{SNOWMAN}" * 10**6, "é\n" * 40_000])
def test_a_long_text_keeps_its_head_and_its_tail_within_the_bound(text: str) -> None:
    cut = shortened(f"head {text} tail")
    assert len(cut.encode()) <= LONGEST_ERROR
    assert cut.startswith("head ")
    assert cut.endswith(" tail")
    assert " characters are left out ..." in cut
