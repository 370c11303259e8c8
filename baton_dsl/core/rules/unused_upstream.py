"""BTN302: a parameter that the body never reads, and what that edge costs."""

from collections.abc import Iterator
from typing import Final

from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.graph import Graph
from baton_dsl.core.rules.rule import Context, Door, Example, Finder, Rule

finding = Finder("BTN302", "baton-unused-upstream")

MOST_MEASURED: Final = 100
"""The most needless edges of a flow whose cost is computed: each needs a walk over the graph."""


def run(context: Context) -> Iterator[Diagnostic]:
    """A finding for each upstream parameter that is certainly not read, if its step is in the flow."""
    chains: _Chains | None = None
    for step in context.flow.steps:
        for parameter in step.parameters:
            source = parameter.source
            if parameter.is_read is not False or not parameter.is_upstream or source is None:
                continue
            if source not in context.graph.steps or source == step.name:
                continue
            chains = chains or _Chains(context.graph)
            other = any(reference.name == source for reference in (*step.after, *step.deps)) or any(
                twin.source == source and twin.is_upstream and twin is not parameter for twin in step.parameters
            )
            cost = "" if other or context.flow.is_open else chains.cost(step.name, source)
            does = f'run once for each item of "{source}"' if parameter.each else f'wait for "{source}"'
            yield finding(
                f'parameter "{parameter.name}" of step "{step.name}" is never read, yet makes it {does}{cost}',
                help=f'drop the parameter; if only the order matters, say so: @step(after=("{source}",))',
                step=step.name,
                parameter=parameter.name,
                place=parameter.place,
            )


class _Chains:
    """The critical path of a graph, counted in steps, with and without an edge."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.order = graph.topological_order()
        self.has_cycle = len(self.order) < len(graph.steps)
        self.longest = 0
        self.measured = 0
        if not self.has_cycle:
            self.before, self.longest = self._depths(None)

    def cost(self, step: str, upstream: str) -> str:
        """Describe what the edge does to the critical path; empty if there is a cycle, or too much to measure."""
        if self.has_cycle or self.measured >= MOST_MEASURED:
            return ""
        self.measured += 1
        without = self._depths((step, upstream))[1]
        if without == self.longest:
            return f"; the critical path is {_steps(self.longest)} with and without it"
        return f"; the critical path is {_steps(self.longest)} with it, {without} without"

    def _depths(self, dropped: tuple[str, str] | None) -> tuple[dict[str, int], int]:
        depth: dict[str, int] = {}
        for name in self.order:
            depth[name] = 1 + max(
                (
                    depth[upstream]
                    for upstream in self.graph.waits_for[name]
                    if dropped is None or (name, upstream) != dropped
                ),
                default=0,
            )
        return depth, max(depth.values(), default=0)


def _steps(count: int) -> str:
    return f"{count} step" if count == 1 else f"{count} steps"


RULE = Rule(
    code=finding.code,
    slug=finding.slug,
    summary="a parameter that the body never reads: a needless edge that serializes the graph",
    why=(
        "Every upstream parameter is an edge: the step waits for that result, and it is loaded and validated. If the "
        "body never looks at it, steps that could run side by side run one after the other. A body that is a stub "
        "(`...`, `pass`, a docstring, `raise`) reads nothing yet and is left alone."
    ),
    bad=(
        Example(
            """\
from baton_dsl import Flow, step

@step
def orders() -> list[int]:
    return [1]

@step
def weather(orders: list[int]) -> str:
    return "fine"

@step
def report(orders: list[int], weather: str) -> str:
    return f"{orders} {weather}"

shop = Flow("shop", orders, weather, report)
""",
            (
                (
                    '8:13: BTN302: parameter "orders" of step "weather" is never read, yet makes it wait for "orders"; '
                    "the critical path is 3 steps with it, 2 without"
                ),
            ),
            frozenset({Door.TEXT}),
        ),
        Example(
            """\
from baton_dsl import Flow, step

@step
def left() -> int:
    return 1

@step
def right() -> int:
    return 2

@step
def total(left: int, right: int) -> int:
    def double() -> int:
        return 2 * left
    return double()

shop = Flow("shop", left, right, total)
""",
            (
                (
                    '12:22: BTN302: parameter "right" of step "total" is never read, yet makes it wait for "right"; '
                    "the critical path is 2 steps with and without it"
                ),
            ),
            frozenset({Door.TEXT}),
        ),
        Example(
            """\
from baton_dsl import Each, Flow, step

@step
def regions() -> list[str]:
    return ["eu"]

@step
def ping(regions: Each[str]) -> str:
    return "pong"

shop = Flow("shop", regions, ping)
""",
            (
                (
                    '8:10: BTN302: parameter "regions" of step "ping" is never read, yet makes it run once for each '
                    'item of "regions"; the critical path is 2 steps with it, 1 without'
                ),
            ),
            frozenset({Door.TEXT}),
        ),
    ),
    good=(
        Example(
            """\
from baton_dsl import Flow, step

@step
def orders() -> list[int]:
    return [1]

@step(after=("orders",))
def cleanup() -> None:
    print("clean")

@step
def later(orders: list[int]) -> int:
    \"\"\"Not written yet.\"\"\"
    raise NotImplementedError

@step
def everything(orders: list[int], later: int) -> str:
    return str(locals())

@step
def nested(orders: list[int]) -> list[int]:
    return [order for _ in range(3) for order in orders]

shop = Flow("shop", orders, cleanup, later, everything, nested)
"""
        ),
    ),
    run=run,
    doors=frozenset({Door.TEXT}),
)
