"""A flow with other options: what `.options(ignore_discarded=True)` makes wrong, where the flow itself is out of sight.

`.options` may be called in another module than the flow is made in, and knows no more of it than its type. So that type
carries what such a call can change the verdict of: the upstream parameters that do not accept None.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from mypy.nodes import CallExpr
from mypy.types import Type

from baton_dsl.core.check import check
from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.rules import not_optional
from baton_dsl.core.rules import option as option_rule
from baton_dsl.core.spec import FlowSpec, ParameterSpec, Place, Role, StepSpec, Types
from baton_mypy.collect import Collected
from baton_mypy.flow_facts import FlowFacts, Strict
from baton_mypy.options import GivenOptions
from baton_mypy.places import Places, definition_in
from baton_mypy.relations import MypyTypes
from baton_mypy.report import elsewhere, report

if TYPE_CHECKING:
    from mypy.checker import TypeChecker


def strict_parameters(collected: Collected, types: Types) -> Iterator[tuple[Strict, Type]]:
    """The upstream parameters of a flow that do not accept None, each with its type.

    Those of a step that decides by itself, and those of maps, which are seen as lists, are left out.
    """
    mapped = {step.name for step in collected.spec.steps if step.is_mapped}
    for step in collected.spec.steps:
        facts = collected.facts.get(step.name)
        if facts is None or None not in (step.ignore_cancelled, step.ignore_discarded):
            continue
        for parameter in step.parameters:
            source, annotation = parameter.source, parameter.type
            if not parameter.is_upstream or parameter.each or source is None or source in mapped:
                continue
            if source in collected.results and isinstance(annotation, Type) and types.accepts_none(annotation) is False:
                strict = Strict(
                    step=step.name,
                    function=facts.function,
                    module=facts.module,
                    ignore_cancelled=step.ignore_cancelled,
                    ignore_discarded=step.ignore_discarded,
                    parameter=parameter.name,
                    source=source,
                )
                yield strict, annotation


def check_options(
    known: FlowFacts | None, call: CallExpr, checker: TypeChecker, codes: Collection[str]
) -> FlowFacts | None:
    """Report what is wrong with the options of a call, and what they make wrong in the flow.

    Args:
        known: What is known of the flow; None if nothing is.
        call: The call of `.options(...)`.
        checker: The checker of the module that the call is in.
        codes: The rules to check.

    Returns:
        What is known of the flow that the call gives.
    """
    given = GivenOptions.of(call, checker)
    findings: list[Diagnostic] = []
    if option_rule.finding.code in codes:
        findings += option_rule.flow_options(given.specs())
    cancelled, discarded = given.flag("ignore_cancelled"), given.flag("ignore_discarded")
    arguments: dict[str, Place] = {}
    if known is not None and (cancelled, discarded) != (None, None):
        changed = known.ignoring(cancelled, discarded)
        if changed.ignores != known.ignores and not_optional.finding.code in codes:
            taken = next(place for name, place in given.places.items() if name.startswith("ignore_"))
            arguments = {strict.step: taken for strict, _ in known.strict}
            findings += check(
                _reduced(changed, checker), MypyTypes(checker), codes={not_optional.finding.code}
            ).findings
        known = changed
    report(findings, arguments, call, checker)
    return known


def _reduced(flow: FlowFacts, checker: TypeChecker) -> FlowSpec:
    """A flow with nothing but the parameters that do not accept None."""
    steps: dict[str, StepSpec] = {name: StepSpec(name=name, is_open=True) for name in flow.results}
    for strict, annotation in flow.strict:
        definition = definition_in(checker.tree, strict.module, strict.function)
        is_here = strict.module == checker.tree.fullname
        place = None if is_here else elsewhere(strict.module)
        if definition is not None:
            place = Places.of(definition, checker).parameters.get(strict.parameter)
        parameter = ParameterSpec(
            name=strict.parameter,
            role=Role.UPSTREAM,
            type=annotation,
            source=strict.source,
            place=place,
        )
        steps[strict.step] = StepSpec(
            name=strict.step,
            parameters=(*steps[strict.step].parameters, parameter),
            ignore_cancelled=strict.ignore_cancelled,
            ignore_discarded=strict.ignore_discarded,
            is_open=True,
        )
    cancelled, discarded = flow.ignores
    return FlowSpec(name="", steps=tuple(steps.values()), ignore_cancelled=cancelled, ignore_discarded=discarded)
