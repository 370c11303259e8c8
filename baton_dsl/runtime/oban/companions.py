"""Start and stop what runs beside an Oban instance: its guard, its telemetry of ended workflows, its clean stop."""

from __future__ import annotations

from dataclasses import dataclass

from oban import Oban

from baton_dsl.runtime.oban import bridge
from baton_dsl.runtime.oban.end_reporter import EndReporter
from baton_dsl.runtime.oban.guard import Guard
from baton_dsl.runtime.oban.listening import Listening
from baton_dsl.runtime.oban.stopping import Stopping


@dataclass(frozen=True, slots=True)
class Companions:
    """All companions of one instance as one."""

    members: tuple[bridge.Companion, ...]

    @staticmethod
    def of(running: bridge.Running) -> Companions:
        """Those of an instance."""
        guard = Guard(running.connect, running.prefix, running.producers)
        return Companions((guard, EndReporter(running), Listening(running), Stopping(running)))

    def start(self) -> None:
        """The instance starts."""
        for member in self.members:
            member.start()

    def retire(self) -> None:
        """The instance stops; its jobs may go on for a while."""
        for member in self.members:
            member.retire()


def accompany_instances() -> None:
    """Give companions to every Oban instance of this process that is made from now on."""
    bridge.give_companions(Companions.of)


def accompany(instance: Oban) -> None:
    """Give companions to an instance that runs already, unless it has them."""
    bridge.accompany(instance, Companions.of)
