"""The list of workflows, with filters as links, bounded counts, and pages by the last row (keyset pagination)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, LiteralString

from starlette.responses import RedirectResponse, Response

from baton_dsl.core.wording import unstorable
from baton_dsl.runtime.database.snapshot import Reading
from baton_dsl.runtime.listing import Count, Listed, Place, counts, workflows
from baton_dsl.runtime.observing.workflow_filter import WorkflowFilter
from baton_dsl.web.access import Refused
from baton_dsl.web.rendering import render
from baton_dsl.web.visit import Visit

PAGE: Final = 50
"""The number of workflows on a page."""
MOST_COUNTED: Final = 1_000
"""The most workflows counted for each standing; beyond it, a page says `1,000+`."""
MOST_FLOWS: Final = 40

AGES: Final[Mapping[str, tuple[str, Mapping[str, timedelta]]]] = {
    "1h": ("last hour", {"newer_than": timedelta(hours=1)}),
    "1d": ("last day", {"newer_than": timedelta(days=1)}),
    "7d": ("last week", {"newer_than": timedelta(days=7)}),
    "over-1h": ("older than an hour", {"older_than": timedelta(hours=1)}),
    "over-1d": ("older than a day", {"older_than": timedelta(days=1)}),
    "over-7d": ("older than a week", {"older_than": timedelta(days=7)}),
}
STANDINGS: Final[Mapping[str, Mapping[str, Any]]] = {
    "running": {"is_running": True, "is_stuck": False},
    "stuck": {"is_running": True, "is_stuck": True},
    "paused": {"is_running": True, "is_paused": True},
    "completed": {"outcome": "completed"},
    "cancelled": {"outcome": "cancelled"},
    "discarded": {"outcome": "discarded"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """The filter of a list: workflows must match every condition that is set."""

    standing: str = ""
    flow: str = ""
    label: str = ""
    age: str = ""
    start: str = ""

    @property
    def which(self) -> WorkflowFilter | None:
        """The same as a `WorkflowFilter`, without the beginning of the id; None for all workflows."""
        given = self._given()
        return WorkflowFilter(**given) if given else None

    def among(self, ids: Sequence[str]) -> WorkflowFilter:
        """The same, restricted to some workflows."""
        return WorkflowFilter(ids=ids, **self._given())

    @property
    def is_given(self) -> bool:
        """Whether any condition is set."""
        return bool(self.start or self._given())

    def _given(self) -> dict[str, Any]:
        return {
            **STANDINGS.get(self.standing, {}),
            **(AGES[self.age][1] if self.age else {}),
            **{name: text for name, text in (("flow", self.flow), ("label", self.label)) if text},
        }

    @staticmethod
    def of(visit: Visit) -> Filter:
        """Read the conditions from the query of a request.

        Raises:
            Refused: If a condition is not valid.
        """
        wanted = Filter(
            standing=visit.asked("standing"),
            flow=visit.asked("flow"),
            label=visit.asked("label"),
            age=visit.asked("age"),
            start=visit.asked("q").strip(),
        )
        if wanted.standing not in ("", *STANDINGS):
            raise Refused(400, "No such filter", f"There is no state “{wanted.standing}”.")
        if wanted.age not in ("", *AGES):
            raise Refused(400, "No such filter", f"“{wanted.age}” is not an age.")
        for text in (wanted.flow, wanted.label, wanted.start):
            if reason := unstorable(text):
                raise Refused(400, "No such filter", f"The name is not valid: {reason}.")
        return wanted


def bar_of(listed: Listed) -> Mapping[str, int]:
    """The counts for the bar of a workflow: how many steps completed, failed, and are open."""
    return {
        "completed": max(listed.steps - listed.unsettled - listed.cancelled - listed.discarded, 0),
        "cancelled": listed.cancelled,
        "discarded": listed.discarded,
        "suspended": listed.unsettled,
    }


# Reads one index entry for each name, however many workflows have it.
_FLOWS: Final[LiteralString] = """
    WITH RECURSIVE flow(name) AS (
        (SELECT flow_name FROM baton.baton_workflows ORDER BY flow_name LIMIT 1)
        UNION ALL
        SELECT (
            SELECT flow_name FROM baton.baton_workflows WHERE flow_name > flow.name ORDER BY flow_name LIMIT 1
        )
        FROM flow WHERE flow.name IS NOT NULL
    )
    SELECT name FROM flow WHERE name IS NOT NULL LIMIT %(most)s
"""


_STARTING: Final[LiteralString] = """
    SELECT workflow_id FROM baton.baton_workflows WHERE workflow_id >= %(start)s AND workflow_id < %(end)s
    ORDER BY workflow_id LIMIT %(most)s
"""


def flows() -> Reading[Sequence[str]]:
    """The names of the flows that have workflows."""
    rows = yield _FLOWS, {"most": MOST_FLOWS}
    return [row["name"] for row in rows]


def _behind(visit: Visit) -> Place | None:
    at, before = visit.asked("at"), visit.asked("before")
    if not at:
        return None
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        raise Refused(400, "No such page", f"“{at}” is not a time.") from None
    if unstorable(before) or moment.tzinfo is None:
        raise Refused(400, "No such page", "The place in the list is not valid.")
    return moment, before


def page(wanted: Filter, behind: Place | None) -> Reading[tuple[list[Listed], Mapping[Any, Count], Sequence[str]]]:
    """The contents of a page of the list: workflows, one more than fit; counts; names of flows."""
    chosen = wanted.which
    if wanted.start:  # by the primary key, and bounded: if many ids begin that way, the user writes more of the id
        rows = yield _STARTING, {"start": wanted.start, "end": wanted.start + chr(0x10FFFF), "most": PAGE}
        chosen = wanted.among([row["workflow_id"] for row in rows])
    found = yield from workflows(chosen, most=PAGE + 1, behind=behind)
    counted = yield from counts(most=MOST_COUNTED)
    names = yield from flows()
    return found, counted, names


async def answer(visit: Visit) -> Response:
    """The page of the list."""
    wanted, behind = Filter.of(visit), _behind(visit)
    found, counted, names = await visit.read(page(wanted, behind))
    if wanted.start and not behind and len(found) == 1 and not visit.request.headers.get("hx-request"):
        return RedirectResponse(visit.url("/workflow", id=found[0].id), 303)
    shown = found[:PAGE]
    further = None
    if len(found) > PAGE:
        further = visit.url_with(at=shown[-1].inserted_at.isoformat(), before=shown[-1].id)
    return render(
        visit,
        "workflows.html",
        wanted=wanted,
        workflows=shown,
        bar_of=bar_of,
        counts=counted,
        flows=names,
        ages=AGES,
        standings=STANDINGS,
        further=further,
        is_first=behind is None,
    )
