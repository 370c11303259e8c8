"""What the type of a flow can't say: its steps' results, who takes its inputs, what its options could make wrong.

As the facts of a step, it travels inside the type; see `baton_mypy.step_facts`.
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
    """What a step of a flow or a workflow gives.

    Attributes:
        type: Its result; that of one item if the step is mapped.
        levels: How many lists deep it is, all items together.
        is_by_model: True if it is a dict by model, all models together; None if that can't be told.
    """

    type: Type
    levels: int = 0
    is_by_model: bool | None = False


class Strict(NamedTuple):
    """An upstream parameter that has no room for an upstream, or for an item of one, without a result.

    Attributes:
        step: The step's name in the flow.
        function: The full name of its function.
        module: The module that defines it.
        ignores: What the step says itself; what it does not say is the flow's.
        parameter: The parameter.
        source: The upstream.
        each: How often `Each` stands around its type.
    """

    step: str
    function: str
    module: str
    ignores: Ignores
    parameter: str
    source: str
    each: int


class FlowFacts(NamedTuple):
    """What the plugin knows of a closed flow besides its inputs and its steps' names.

    Attributes:
        results: What each step gives, by name.
        takers: For each input the name of the step that takes it first.
        ignores: What the flow's options say.
        strict: Its upstream parameters without room for what is absent, each with its type.
    """

    results: Mapping[str, Result]
    takers: Mapping[str, str]
    ignores: Ignores
    strict: tuple[tuple[Strict, Type], ...] = ()

    def ignoring(self, chosen: Ignores) -> FlowFacts:
        """With other options, where those are given."""
        return self._replace(ignores=chosen.over(self.ignores))

    def attached(self, to: Instance, text: Instance) -> Instance:
        """The type of a flow with these facts.

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
    """The type of a workflow with what the type of its flow, or of itself, says of the results."""
    changed = to.copy_modified()
    attributes = known.extra_attrs.attrs if known.extra_attrs else {}
    kept = {key: value for key, value in attributes.items() if key.startswith(_RESULT) or key == _LEVELS}
    changed.extra_attrs = ExtraAttrs(kept)
    return changed


def results_of_flow(instance: Instance) -> dict[str, Result] | None:
    """What the steps of a flow or workflow give, by name, or None if the flow is not known."""
    attributes = instance.extra_attrs.attrs if instance.extra_attrs else {}
    levels = json.loads(literal_attribute(instance, _LEVELS) or "{}")
    found = {
        name: Result(given, *levels.get(name, ()))
        for key, given in attributes.items()
        if (name := key.removeprefix(_RESULT)) != key
    }
    return found or None
