"""A step that records when it started and ended. In a separate module, since workers import steps by name."""

from __future__ import annotations

import time

from baton_dsl import Flow, step


@step
async def moments() -> tuple[float, float]:
    begun = time.time()
    return begun, time.time()


one = Flow("one", moments)
