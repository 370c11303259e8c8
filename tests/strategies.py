"""Hypothesis strategies: random directed acyclic graphs as `FlowSpec`s and as live flows that know their results."""

from dataclasses import dataclass

from hypothesis import strategies as st

from baton_dsl import Flow, Input, StepContext, step
from baton_dsl.core.graph import Graph
from baton_dsl.core.rules.option import LONGEST_NAME, wrong_step_name
from baton_dsl.core.spec import FlowSpec, ParameterSpec, Reference, Role, StepSpec


def step_names() -> st.SearchStrategy[str]:
    """Every name that a step may have: mostly plain ones, but quotes, markup, blanks and other scripts too."""
    plain = st.from_regex(r"[a-z][a-z_0-9]{0,14}", fullmatch=True)
    odd = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=LONGEST_NAME)
    return plain | odd.filter(lambda name: wrong_step_name(name) is None)


@dataclass(frozen=True)
class Dag:
    """Names in order of definition, and for each the names that it waits for."""

    upstreams: dict[str, tuple[str, ...]]


@st.composite
def dags(draw: st.DrawFn, *, min_size: int = 1, max_size: int = 12, names: st.SearchStrategy[str] | None = None) -> Dag:
    """A random DAG: each step waits for some of those before it, and the order of definition is shuffled.

    It shrinks towards few steps, few edges and the order in which they can run.
    """
    drawn = draw(st.lists(names or step_names(), min_size=min_size, max_size=max_size, unique=True))
    upstreams: dict[str, tuple[str, ...]] = {}
    for index, name in enumerate(drawn):
        chosen = draw(st.sets(st.integers(0, index - 1), max_size=4)) if index else set()
        upstreams[name] = tuple(drawn[number] for number in sorted(chosen))
    return Dag({name: upstreams[name] for name in draw(st.permutations(drawn))})


def spec_of(dag: Dag, *, name: str = "random") -> FlowSpec:
    """A spec with an edge of each kind in turn: a parameter, `after`, `deps`."""
    steps = []
    for position, (step_name, upstreams) in enumerate(dag.upstreams.items()):
        kinds = [upstreams[kind::3] for kind in range(3)]
        parameters, after, deps = kinds[position % 3 :] + kinds[: position % 3]
        steps.append(
            StepSpec(
                name=step_name,
                parameters=tuple(ParameterSpec(name=up, role=Role.UPSTREAM, source=up) for up in parameters),
                after=tuple(map(Reference, after)),
                deps=tuple(map(Reference, deps)),
            )
        )
    return FlowSpec(name=name, steps=tuple(steps))


def flow_specs(*, min_size: int = 1, max_size: int = 12) -> st.SearchStrategy[FlowSpec]:
    """Random flows with a correct graph, as plain values."""
    return dags(min_size=min_size, max_size=max_size).map(spec_of)


@step
def add_up(seed: Input[int], context: StepContext) -> int:
    """The seed and the results of all upstreams."""
    return seed + sum(context.upstream.values())


@step
async def add_up_async(seed: Input[int], context: StepContext) -> int:
    """The same, on the event loop."""
    return seed + sum(context.upstream.values())


@dataclass(frozen=True)
class LiveFlow:
    """A flow to run, and what each step must return."""

    flow: Flow
    expected: dict[str, int]


@st.composite
def live_flows(draw: st.DrawFn, *, min_size: int = 1, max_size: int = 12) -> LiveFlow:
    """Random flows of steps that workers can import, sync and async, made with the builder."""
    dag = draw(dags(min_size=min_size, max_size=max_size))
    seeds = {name: draw(st.integers(-1_000, 1_000)) for name in dag.upstreams}
    flow = Flow("random")
    for name, upstreams in dag.upstreams.items():
        function = draw(st.sampled_from((add_up, add_up_async)))
        flow.add(name, function.bind(seed=seeds[name]), deps=upstreams)
    expected: dict[str, int] = {}
    for name in Graph.of(flow.spec()).topological_order():
        expected[name] = seeds[name] + sum(expected[up] for up in dag.upstreams[name])
    return LiveFlow(flow, expected)
