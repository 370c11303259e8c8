"""The table of hooks.

| name | hook | does |
|---|---|---|
| `step`, `StepDecorator()` | `steps.step`, `steps.decorate` | a step's type: its name a literal, with its facts |
| `From` | `defaults.upstream` | the type that a map passes to a parameter |
| `Step.named`, `Step.bind` | `steps.named`, `steps.bind` | the same step under another name, with inputs |
| `Flow`, `Flow.add` | `flows.flow`, `flows.add` | checks the flow, types its inputs and step names |
| `Flow.options` | `flows.options` | the same flow |
| `Flow.insert` | `signatures.insert`, `flows.insert` | its arguments; the workflow's results |
| `Flow.insert_many` | `signatures.insert_many`, `flows.insert` | the same for each literal mapping |
| `Step.bind` | `signatures.bind` | its arguments |
| `Workflow.result` | `signatures.result`, `results.result` | whether the flow has the step; a result by name |
| `Workflow.results_of`, `Run.results_of` | `results.lists`, `results.results_of` | whether the step is mapped |
| `Workflow.results`, `Workflow.sync` | `results.results`, `flows.sync` | each result by name |
| `Baton.run` and the like | `replacing.run` | the inputs of a test's run, and the replacements of steps |

This module imports everything that the hooks need, so it is imported at the first call of a hooked name. Every run of
mypy that checks a module with flows pays for that, so records are named tuples: creating such a class takes a third of
the time of a frozen dataclass.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import NamedTuple

from mypy.plugin import AttributeContext, FunctionContext, FunctionSigContext, MethodContext, MethodSigContext
from mypy.types import FunctionLike, Type

from baton_mypy import defaults, flows, names, replacing, results, signatures, steps
from baton_mypy.codes import BATON

type FunctionHook = Callable[[FunctionContext], Type]
type MethodHook = Callable[[MethodContext], Type]
type AttributeHook = Callable[[AttributeContext], Type]
type SignatureHook[C: (MethodSigContext, FunctionSigContext)] = Callable[[C], FunctionLike]


def _guarded[C: (FunctionContext, MethodContext)](hook: Callable[[C], Type]) -> Callable[[C], Type]:
    """Wrap a hook so that its failure is reported as an error.

    An exception in a hook would abort mypy, and a suppressed one would silently leave a flow unchecked.
    """

    def guarded(context: C) -> Type:
        try:
            return hook(context)
        except Exception as error:  # noqa: BLE001 - reported to the user, and the run continues
            context.api.fail(_failed(error), context.context, code=BATON)
            return context.default_return_type

    return guarded


def _guarded_signature[C: (MethodSigContext, FunctionSigContext)](hook: SignatureHook[C]) -> SignatureHook[C]:
    """The same for a signature hook."""

    def guarded(context: C) -> FunctionLike:
        try:
            return hook(context)
        except Exception as error:  # noqa: BLE001 - reported to the user, and the run continues
            context.api.fail(_failed(error), context.context, code=BATON)
            return context.default_signature

    return guarded


def _failed(error: Exception) -> str:
    return f"baton_mypy failed, so this is not checked: {type(error).__name__}: {error}"


class Hooks(NamedTuple):
    """All hooks, by the full names that they are for."""

    functions: Mapping[str, FunctionHook]
    methods: Mapping[str, MethodHook]
    signatures: Mapping[str, SignatureHook[MethodSigContext]]
    function_signatures: Mapping[str, SignatureHook[FunctionSigContext]]
    attributes: Mapping[str, AttributeHook]


def hooks(codes: Collection[str]) -> Hooks:
    """The hooks that check the rules of some codes."""
    workflows = (names.WORKFLOW, names.SYNC_WORKFLOW)
    return Hooks(
        functions={
            names.STEP_FUNCTION: _guarded(steps.step),
            names.FLOW: _guarded(partial(flows.flow, codes=codes)),
        },
        methods={
            f"{names.STEP_DECORATOR}.__call__": _guarded(steps.decorate),
            f"{names.STEP}.named": _guarded(steps.named),
            f"{names.STEP}.bind": _guarded(steps.bind),
            f"{names.FLOW}.add": _guarded(partial(flows.add, codes=codes)),
            f"{names.FLOW}.bind": _guarded(flows.bind),
            f"{names.FLOW}.options": _guarded(partial(flows.options, codes=codes)),
            f"{names.FLOW}.insert": _guarded(flows.insert),
            f"{names.FLOW}.insert_many": _guarded(flows.insert),
            **{f"{workflow}.result": _guarded(results.result) for workflow in workflows},
            **{f"{workflow}.results": _guarded(results.results) for workflow in workflows},
            **{method: _guarded(results.results_of) for method in names.RESULTS_OF},
        },
        signatures={
            f"{names.STEP}.bind": _guarded_signature(partial(signatures.bind, codes=codes)),
            f"{names.FLOW}.bind": _guarded_signature(partial(signatures.preset, codes=codes)),
            f"{names.FLOW}.insert": _guarded_signature(partial(signatures.insert, codes=codes)),
            f"{names.FLOW}.insert_many": _guarded_signature(partial(signatures.insert_many, codes=codes)),
            **{f"{workflow}.result": _guarded_signature(signatures.result) for workflow in workflows},
            **{method: _guarded_signature(results.lists) for method in names.RESULTS_OF},
            **{method: _guarded_signature(partial(replacing.run, codes=codes)) for method in names.RUNS},
        },
        function_signatures={names.FROM: _guarded_signature(defaults.upstream)},
        attributes={f"{names.WORKFLOW}.sync": flows.sync},
    )
