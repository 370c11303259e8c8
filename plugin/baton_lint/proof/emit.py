"""Write the edges of flows as plain calls, in a module that any type checker can check.

For each step, one function calls it with the results of its upstreams, one argument per line:

```python
def baton_edges_1() -> object:  # step "total" of flow "shop"
    return shop.total(
        price=From(shop.price),
    )
```

`From(step)` is typed as the step's result without the coroutine around it. So neither the order of the steps nor
`await` matters, and even a flow with a cycle can be emitted. `Skip` is removed from the type. For `Each`, an item of
the result is passed; the result of a mapped step is put into a list, and that of a step of several models into a
dict. Arguments that are not edges are `Any`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from baton_dsl.core import maps
from baton_dsl.core.rules import not_optional
from baton_dsl.core.spec import MISSING, UNKNOWN, FlowSpec, Form, ParameterSpec, StepSpec, Types
from baton_dsl.core.types import NEVER, TupleOf, UnionOf

_HEADER: Final = '''\
"""The edges of a project's flows as calls, written by baton-lint for a type checker. Not to be run."""

'''

_IMPORTS: Final = """\
from typing import Any

from baton_dsl import From, Skip
"""

_GIVEN: Final = """
baton_given: Any = None
"""

_IMPORTS_OF_MAPS: Final = """\
from collections.abc import Iterable, Mapping
from typing import Any, overload

from pydantic import BaseModel

from baton_dsl import From, Outcome, Skip
"""

_MAPS: Final = """

class BatonAny: ...  # none is made: only what is Any fits, before all else


@overload
def baton_items_of(result: BatonAny, /) -> Any: ...
@overload
def baton_items_of(result: str | bytes | bytearray | BaseModel, /) -> None: ...  # type: ignore[overload-overlap]
@overload
def baton_items_of[K, V](result: Mapping[K, V], /) -> Iterable[tuple[K, V]]: ...  # type: ignore[overload-overlap]
@overload
def baton_items_of[T](result: Iterable[T], /) -> Iterable[T]: ...
def baton_items_of(result: Any, /) -> Any:
    return result


def baton_one_of[T](items: Iterable[T], /) -> T:
    return next(iter(items))


def baton_list_of[R](result: R, /) -> list[R]:
    return [result]


def baton_dict_of[R](result: R, /) -> dict[str, R]:
    return {"": result}


def baton_optional[R](result: R, /) -> R | None:
    return result


def baton_outcome[R](result: R, /) -> Outcome[R]:
    return Outcome("completed", result)
"""

_WRAPPED: Final = {
    maps.Form.PLAIN: "{}",
    maps.Form.OPTIONAL: "baton_optional({})",
    maps.Form.OUTCOME: "baton_outcome({})",
}


@dataclass(frozen=True, slots=True)
class Claim:
    """The claim of one line of an emitted module: that a parameter accepts a result, or that the result has items.

    Attributes:
        flow: The flow.
        step: The step that takes the result.
        parameter: The parameter that takes the result.
        upstream: The step whose result it is.
        is_absent: True for the claim that the parameter accepts None, because the upstream, or an item of it, may have
            no result.
        is_peeled: True for the claim that the result, or an item of it, is a collection.
    """

    flow: FlowSpec
    step: StepSpec
    parameter: ParameterSpec
    upstream: StepSpec
    is_absent: bool = False
    is_peeled: bool = False


@dataclass(frozen=True, slots=True)
class Emitted:
    """A module of calls.

    Attributes:
        text: Its source.
        claims: The claim of each line, by line number.
        calls: If a call has only one claim, that claim by the call's first line: some checkers report errors there if
            no overload of the function accepts the argument.
    """

    text: str
    claims: Mapping[int, Claim]
    calls: Mapping[int, Claim]

    @property
    def edges(self) -> int:
        """The number of claims about edges: one with a result and, if the result may be absent, one without."""
        return sum(not claim.is_peeled for claim in self.claims.values())


@dataclass(slots=True)
class _Lines:
    text: list[str] = field(default_factory=list)
    claims: dict[int, Claim] = field(default_factory=dict)
    calls: dict[int, Claim] = field(default_factory=dict)

    def add(self, text: str, claim: Claim | None = None) -> None:
        self.text.append(text)
        if claim is not None:
            self.claims[len(self.text)] = claim

    def add_all(self, text: str) -> None:
        self.text += text.splitlines()


def emit(flows: Iterable[tuple[FlowSpec, Mapping[str, str]]], types: Types | None = None) -> Emitted:
    """Write the edges of flows as calls.

    Args:
        flows: Each flow with the places that its steps can be imported from, by name in the flow, such as
            `app.shop:total` or `app.shop:Billing.charge`. A step without one is left out.
        types: Answers questions about the types in the flows. They decide whether a parameter takes the results of a
            map alone, with None, or as outcomes.

    Returns:
        The module, and the claim of each of its lines.

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
    modules = _named({place.partition(":")[0] for _, places in known for place in places.values()})
    paths = [{name: _path(place, modules) for name, place in places.items()} for _, places in known]
    calls = [
        (call, places) for (flow, _), places in zip(known, paths, strict=True) for call in _calls(flow, places, types)
    ]
    has_maps = any(taken.edge != _PLAIN for call, _ in calls for taken in call.taken.values())
    lines = _Lines()
    lines.add_all(_HEADER + (_IMPORTS_OF_MAPS if has_maps else _IMPORTS))
    for module, name in modules.items():
        lines.add(f"import {module}" if name == module else f"import {module} as {name}")
    lines.add_all(_GIVEN + (_MAPS if has_maps else ""))
    for number, (call, places) in enumerate(calls, start=1):
        _write(lines, number, call, places)
    return Emitted("\n".join(lines.text) + "\n", lines.claims, lines.calls)


def _named(modules: Iterable[str]) -> dict[str, str]:
    """The name of each module in the emitted module.

    A submodule gets a new name, because its package may define something else with the same name, as with
    `from app.shop import shop` in `app/__init__.py`.
    """
    return {
        module: f"baton_{module.rpartition('.')[2]}_{number}" if "." in module else module
        for number, module in enumerate(sorted(modules), start=1)
    }


def _path(place: str, modules: Mapping[str, str]) -> str:
    module, _, qualified_name = place.partition(":")
    return f"{modules[module]}.{qualified_name}"


_PLAIN: Final = maps.Edge(0, 0)


@dataclass(frozen=True, slots=True)
class _Taken:
    """A parameter that takes a result."""

    upstream: StepSpec
    edge: maps.Edge
    form: maps.Form


@dataclass(frozen=True, slots=True)
class _Call:
    """A call of a step; if it has absent upstreams, only these are claims."""

    flow: FlowSpec
    step: StepSpec
    taken: Mapping[str, _Taken]
    absent: frozenset[str] = frozenset()


def _calls(flow: FlowSpec, paths: Mapping[str, str], types: Types | None) -> Iterator[_Call]:
    """The calls for the edges of a flow: one for each step, and one more if upstreams may be absent."""
    steps: dict[str, StepSpec] = {}
    for step in flow.steps:
        steps.setdefault(step.name, step)
    for step in steps.values():
        if step.name not in paths or step.is_job:
            continue
        taken: dict[str, _Taken] = {}
        for parameter in step.parameters:
            upstream = steps.get(parameter.source or "") if parameter.is_upstream else None
            if upstream is not None and upstream.name in paths and upstream.name != step.name:
                edge = maps.Edge.of(parameter, upstream)
                form = _form(types, parameter, upstream, edge)
                if form is not None:
                    taken[parameter.name] = _Taken(upstream, edge, form)
        if not taken:
            continue
        yield _Call(flow, step, taken)
        absent = frozenset(name for name, found in taken.items() if _may_be_absent(flow, step, found))
        if absent:
            yield _Call(flow, step, taken, absent)


def _may_be_absent(flow: FlowSpec, step: StepSpec, taken: _Taken) -> bool:
    """True if a parameter must accept that an upstream, or an item of one, has no result."""
    if taken.edge.lists:
        return taken.form is maps.Form.PLAIN and not_optional.loses_items(flow, step, taken.upstream)
    return not taken.edge.peeled and any(flow.ignored_by(step))


def _form(types: Types | None, parameter: ParameterSpec, upstream: StepSpec, edge: maps.Edge) -> maps.Form | None:
    """How a parameter takes items of a map without a result; None if nothing can be claimed about the edge."""
    if upstream.is_per_model is None or (upstream.is_per_model and parameter.each):
        return None
    if types is None:
        return maps.Form.PLAIN
    if edge.peeled:
        return maps.Form.PLAIN if _has_one_type(types, upstream.result, edge.peeled) else None
    item: object | None = parameter.type
    for _ in range(edge.lists):
        item = item if item in (None, MISSING, UNKNOWN) else types.item_of(item)
        if edge.is_by_model and isinstance(item, TupleOf):
            item = item.items[-1]  # for a mapping, pairs of key and value
    if not edge.lists or item is None:
        return maps.Form.PLAIN
    if item in (MISSING, UNKNOWN):
        return None
    if types.accepts_none(item):
        return maps.Form.OPTIONAL
    return maps.Form.OUTCOME if types.assignable(types.outcome_of(NEVER), item) else maps.Form.PLAIN


def _has_one_type(types: Types, collection: object, levels: int) -> bool:
    """False if items have several types, by position or by collection, because mypy joins those to a common base."""
    found: object | None = collection
    for _ in range(levels):
        if found in (None, MISSING, UNKNOWN):
            return True
        if isinstance(found, TupleOf) and len(set(found.items)) > 1:
            return False
        items = {types.item_of(item) for item in found.items} if isinstance(found, UnionOf) else set()
        if len(items) > 1 and None not in items:
            return False
        found = types.item_of(found)
    return True


def _write(lines: _Lines, number: int, call: _Call, paths: Mapping[str, str]) -> None:
    flow, step = call.flow, call.step
    lines.add("")
    lines.add("")
    lines.add(f"def baton_edges_{number}() -> object:")
    lines.add(f"    # step {step.name!r} of flow {flow.name!r}")
    claimed = [item for item in step.parameters if item.name in (call.absent or call.taken)]
    given = {item.name: _given(lines, call, item, paths) for item in claimed}
    lines.add(f"    return {paths[step.name]}(")
    start = len(lines.text)
    for parameter in step.parameters:
        if parameter.form in (Form.STAR_ARGS, Form.STAR_KWARGS):
            continue
        keyword = "" if parameter.form is Form.POSITIONAL_ONLY else f"{parameter.name}="
        if parameter.name in given:
            upstream = call.taken[parameter.name].upstream
            claim = Claim(flow, step, parameter, upstream, is_absent=bool(call.absent))
            lines.add(f"        {keyword}{given[parameter.name]},", claim)
        else:
            lines.add(f"        {keyword}baton_given,")
    lines.add("    )")
    claims = [lines.claims[line] for line in range(start, len(lines.text)) if line in lines.claims]
    if len(claims) == 1:
        lines.calls[start] = claims[0]


def _given(lines: _Lines, call: _Call, parameter: ParameterSpec, paths: Mapping[str, str]) -> str:
    """Write the lines that prepare the argument of a parameter, and return the argument."""
    taken = call.taken[parameter.name]
    upstream, edge, name = taken.upstream, taken.edge, parameter.name
    given = f"From({paths[upstream.name]})"
    if upstream.may_skip and (edge.lists or not call.absent):
        lines.add(f"    baton_result_for_{name} = {given}")
        given = f"baton_result_for_{name}"
        lines.add(f"    assert not isinstance({given}, Skip)")
    if edge.lists:
        given = _WRAPPED[maps.Form.OPTIONAL if call.absent else taken.form].format(given)
        given = f"baton_{edge.whole}_of(" * edge.lists + given + ")" * edge.lists
        # A variable of its own: inside of an argument, a checker would widen the list to the parameter's type.
        lines.add(f"    baton_{name} = {given}")
        return f"baton_{name}"
    if call.absent:
        return "None"
    for level in range(edge.peeled):
        item = f"baton_item_{level + 1}_of_{name}"
        claim = Claim(call.flow, call.step, parameter, upstream, is_peeled=True)
        lines.add(f"    {item} = baton_one_of(baton_items_of({given}))", claim)
        given = item
    return given
