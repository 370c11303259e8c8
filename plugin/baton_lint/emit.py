"""The edges of flows as plain calls: a module in which any type checker proves what names alone don't show it.

For each step one function calls it with the result of every upstream, an argument a line:

```python
def edges_of_total() -> object:  # "total" in flow "shop"
    return shop.total(
        price=From(shop.price),
    )
```

`From(step)` is typed as the step's result, a coroutine unwrapped, so neither the order of the steps nor `await`
matters, and a flow with a cycle can be emitted too. Whatever is no edge is given as `Any`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from baton_dsl.core.spec import FlowSpec, Form, ParameterSpec, StepSpec

_HEADER: Final = '''\
"""The edges of a project's flows as calls, written by baton-lint for a type checker. Not to be run."""

from typing import Any

from baton_dsl import From, Step
'''

_GIVEN: Final = """
baton_given: Any = None


def baton_list_of[R](step: Step[..., R, Any, Any], /) -> list[R]:
    return [From(step)]
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """What one line of an emitted module claims: that a result may go to a parameter.

    Attributes:
        flow: The flow.
        step: The step that takes it.
        parameter: The parameter that takes it.
        upstream: The step that gives it.
        is_absent: True for the claim that the parameter accepts None, since the upstream may have no result.
    """

    flow: FlowSpec
    step: StepSpec
    parameter: ParameterSpec
    upstream: StepSpec
    is_absent: bool = False


@dataclass(frozen=True, slots=True)
class Emitted:
    """A module of calls.

    Attributes:
        text: Its source.
        claims: What each line claims, by line number.
        calls: The one claim of a whole call, by the line that it begins on: some checkers point there when no variant
            of an overloaded function takes the argument.
    """

    text: str
    claims: Mapping[int, Claim]
    calls: Mapping[int, Claim]


@dataclass(slots=True)
class _Lines:
    text: list[str] = field(default_factory=list)
    claims: dict[int, Claim] = field(default_factory=dict)
    calls: dict[int, Claim] = field(default_factory=dict)

    def add(self, text: str, claim: Claim | None = None) -> None:
        self.text.append(text)
        if claim is not None:
            self.claims[len(self.text)] = claim


def emit(flows: Iterable[tuple[FlowSpec, Mapping[str, str]]]) -> Emitted:
    """Write the edges of flows as calls.

    Args:
        flows: Each flow with the places that its steps can be imported from, by name in the flow, such as
            `app.shop:total` or `app.shop:Billing.charge`. A step without one is left out.

    Returns:
        The module, and what each of its lines claims.

    Example:
        >>> from baton_dsl.core.spec import FlowSpec, ParameterSpec, Role, StepSpec
        >>> price = StepSpec(name="price")
        >>> taken = ParameterSpec(name="price", role=Role.UPSTREAM, source="price")
        >>> total = StepSpec(name="total", parameters=(taken,))
        >>> flow = FlowSpec(name="shop", steps=(price, total))
        >>> emitted = emit([(flow, {"price": "app:price", "total": "app:total"})])
        >>> [emitted.text.splitlines()[line - 1].strip() for line in emitted.claims]
        ['price=From(app.price),']
    """
    known = list(flows)
    lines = _Lines()
    for line in _HEADER.splitlines():
        lines.add(line)
    modules = _named({place.partition(":")[0] for _, places in known for place in places.values()})
    for module, name in modules.items():
        lines.add(f"import {module}" if name == module else f"import {module} as {name}")
    for line in _GIVEN.splitlines():
        lines.add(line)
    number = 0
    for flow, places in known:
        paths = {name: _path(place, modules) for name, place in places.items()}
        for call in _calls(flow, paths):
            number += 1
            _write(lines, number, call, paths)
    return Emitted("\n".join(lines.text) + "\n", lines.claims, lines.calls)


def _named(modules: Iterable[str]) -> dict[str, str]:
    """What each module is called here.

    A submodule gets a name of its own: a package may well give another thing by that name, as with
    `from app.shop import shop` in `app/__init__.py`.
    """
    return {
        module: f"baton_{module.rpartition('.')[2]}_{number}" if "." in module else module
        for number, module in enumerate(sorted(modules), start=1)
    }


def _path(place: str, modules: Mapping[str, str]) -> str:
    module, _, qualified_name = place.partition(":")
    return f"{modules[module]}.{qualified_name}"


@dataclass(frozen=True, slots=True)
class _Call:
    flow: FlowSpec
    step: StepSpec
    edges: Mapping[str, StepSpec]
    absent: frozenset[str] = frozenset()


def _calls(flow: FlowSpec, paths: Mapping[str, str]) -> Iterator[_Call]:
    """The calls that claim the edges of a flow: one a step, and one more where upstreams may be absent."""
    steps: dict[str, StepSpec] = {}
    for step in flow.steps:
        steps.setdefault(step.name, step)
    for step in steps.values():
        if step.name not in paths or step.is_job:
            continue
        edges = {
            parameter.name: steps[parameter.source]
            for parameter in step.parameters
            if parameter.is_upstream
            and not parameter.each
            and parameter.source in steps
            and parameter.source in paths
            and parameter.source != step.name
        }
        if not edges:
            continue
        yield _Call(flow, step, edges)
        absent = frozenset(name for name, upstream in edges.items() if not upstream.is_mapped)
        if absent and _ignores(flow, step):
            yield _Call(flow, step, edges, absent)


def _ignores(flow: FlowSpec, step: StepSpec) -> bool:
    """True if the step runs though an upstream has no result."""
    cancelled = flow.ignore_cancelled if step.ignore_cancelled is None else step.ignore_cancelled
    discarded = flow.ignore_discarded if step.ignore_discarded is None else step.ignore_discarded
    return cancelled or discarded


def _write(lines: _Lines, number: int, call: _Call, paths: Mapping[str, str]) -> None:
    lines.add("")
    lines.add("")
    lines.add(f"def baton_edges_{number}() -> object:")
    lines.add(f"    # step {call.step.name!r} of flow {call.flow.name!r}")
    for name, upstream in call.edges.items():
        if upstream.is_mapped:  # a name of its own: a list display would be widened to what the parameter takes
            lines.add(f"    baton_{name} = baton_list_of({paths[upstream.name]})")
    lines.add(f"    return {paths[call.step.name]}(")
    start = len(lines.text)
    for parameter in call.step.parameters:
        if parameter.form in (Form.STAR_ARGS, Form.STAR_KWARGS):
            continue
        keyword = "" if parameter.form is Form.POSITIONAL_ONLY else f"{parameter.name}="
        source = call.edges.get(parameter.name)
        if source is None or (call.absent and parameter.name not in call.absent):
            lines.add(f"        {keyword}baton_given,")
        elif parameter.name in call.absent:
            lines.add(f"        {keyword}None,", Claim(call.flow, call.step, parameter, source, is_absent=True))
        else:
            given = f"baton_{parameter.name}" if source.is_mapped else f"From({paths[source.name]})"
            lines.add(f"        {keyword}{given},", Claim(call.flow, call.step, parameter, source))
    lines.add("    )")
    claims = [lines.claims[line] for line in range(start, len(lines.text)) if line in lines.claims]
    if len(claims) == 1:
        lines.calls[start] = claims[0]
