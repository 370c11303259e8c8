"""Choose which step continues next. By default, all steps that can run do."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from baton_dsl.testing.engine import Engine


class Died(BaseException):
    """The process of an attempt has crashed, so the attempt does not continue."""


class Turns:
    """Lets every step run when it can. An exploration decides instead; see `explore.Schedule`."""

    async def calm(self) -> None:
        """Wait until every step that can continue by itself has done so."""

    def offer(self, engine: Engine) -> bool:
        """Choose what continues now. False leaves that to the engine."""
        return False

    def may_settle(self, node: str) -> bool:
        """Called when a function has ended. Returns False if its process crashes before the result is stored."""
        return True

    async def run(self, node: str, function: Coroutine[Any, Any, Any], *, is_sync: bool) -> Any:
        """Run a step's function."""
        return await function


NO_TURNS: Final = Turns()
