"""What the type of a flow can't say: its steps' results, who takes its inputs, what its options could make wrong.

As the facts of a step, it travels inside the type; see `baton_mypy.facts`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass, replace
from typing import Final

from mypy.types import ExtraAttrs, Instance, LiteralType, Type

from baton_mypy.facts import literal_attribute

_KEY: Final = "baton flow"
_RESULT: Final = "baton result of "
_STRICT: Final = "baton parameter "


@dataclass(frozen=True, slots=True, kw_only=True)
class Strict:
    """An upstream parameter that does not accept None.

    Attributes:
        step: The step's name in the flow.
        function: The full name of its function.
        module: The module that defines it.
        ignore_cancelled: What the step says itself; None if it leaves that to the flow.
        ignore_discarded: The same.
        parameter: The parameter.
        source: The upstream.
    """

    step: str
    function: str
    module: str
    ignore_cancelled: bool | None
    ignore_discarded: bool | None
    parameter: str
    source: str

    @staticmethod
    def decode(written: list[str]) -> Strict:
        """Back from what `astuple` gave."""
        names = Strict.__dataclass_fields__
        return Strict(**dict(zip(names, written, strict=True)))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowFacts:
    """What the plugin knows of a closed flow besides its inputs and its steps' names.

    Attributes:
        results: The result type of each step, by name.
        takers: For each input the name of the step that takes it first.
        ignores: The flow's `ignore_cancelled` and `ignore_discarded`.
        strict: Its upstream parameters that do not accept None, each with its type.
    """

    results: Mapping[str, Type]
    takers: Mapping[str, str]
    ignores: tuple[bool, bool]
    strict: tuple[tuple[Strict, Type], ...] = ()

    def ignoring(self, cancelled: bool | None, discarded: bool | None) -> FlowFacts:
        """With other options, where those are given."""
        before = self.ignores
        ignores = (before[0] if cancelled is None else cancelled, before[1] if discarded is None else discarded)
        return replace(self, ignores=ignores)

    def attached(self, to: Instance, text: Instance) -> Instance:
        """The type of a flow with these facts.

        Args:
            to: A `Flow`.
            text: mypy's `builtins.str`.
        """
        changed = attach_results(self.results, to)
        assert changed.extra_attrs is not None
        attributes = changed.extra_attrs.attrs
        written = [self.takers, self.ignores, [astuple(strict) for strict, _ in self.strict]]
        attributes[_KEY] = LiteralType(json.dumps(written, separators=(",", ":")), text)
        for number, (_, annotation) in enumerate(self.strict):
            attributes[f"{_STRICT}{number}"] = annotation
        return changed


def flow_facts_of(flow: Instance) -> FlowFacts | None:
    """The facts of a flow's type, or None if the flow is not known."""
    literal = literal_attribute(flow, _KEY)
    if literal is None or flow.extra_attrs is None:
        return None
    takers, (cancelled, discarded), strict = json.loads(literal)
    attributes = flow.extra_attrs.attrs
    return FlowFacts(
        results=results_of(flow) or {},
        takers=takers,
        ignores=(cancelled, discarded),
        strict=tuple((Strict.decode(each), attributes[f"{_STRICT}{number}"]) for number, each in enumerate(strict)),
    )


def attach_results(results: Mapping[str, Type], to: Instance) -> Instance:
    """The type of a flow or a workflow with the result type of each step, by name."""
    changed = to.copy_modified()
    changed.extra_attrs = ExtraAttrs({f"{_RESULT}{name}": result for name, result in results.items()})
    return changed


def results_of(instance: Instance) -> dict[str, Type] | None:
    """The result types of a flow's or workflow's steps by name, or None if the flow is not known."""
    attributes = instance.extra_attrs.attrs if instance.extra_attrs else {}
    found = {key.removeprefix(_RESULT): result for key, result in attributes.items() if key.startswith(_RESULT)}
    return found or None
