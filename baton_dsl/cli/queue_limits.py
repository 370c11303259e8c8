"""Parse queues and their limits from the command line: `default:20,mail:5`."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Final

import click

from baton_dsl.cli.target import AnyFlow, flows_of
from baton_dsl.core import defaults
from baton_dsl.step import Step

LIMIT: Final = 10
"""The limit of a queue that is named without a number: how many of its jobs run at once."""


def limits(_ctx: click.Context, _param: click.Parameter, value: str | None) -> dict[str, int] | None:
    """The callback of an option that names queues with their limits."""
    if value is None:
        return None
    queues: dict[str, int] = {}
    for item in value.split(","):
        name, colon, number = item.strip().rpartition(":")
        if not colon:
            name, number = number, str(LIMIT)
        if not name or not number.isdecimal() or int(number) < 1:
            raise click.BadParameter(f"write NAME:LIMIT with a limit of 1 or more, got {item!r}")
        if name in queues:
            raise click.BadParameter(f'the queue "{name}" is named twice')
        queues[name] = int(number)
    return queues


def of_module(module: ModuleType) -> set[str]:
    """The queues that the steps and flows of a module name."""
    steps = [value for value in vars(module).values() if isinstance(value, Step)]
    queues = {step.options.get("queue", defaults.QUEUE) for step in steps}
    return queues.union(*(of_flow(flow) for flow in flows_of(module).values()))


def of_flow(flow: AnyFlow) -> set[str]:
    """The queues of a flow's steps and plain jobs."""
    return {
        entry.step.options.get("queue", defaults.QUEUE) if isinstance(entry.step, Step) else entry.step.queue
        for entry in flow.entries
    }


def limited(names: Iterable[str]) -> dict[str, int]:
    """Give each queue the default limit."""
    return dict.fromkeys(sorted(names), LIMIT)
