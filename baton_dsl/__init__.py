"""Typed DAG workflows on Oban and PostgreSQL.

```python
from baton_dsl import Flow, Input, step

@step
async def fetch_token(api_key: Input[str]) -> Token: ...

@step
def report(fetch_token: Token) -> Report: ...

billing = Flow("billing", fetch_token, report)
```

Importing this package loads no driver, no SQLAlchemy and no oban; `Flow.insert` and `Workflow` reach for them.
"""

from typing import TYPE_CHECKING, Any

from baton_dsl.context import StepContext
from baton_dsl.errors import BatonError, FlowError
from baton_dsl.flow import Flow
from baton_dsl.step import From, Input, Step, step
from baton_dsl.version import __version__

if TYPE_CHECKING:
    from baton_dsl.runtime.workflow import Workflow as Workflow

__all__ = ["BatonError", "Flow", "FlowError", "From", "Input", "Step", "StepContext", "Workflow", "__version__", "step"]


def __getattr__(name: str) -> Any:
    if name == "Workflow":
        from baton_dsl.runtime.workflow import Workflow

        return Workflow
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
