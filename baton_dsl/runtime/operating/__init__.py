"""The actions of operators: cancel, retry, pause, resume, rerun and prune workflows."""

import warnings

from baton_dsl.runtime.observing.workflow_filter import WorkflowFilter
from baton_dsl.runtime.operating.actions import Action as Action
from baton_dsl.runtime.operating.actions import operate as operate
from baton_dsl.runtime.operating.actions import operate_sync as operate_sync


def __getattr__(name: str) -> object:
    if name == "Which":
        warnings.warn("Which is WorkflowFilter of baton_dsl.runtime.observing now", DeprecationWarning, stacklevel=2)
        return WorkflowFilter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
