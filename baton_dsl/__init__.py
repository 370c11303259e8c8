"""Typed DAG workflows on Oban and PostgreSQL.

```python
from baton_dsl import Flow, Input, step

@step
async def fetch_token(api_key: Input[str]) -> Token: ...

@step
def report(fetch_token: Token) -> Report: ...

billing = Flow("billing", fetch_token, report)
```

Importing this package loads no driver, no SQLAlchemy and no oban; `Flow.insert` and `Workflow` import them when they
are used. Even pydantic is loaded only when a public name is used, because `baton-lint` needs only `baton_dsl.core` and
has to start fast.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from baton_dsl.context import Skip as Skip
    from baton_dsl.context import StepContext as StepContext
    from baton_dsl.errors import BatonError as BatonError
    from baton_dsl.errors import FlowError as FlowError
    from baton_dsl.flow import Flow as Flow
    from baton_dsl.outcome import Outcome as Outcome
    from baton_dsl.runtime.workflow import Workflow as Workflow
    from baton_dsl.status import WorkflowStatus as WorkflowStatus
    from baton_dsl.step import Each as Each
    from baton_dsl.step import From as From
    from baton_dsl.step import Input as Input
    from baton_dsl.step import Step as Step
    from baton_dsl.step import step as step
    from baton_dsl.version import __version__ as __version__

_HOMES = {
    "BatonError": "errors",
    "Each": "step",
    "Flow": "flow",
    "FlowError": "errors",
    "From": "step",
    "Input": "step",
    "Outcome": "outcome",
    "Skip": "context",
    "Step": "step",
    "StepContext": "context",
    "Workflow": "runtime.workflow",
    "WorkflowStatus": "status",
    "__version__": "version",
    "step": "step",
}
"""The module that each public name comes from (PEP 562)."""

__all__ = [
    "BatonError",
    "Each",
    "Flow",
    "FlowError",
    "From",
    "Input",
    "Outcome",
    "Skip",
    "Step",
    "StepContext",
    "Workflow",
    "WorkflowStatus",
    "__version__",
    "step",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(type(sys)):  # type: ignore[misc]
    """Keeps `baton_dsl.step` the decorator: importing the module `baton_dsl.step` would replace that attribute."""

    def __setattr__(self, name: str, value: object) -> None:
        if name not in _HOMES or not isinstance(value, type(sys)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
