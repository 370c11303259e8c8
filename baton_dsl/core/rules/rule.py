"""A rule: the reason for it, examples that are its tests and its page, and a function over the spec."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NamedTuple

from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.graph import Graph
from baton_dsl.core.spec import FlowSpec, Types


class Door(Enum):
    """A front end that runs rules: the live check, the text check or the mypy plugin."""

    LIVE = "run time"
    TEXT = "baton-lint"
    TYPES = "mypy"


EVERY_DOOR: Final = frozenset(Door)


class Context(NamedTuple):
    """The input of a rule."""

    flow: FlowSpec
    types: Types
    graph: Graph


def once[T](ask: Callable[[object], T]) -> Callable[[object], T]:
    """A function of a type that remembers its answers, for one check of one flow.

    Steps that are made from one function share its types, and so do equal annotations of one file.

    Args:
        ask: The function.
    """
    answers: dict[int, T] = {}

    def asked(type: object) -> T:
        key = id(type)  # equal types may be stored in different ways
        if key not in answers:
            answers[key] = ask(type)
        return answers[key]

    return asked


class Example(NamedTuple):
    """An example: the source of a user's module.

    Attributes:
        source: The module, complete.
        finds: What the rule finds in it, as `line:column: CODE: message`; empty for a good example.
        doors: The front ends that find it. A good example must be good in all of them.
    """

    source: str
    finds: tuple[str, ...] = ()
    doors: frozenset[Door] = EVERY_DOOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One entry of the catalogue.

    Attributes:
        code: Stable for ever, such as `BTN102`.
        slug: Its name, such as `baton-missing-upstream`; mypy's error code.
        summary: What it catches, in one line.
        why: What goes wrong without it.
        bad: Examples that it finds something in.
        good: Examples close to the bad ones that are fine.
        run: The function that finds; None for a rule that needs more than one flow's spec and lives in its front end.
        doors: The front ends that can decide it.
        is_about_a_step: True for a rule that holds for a step whatever flow it is in: baton-lint then also checks steps
            that are in none.
        at_validate: False for a rule that matters only once a worker has to import the step.
        by_default: False for a rule that must be selected.
    """

    code: str
    slug: str
    summary: str
    why: str
    bad: tuple[Example, ...] = ()
    good: tuple[Example, ...] = ()
    run: Callable[[Context], Iterable[Diagnostic]] | None = None
    doors: frozenset[Door] = EVERY_DOOR
    is_about_a_step: bool = False
    at_validate: bool = True
    by_default: bool = True


@dataclass(frozen=True, slots=True)
class Finder:
    """Creates the diagnostics of one rule."""

    code: str
    slug: str

    def __call__(self, message: str, **facts: Any) -> Diagnostic:
        """Create a finding of the rule; the keywords are the fields of `Diagnostic`."""
        return Diagnostic(code=self.code, slug=self.slug, message=message, **facts)
