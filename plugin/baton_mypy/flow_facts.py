"""What the type of a flow can't express: its steps' results, who takes its inputs, what its options may make wrong.

Like the facts of a step, it is stored inside the type; see `baton_mypy.step_facts`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from mypy.types import ExtraAttrs, Instance, LiteralType, Type

from baton_dsl.core.spec import Ignores
from baton_mypy.step_facts import literal_attribute

_KEY: Final = "baton flow"
_RESULT: Final = "baton result of "
_LEVELS: Final = "baton levels of results"
_STRICT: Final = "baton parameter "


class Result(NamedTuple):
    """The result of a step in a flow or a workflow.

    Attributes:
        type: The type of its result; of one item if the step is mapped.
        levels: The number of lists around it for all items.
        is_by_model: True if all results form a dict by model; None if that is unknown.
    """

    type: Type
    levels: int = 0
    is_by_model: bool | None = False


class Strict(NamedTuple):
    """An upstream parameter that does not accept a missing result of its upstream, or of an item of it.

    Attributes:
        step: The step's name in the flow.
        function: The full name of its function.
        module: The module that defines it.
        ignores: The step's own options; where they say nothing, the flow's apply.
        parameter: The parameter.
        source: The upstream.
        each: How many `Each` are around its type.
    """

    step: str
    function: str
    module: str
    ignores: Ignores
    parameter: str
    source: str
    each: int


class FlowFacts(NamedTuple):
    """What the plugin knows about a closed flow besides its inputs and its steps' names.

    Attributes:
        results: The result of each step, by name.
        takers: For each input, the name of the first step that takes it.
        ignores: What the flow's options say.
        strict: Its upstream parameters that do not accept missing results, each with its type.
    """

    results: Mapping[str, Result]
    takers: Mapping[str, str]
    ignores: Ignores
    strict: tuple[tuple[Strict, Type], ...] = ()

    def ignoring(self, chosen: Ignores) -> FlowFacts:
        """The same with other options, where they are set."""
        return self._replace(ignores=chosen.over(self.ignores))

    def attached(self, to: Instance, text: Instance) -> Instance:
        """Attach these facts to the type of a flow.

        Args:
            to: A `Flow`.
            text: mypy's `builtins.str`.
        """
        attributes: dict[str, Type] = {f"{_RESULT}{name}": result.type for name, result in self.results.items()}
        levels = {name: result[1:] for name, result in self.results.items() if result[1:] != (0, False)}
        attributes[_LEVELS] = LiteralType(json.dumps(levels), text)
        written = [self.takers, self.ignores, [strict for strict, _ in self.strict]]
        attributes[_KEY] = LiteralType(json.dumps(written, separators=(",", ":")), text)
        for number, (_, annotation) in enumerate(self.strict):
            attributes[f"{_STRICT}{number}"] = annotation
        changed = to.copy_modified()
        changed.extra_attrs = ExtraAttrs(attributes)
        return changed


def flow_facts_of(flow: Instance) -> FlowFacts | None:
    """The facts of a flow's type, or None if the flow is not known."""
    literal = literal_attribute(flow, _KEY)
    if literal is None or flow.extra_attrs is None:
        return None
    takers, ignores, strict = json.loads(literal)
    attributes = flow.extra_attrs.attrs
    return FlowFacts(
        results=results_of_flow(flow) or {},
        takers=takers,
        ignores=Ignores(*ignores),
        strict=tuple((_strict(each), attributes[f"{_STRICT}{number}"]) for number, each in enumerate(strict)),
    )


def _strict(written: list[Any]) -> Strict:
    strict = Strict(*written)
    return strict._replace(ignores=Ignores(*strict.ignores))


def attach_results(known: Instance, to: Instance) -> Instance:
    """Copy the facts about results from the type of a flow or workflow to that of a workflow."""
    changed = to.copy_modified()
    attributes = known.extra_attrs.attrs if known.extra_attrs else {}
    kept = {key: value for key, value in attributes.items() if key.startswith(_RESULT) or key == _LEVELS}
    changed.extra_attrs = ExtraAttrs(kept)
    return changed


def results_of_flow(instance: Instance) -> dict[str, Result] | None:
    """The results of the steps of a flow or workflow, by name, or None if the flow is not known."""
    attributes = instance.extra_attrs.attrs if instance.extra_attrs else {}
    levels = json.loads(literal_attribute(instance, _LEVELS) or "{}")
    found = {
        name: Result(given, *levels.get(name, ()))
        for key, given in attributes.items()
        if (name := key.removeprefix(_RESULT)) != key
    }
    return found or None
