"""Test flows in memory and in virtual time, on a real PostgreSQL, or with every possible crash.

```python
from datetime import timedelta

async def test_billing(baton):                       # the fixture of the pytest plugin that comes with baton-dsl
    run = await baton.run(billing, api_key="x", replace={charge: [ConnectionError(), 12]})
    assert run.outcome == "completed"
    assert run[report].total == 12 and run.attempts(charge) == 2
    assert run.elapsed >= timedelta(seconds=2)       # the backoff, which nobody waited for
```

Nothing is imported before one of these names is used, so the plugin costs nothing in test runs that do not use it.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from baton_dsl.testing.baton import Baton as Baton
    from baton_dsl.testing.clock import Clock as Clock
    from baton_dsl.testing.contexts import context as context
    from baton_dsl.testing.explore import Exploration as Exploration
    from baton_dsl.testing.replacing import attempts as attempts
    from baton_dsl.testing.run import Run as Run
    from baton_dsl.testing.snapshots import assert_flow as assert_flow

_HOMES = {
    "Baton": "baton",
    "Clock": "clock",
    "Exploration": "explore",
    "Run": "run",
    "assert_flow": "snapshots",
    "attempts": "replacing",
    "context": "contexts",
}
"""The module that each public name comes from (PEP 562)."""

__all__ = ["Baton", "Clock", "Exploration", "Run", "assert_flow", "attempts", "context"]


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
