"""Start and stop the companions of an Oban instance: its guard, its reports of ended workflows, its clean stop."""

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
    """All companions of one instance."""

    members: tuple[bridge.Companion, ...]

    @staticmethod
    def of(running: bridge.Running) -> Companions:
        """The companions of an instance."""
        guard = Guard(running.connect, running.prefix, running.producers)
        return Companions((guard, EndReporter(running), Listening(running), Stopping(running)))

    def start(self) -> None:
        """Start all companions."""
        for member in self.members:
            member.start()

    def retire(self) -> None:
        """Retire all companions: the instance stops, but its jobs may still run for a while."""
        for member in self.members:
            member.retire()


def accompany_instances() -> None:
    """Give companions to every new Oban instance of this process."""
    bridge.give_companions(Companions.of)


def accompany(instance: Oban) -> None:
    """Give companions to a running instance, unless it has them."""
    bridge.accompany(instance, Companions.of)
