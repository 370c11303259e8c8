"""Where the plugin enters mypy: one table of full names.

| name | hook | does |
|---|---|---|
| `step`, `StepDecorator.__call__` | `steps.step`, `steps.decorate` | a step's type, its name a literal, with its facts |
| `Step.named`, `Step.bind` | `steps.named`, `steps.bind` | the same step under another name, with inputs |
| `Flow`, `Flow.add` | `flows.flow`, `flows.add` | checks the flow, types its inputs and step names |
| `Flow.insert` | `flows.insert` | the workflow's results |

mypy asks for a hook at every call of a program, so each answer is one look-up in a dictionary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final

from mypy.options import Options
from mypy.plugin import FunctionContext, MethodContext, MethodSigContext, Plugin, ReportConfigContext
from mypy.types import FunctionLike, Type

from baton_mypy import calls, flows, names, steps
from baton_mypy.codes import BATON

type FunctionHook = Callable[[FunctionContext], Type]
type MethodHook = Callable[[MethodContext], Type]
type SignatureHook = Callable[[MethodSigContext], FunctionLike]


def _guarded[C: (FunctionContext, MethodContext)](hook: Callable[[C], Type]) -> Callable[[C], Type]:
    """A hook whose failure is reported and does not end the user's run.

    An exception in a hook aborts mypy, and one that is swallowed leaves a flow unchecked without a word.
    """

    @wraps(hook)
    def guarded(context: C) -> Type:
        try:
            return hook(context)
        except Exception as error:  # noqa: BLE001 - told to the user, and the run goes on
            context.api.fail(_failed(error), context.context, code=BATON)
            return context.default_return_type

    return guarded


def _guarded_signature(hook: SignatureHook) -> SignatureHook:
    """The same for a signature hook."""

    @wraps(hook)
    def guarded(context: MethodSigContext) -> FunctionLike:
        try:
            return hook(context)
        except Exception as error:  # noqa: BLE001 - told to the user, and the run goes on
            context.api.fail(_failed(error), context.context, code=BATON)
            return context.default_signature

    return guarded


def _failed(error: Exception) -> str:
    return f"baton_mypy failed, so this is not checked: {type(error).__name__}: {error}"


_FUNCTIONS: Final[Mapping[str, FunctionHook]] = {
    names.STEP_FUNCTION: _guarded(steps.step),
    names.FLOW: _guarded(flows.flow),
}
_METHODS: Final[Mapping[str, MethodHook]] = {
    f"{names.STEP_DECORATOR}.__call__": _guarded(steps.decorate),
    f"{names.STEP}.named": _guarded(steps.named),
    f"{names.STEP}.bind": _guarded(steps.bind),
    f"{names.FLOW}.add": _guarded(flows.add),
    f"{names.FLOW}.insert": _guarded(flows.insert),
}
_SIGNATURES: Final[Mapping[str, SignatureHook]] = {
    f"{names.STEP}.bind": _guarded_signature(calls.bind),
    f"{names.FLOW}.insert": _guarded_signature(calls.insert),
    **dict.fromkeys((f"{names.WORKFLOW}.result", f"{names.SYNC_WORKFLOW}.result"), _guarded_signature(calls.result)),
}


class BatonPlugin(Plugin):
    """Checks flows while their modules are checked. It keeps nothing between two calls of its hooks."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)

    def get_function_hook(self, fullname: str) -> FunctionHook | None:
        """The hook of a function or a class by its full name."""
        return _FUNCTIONS.get(fullname)

    def get_method_hook(self, fullname: str) -> MethodHook | None:
        """The hook of a method by its full name."""
        return _METHODS.get(fullname)

    def get_method_signature_hook(self, fullname: str) -> SignatureHook | None:
        """The signature hook of a method by its full name."""
        return _SIGNATURES.get(fullname)
