"""Check flows with other options: what `.options(ignore_discarded=True)` makes wrong.

`.options` may be called in another module than the one that creates the flow, where only the flow's type is known. So
the type has the facts that such a call can make wrong: the parameters that do not accept an absent upstream.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from mypy.nodes import CallExpr
from mypy.types import Type

from baton_dsl.core.check import check
from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.rules import models as models_rule
from baton_dsl.core.rules import not_optional
from baton_dsl.core.rules import option as option_rule
from baton_dsl.core.spec import (
    INHERITS,
    NO_OPTIONS,
    UNKNOWN,
    FlowSpec,
    Option,
    ParameterSpec,
    Place,
    Role,
    StepSpec,
    Types,
)
from baton_mypy.flow_facts import FlowFacts, Result, Strict
from baton_mypy.flow_specs import Collected
from baton_mypy.options import GivenOptions
from baton_mypy.places import Places, definition_in
from baton_mypy.relations import MypyTypes
from baton_mypy.report import elsewhere, report

if TYPE_CHECKING:
    from mypy.checker import TypeChecker


def strict_parameters(collected: Collected, types: Types) -> Iterator[tuple[Strict, Type]]:
    """The parameters of a flow that do not accept an absent upstream, each with its type.

    Parameters of steps with their own option, which overrides the flow's, are left out.
    """
    steps = {step.name: step for step in reversed(collected.spec.steps)}
    for step in steps.values():
        facts = collected.facts.get(step.name)
        if facts is None or None not in step.ignores:
            continue
        for parameter in step.parameters:
            upstream = steps.get(parameter.source or "")
            if not parameter.is_upstream or upstream is None or upstream is step or upstream.is_job:
                continue
            if isinstance(parameter.type, Type) and not_optional.has_no_room(types, parameter, upstream):
                strict = Strict(
                    step=step.name,
                    function=facts.function,
                    module=facts.module,
                    ignores=step.ignores,
                    parameter=parameter.name,
                    source=upstream.name,
                    each=parameter.each,
                )
                yield strict, parameter.type


def check_options(
    known: FlowFacts | None, call: CallExpr, checker: TypeChecker, codes: Collection[str]
) -> FlowFacts | None:
    """Report what is wrong with the options of a call, and what they make wrong in the flow.

    Args:
        known: The facts about the flow; None if it is unknown.
        call: The call of `.options(...)`.
        checker: The checker of the module that contains the call.
        codes: The rules to check.

    Returns:
        The facts about the flow that the call returns.
    """
    given = GivenOptions.of(call, checker)
    findings: list[Diagnostic] = []
    if option_rule.finding.code in codes:
        findings += option_rule.flow_options(given.specs())
    if known is not None and "models" in given.options and models_rule.finding.code in codes:
        flow = replace(_reduced(known, checker), options={"models": given.specs()["models"]})
        findings += check(flow, MypyTypes(checker), codes={models_rule.finding.code}).findings
    ignores = given.ignores
    arguments: dict[str, Place] = {}
    if known is not None and ignores != INHERITS:
        changed = known.ignoring(ignores)
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
    """The spec of a flow with only the parameters that do not accept an absent upstream."""
    strict: dict[str, list[tuple[Strict, ParameterSpec]]] = {name: [] for name in flow.results}
    for each, annotation in flow.strict:
        definition = definition_in(checker.tree, each.module, each.function)
        place = None if each.module == checker.tree.fullname else elsewhere(each.module)
        if definition is not None:
            place = Places.of(definition, checker).parameters.get(each.parameter)
        parameter = ParameterSpec(
            name=each.parameter,
            role=Role.UPSTREAM,
            type=annotation,
            source=each.source,
            each=each.each,
            place=place,
        )
        strict[each.step].append((each, parameter))
    steps = tuple(_step(name, result, strict[name]) for name, result in flow.results.items())
    return FlowSpec(name="", steps=steps, ignores=flow.ignores)


def _step(name: str, result: Result, strict: list[tuple[Strict, ParameterSpec]]) -> StepSpec:
    """The spec of a step with some of its parameters, and a placeholder parameter that makes the step mapped."""
    rest = ParameterSpec(name="", role=Role.UNKNOWN, each=result.levels)
    models = UNKNOWN if result.is_by_model is None else [UNKNOWN]
    return StepSpec(
        name=name,
        parameters=(*(parameter for _, parameter in strict), rest),
        result=result.type,
        ignores=strict[0][0].ignores if strict else INHERITS,
        options={"models": Option(models)} if result.is_by_model is not False else NO_OPTIONS,
        is_open=True,
    )
