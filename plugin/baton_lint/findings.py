"""A finding as plain values: what the cache stores and every output format reads."""

from __future__ import annotations

from typing import Any, NamedTuple


class Remark(NamedTuple):
    """Another place that belongs to a finding."""

    message: str
    path: str | None
    line: int
    column: int
    end_line: int
    end_column: int


class Finding(NamedTuple):
    """A diagnostic with its fix, flat: a run from the cache reads it back without loading the core, and starts faster.

    Attributes:
        path: The file, absolute.
        line: From 1.
        column: From 1, in characters.
        end_line: The line of the end.
        end_column: One past the last character.
        code: `BTN102`.
        slug: `baton-missing-upstream`.
        message: What is wrong, on one line.
        help: What to do about it.
        suggestion: The name that the user probably meant.
        flow: The flow that it is about.
        step: The step that it is about.
        parameter: The parameter that it is about.
        remarks: Other places.
        fix: The fix, see `baton_lint.fixes`; empty if there is none.
    """

    path: str
    line: int
    column: int
    end_line: int
    end_column: int
    code: str
    slug: str
    message: str
    help: str | None
    suggestion: str | None
    flow: str | None
    step: str | None
    parameter: str | None
    remarks: tuple[Remark, ...] = ()
    fix: tuple[Any, ...] = ()

    @property
    def url(self) -> str:
        """The page of the rule."""
        return f"https://baton-dsl.readthedocs.io/rules/{self.code}"

    def plain(self) -> tuple[Any, ...]:
        """The finding as nested tuples, which `marshal` can store."""
        return (*self[:13], tuple(tuple(remark) for remark in self.remarks), self.fix)

    @staticmethod
    def of(plain: tuple[Any, ...]) -> Finding:
        """Restore a finding from `plain`."""
        return Finding._make((*plain[:13], tuple(Remark(*remark) for remark in plain[13]), plain[14]))
