"""A step that tells when it began and when it ended. A module of its own, since workers import steps by name."""

from __future__ import annotations

import time

from baton_dsl import Flow, step


@step
async def moments() -> tuple[float, float]:
    begun = time.time()
    return begun, time.time()


one = Flow("one", moments)
