"""The graphs that run while processes die, and the expected outcome of each node.

To add a shape, write a function from `random.Random` to a `Case` and put it into `SHAPES`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from baton_dsl import Flow
from baton_dsl.core.lifecycle import Node, Outcome, State, Workflow
from tests.crashes import steps

SHAPE_FILES: Final = Path(__file__).parent.parent / "shapes"


@dataclass(frozen=True)
class Expected:
    """The expected outcome of a node, and the JSON of its result."""

    outcome: str
    by_upstream: bool = False
    result: Any = None


@dataclass(frozen=True)
class Case:
    """A flow, and the expected outcome of each node by name; a map has more nodes than steps."""

    flow: Flow[..., Any]
    expected: Mapping[str, Expected]


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A planned node."""

    kind: str = "adds"
    upstreams: tuple[str, ...] = ()
    ignore_cancelled: bool = False
    ignore_discarded: bool = False
    seed: int = 1
    seconds: float = 0.0


ENDS: Final = {"fails": State.DISCARDED, "cancels": State.CANCELLED}
"""Kinds that do not complete."""
KINDS: Final = {
    "adds": 60,
    "adds_in_a_thread": 15,
    "fails_at_first": 6,
    "snoozes_at_first": 3,
    "fails": 5,
    "cancels": 4,
    "PlainWorker": 7,
}
"""How often each occurs."""


def case(name: str, plan: Mapping[str, Planned]) -> Case:
    """The flow of a plan, and its outcome in the pure model."""
    flow = Flow(name)
    for step_name, node in plan.items():
        inputs = {"seed": node.seed, "seconds": node.seconds}
        job = steps.PlainWorker.new(inputs) if node.kind == "PlainWorker" else None
        flow.add(
            step_name,
            job or getattr(steps, node.kind).bind(**inputs),
            deps=node.upstreams,
            ignore_cancelled=node.ignore_cancelled,
            ignore_discarded=node.ignore_discarded,
        )
    return Case(flow, played({step_name: plan[step_name] for step_name in flow.validate()}))


def played(plan: Mapping[str, Planned]) -> dict[str, Expected]:
    """The outcome of each node if no process dies; upstreams come first."""
    model = Workflow(
        {
            name: Node(
                upstreams=node.upstreams,
                ignore_cancelled=node.ignore_cancelled,
                ignore_discarded=node.ignore_discarded,
            )
            for name, node in plan.items()
        }
    )
    model.insert()
    results: dict[str, Any] = {}
    for name, planned in plan.items():
        if model.nodes[name].state is not State.AVAILABLE:
            continue  # an upstream took it along
        model.change({name: State.EXECUTING})
        if planned.kind in ENDS:
            model.change({name: ENDS[planned.kind]})
            continue
        model.settle([name])
        if planned.kind != "PlainWorker":
            results[name] = planned.seed + sum(results.get(upstream) or 0 for upstream in planned.upstreams)
    return {name: _expected(node, results.get(name)) for name, node in model.nodes.items()}


def _expected(node: Node, result: Any) -> Expected:
    assert isinstance(node.outcome, Outcome)
    return Expected(node.outcome.value, node.by_upstream, result)


@dataclass
class Maker:
    """Draws nodes."""

    random: Random
    longest: float = 0.05
    plan: dict[str, Planned] = field(default_factory=dict)

    def add(self, name: str, *upstreams: str, kind: str | None = None) -> str:
        """A node of a random kind."""
        self.plan[name] = Planned(
            kind=kind or self.random.choices(list(KINDS), list(KINDS.values()))[0],
            upstreams=tuple(sorted(set(upstreams))),
            ignore_cancelled=self.random.random() < 0.5,
            ignore_discarded=self.random.random() < 0.5,
            seed=self.random.randint(-1_000, 1_000),
            seconds=self.random.choice([0.0, 0.0, self.random.uniform(0, self.longest)]),
        )
        return name


def any_graph(random: Random) -> Case:
    """Up to forty nodes, each waiting for some of those before it."""
    maker = Maker(random)
    for number in range(random.randint(1, 40)):
        above = [f"n{random.randrange(number)}" for _ in range(random.randint(0, 4))] if number else []
        maker.add(f"n{number}", *above)
    return case("any graph", maker.plan)


def chain(random: Random) -> Case:
    """A chain, in which settles claim the jobs that they promote."""
    maker = Maker(random, longest=0.01)
    for number in range(random.randint(5, 40)):
        kind = "adds" if random.random() < 0.97 else None
        maker.add(f"n{number}", *([f"n{number - 1}"] if number else []), kind=kind)
    return case("chain", maker.plan)


def fan(random: Random) -> Case:
    """One step, many in parallel that end at the same moment, one step."""
    maker = Maker(random, longest=0.02)
    first = maker.add("first", kind="adds")
    middle = [maker.add(f"middle{number}", first, kind="adds") for number in range(random.randint(10, 40))]
    maker.add("last", *middle, kind="adds_in_a_thread")
    return case("fan", maker.plan)


def scientific(random: Random) -> Case:
    """The shape of a real workflow."""
    described = json.loads((SHAPE_FILES / "blast-98.json").read_text(encoding="utf-8"))["steps"]
    maker = Maker(random, longest=0.02)
    for name, facts in described.items():
        maker.add(name, *facts["deps"], kind=None if random.random() < 0.1 else "adds")
    return case("scientific", maker.plan)


def long_steps(random: Random) -> Case:
    """Steps that are likely to be killed more than once."""
    maker = Maker(random, longest=2.0)
    for number in range(4):
        maker.add(f"n{number}", *([f"n{number - 1}"] if number else []), kind=random.choice(["adds", "PlainWorker"]))
    return case("long steps", maker.plan)


def mapped(random: Random) -> Case:
    """A map of any size, what collects it, and a branch that is taken or not."""
    count = random.choice([0, 1, random.randint(2, 40)])
    seconds = random.choice([0.0, 0.02])
    flow = Flow(
        "mapped",
        steps.numbers.bind(count=count),
        steps.squares.bind(seconds=seconds),
        *(steps.sum_of_squares, steps.is_even, steps.half, steps.either),
    )
    total = sum(number * number for number in range(count))
    expected = {
        "numbers": Expected("completed", result=list(range(count))),
        "squares": Expected("completed"),  # its items have the results
        **{f"squares[{number}]": Expected("completed", result=number * number) for number in range(count)},
        "sum_of_squares": Expected("completed", result=total),
    }
    if total % 2 == 0:
        expected["is_even"] = Expected("completed", result=total)
        expected["half"] = Expected("completed", result=total // 2)
        expected["either"] = Expected("completed", result=total // 2)
    else:
        expected["is_even"] = Expected("skipped")
        expected["half"] = Expected("skipped", by_upstream=True)
        expected["either"] = Expected("completed", result=0)
    return Case(flow, expected)


SHAPES: Final[tuple[Callable[[Random], Case], ...]] = (any_graph, any_graph, chain, fan, scientific, long_steps, mapped)
"""Which shapes are drawn, and how often."""
