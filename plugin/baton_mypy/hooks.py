"""Where the plugin enters mypy: one table of full names.

| name | hook | does |
|---|---|---|
| `step`, `StepDecorator()` | `steps.step`, `steps.decorate` | a step's type: its name a literal, with its facts |
| `Step.named`, `Step.bind` | `steps.named`, `steps.bind` | the same step under another name, with inputs |
| `Flow`, `Flow.add` | `flows.flow`, `flows.add` | checks the flow, types its inputs and step names |
| `Flow.options` | `flows.options` | the same flow |
| `Flow.insert` | `calls.insert`, `flows.insert` | what it is given; the workflow's results |
| `Step.bind` | `calls.bind` | what it is given |
| `Workflow.result` | `calls.result`, `flows.result` | whether the flow has the step; a result by name |
| `Workflow.results`, `Workflow.sync` | `flows.results`, `flows.sync` | each result by name |

mypy asks for a hook at every call of a program, so each answer is one look-up in a dictionary.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from mypy.options import Options
from mypy.plugin import AttributeContext, FunctionContext, MethodContext, MethodSigContext, Plugin, ReportConfigContext
from mypy.types import FunctionLike, Type

from baton_mypy import calls, flows, names, steps
from baton_mypy.codes import BATON
from baton_mypy.settings import Settings

type FunctionHook = Callable[[FunctionContext], Type]
type MethodHook = Callable[[MethodContext], Type]
type AttributeHook = Callable[[AttributeContext], Type]
type SignatureHook = Callable[[MethodSigContext], FunctionLike]


def _guarded[C: (FunctionContext, MethodContext)](hook: Callable[[C], Type]) -> Callable[[C], Type]:
    """A hook whose failure is reported and does not end the user's run.

    An exception in a hook aborts mypy, and one that is swallowed leaves a flow unchecked without a word.
    """

    def guarded(context: C) -> Type:
        try:
            return hook(context)
        except Exception as error:  # noqa: BLE001 - told to the user, and the run goes on
            context.api.fail(_failed(error), context.context, code=BATON)
            return context.default_return_type

    return guarded


def _guarded_signature(hook: SignatureHook) -> SignatureHook:
    """The same for a signature hook."""

    def guarded(context: MethodSigContext) -> FunctionLike:
        try:
            return hook(context)
        except Exception as error:  # noqa: BLE001 - told to the user, and the run goes on
            context.api.fail(_failed(error), context.context, code=BATON)
            return context.default_signature

    return guarded


def _failed(error: Exception) -> str:
    return f"baton_mypy failed, so this is not checked: {type(error).__name__}: {error}"


_STEPS: Final[Mapping[str, FunctionHook]] = {names.STEP_FUNCTION: _guarded(steps.step)}
_METHODS: Final[Mapping[str, MethodHook]] = {
    f"{names.STEP_DECORATOR}.__call__": _guarded(steps.decorate),
    f"{names.STEP}.named": _guarded(steps.named),
    f"{names.STEP}.bind": _guarded(steps.bind),
    f"{names.FLOW}.options": _guarded(flows.options),
    f"{names.FLOW}.insert": _guarded(flows.insert),
    **{
        f"{workflow}.{method}": _guarded(hook)
        for workflow in (names.WORKFLOW, names.SYNC_WORKFLOW)
        for method, hook in (("result", flows.result), ("results", flows.results))
    },
}
_SIGNATURES: Final[Mapping[str, SignatureHook]] = {
    f"{names.STEP}.bind": _guarded_signature(calls.bind),
    f"{names.FLOW}.insert": _guarded_signature(calls.insert),
    f"{names.WORKFLOW}.result": _guarded_signature(calls.result),
    f"{names.SYNC_WORKFLOW}.result": _guarded_signature(calls.result),
}
_ATTRIBUTES: Final[Mapping[str, AttributeHook]] = {f"{names.WORKFLOW}.sync": flows.sync}


class BatonPlugin(Plugin):
    """Checks flows while their modules are checked. It keeps nothing between two calls of its hooks."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        settings = Settings.near(options.config_file)
        for problem in settings.problems:
            sys.stderr.write(f"{problem}\n")
        self._codes = sorted(settings.codes)
        self._functions = {**_STEPS, names.FLOW: _guarded(partial(flows.flow, codes=settings.codes))}
        self._methods = {**_METHODS, f"{names.FLOW}.add": _guarded(partial(flows.add, codes=settings.codes))}

    def get_function_hook(self, fullname: str) -> FunctionHook | None:
        """The hook of a function or a class by its full name."""
        return self._functions.get(fullname)

    def get_method_hook(self, fullname: str) -> MethodHook | None:
        """The hook of a method by its full name."""
        return self._methods.get(fullname)

    def get_method_signature_hook(self, fullname: str) -> SignatureHook | None:
        """The signature hook of a method by its full name."""
        return _SIGNATURES.get(fullname)

    def get_attribute_hook(self, fullname: str) -> AttributeHook | None:
        """The hook of an attribute by its full name."""
        return _ATTRIBUTES.get(fullname)

    def report_config_data(self, ctx: ReportConfigContext) -> list[str]:
        """What a module's cache depends on besides its source: the rules that are on."""
        return self._codes
