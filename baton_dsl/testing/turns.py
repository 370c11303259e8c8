"""Choose which step continues next. By default all steps that can run do run."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from baton_dsl.testing.engine import Engine


class Died(BaseException):
    """The process that runs an attempt has died: nothing more of it happens."""


class Turns:
    """Lets every step run as it comes. An exploration decides instead; see `explore.Schedule`."""

    async def calm(self) -> None:
        """Wait until every step that can go on by itself has done so."""

    def offer(self, engine: Engine) -> bool:
        """Choose what goes on now. False leaves that to the engine."""
        return False

    def may_settle(self, node: str) -> bool:
        """A function has ended. False if its process dies before that is stored."""
        return True

    async def run(self, node: str, function: Coroutine[Any, Any, Any], *, is_sync: bool) -> Any:
        """Run a step's function."""
        return await function


NO_TURNS: Final = Turns()
