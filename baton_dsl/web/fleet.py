"""The pages about queues, nodes and the deployed code."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from starlette.responses import Response

from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.observing.deploy import Judgement, Obstacle, judge
from baton_dsl.runtime.observing.fleet import MOST_COUNTED, nodes, queues
from baton_dsl.web.rendering import render
from baton_dsl.web.visit import Visit

NAMED: Final = 5
"""How many workflows are named for each problem."""
QUEUES_SHOWN: Final = 100
NODES_SHOWN: Final = 200


async def serving(visit: Visit) -> Response:
    """The page of the queues and the processes that run them."""
    found = await visit.read(queues())
    processes = await visit.read(nodes())
    begin = visit.number("first")
    return render(
        visit,
        "queues.html",
        queues=found[begin : begin + QUEUES_SHOWN],
        first=begin,
        found=len(found),
        nodes=processes[:NODES_SHOWN],
        more_nodes=max(len(processes) - NODES_SHOWN, 0),
        most=MOST_COUNTED,
    )


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem that prevents the deployed code from finishing several workflows.

    Attributes:
        obstacle: The obstacle of the first workflow.
        ids: The ids of some of the workflows.
        more: How many other workflows have the problem.
    """

    obstacle: Obstacle
    ids: Sequence[str]
    more: int


async def deployed(visit: Visit) -> Response:
    """The page of the running workflows that the code of this process can't finish."""
    assert visit.database is not None, "the user is authorized before anything is read"
    judgement: Judgement | None = None
    if visit.packages:
        judgement = await asyncio.to_thread(_judged, visit.database, visit.packages)
    obstacles = judgement.obstacles if judgement else ()
    return render(
        visit,
        "deploy.html",
        packages=visit.packages,
        workflows=judgement.workflows if judgement else 0,
        held=len({obstacle.workflow_id for obstacle in obstacles}),
        problems=[_problem(list(alike)) for _, alike in groupby(obstacles, _of_kind)],
    )


def _judged(database: Database, packages: Sequence[str]) -> Judgement:
    for package in packages:
        importlib.import_module(package)
    return judge(database, packages)


def _of_kind(obstacle: Obstacle) -> tuple[str, str, str, str]:
    return obstacle.flow, obstacle.step, obstacle.problem, obstacle.remedy


def _problem(alike: Sequence[Obstacle]) -> Problem:
    ids = list(dict.fromkeys(obstacle.workflow_id for obstacle in alike))
    return Problem(alike[0], ids[:NAMED], max(len(ids) - NAMED, 0))
