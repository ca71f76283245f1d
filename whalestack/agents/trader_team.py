"""All automatic traders of one account, side by side on the same signals.

Each decides for itself, from its own settings, and has its own plan row for each signal. What
they share is the account: its limits, its kill switch, and its one position per symbol. Who is
asked first changes from signal to signal, so that over many none has the better place; for one
signal the order is always the same, whoever delivers it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from whalestack.agents.autotrader import ActReport, Autotrader
from whalestack.agents.plan_reaper import PlanReaper, ReapReport
from whalestack.errors import TryAgain

log = structlog.get_logger(__name__)

REFETCHING = "refetching"


@dataclass(frozen=True)
class TeamReport:
    """What became of one delivery of a signal, by each trader that was asked."""

    signal_id: int
    by_agent: dict[str, ActReport]

    @property
    def outcome(self) -> str:
        """Of the last trader that was asked; with one trader, its own."""
        return self._last.outcome

    @property
    def reasons(self) -> tuple[str, ...]:
        """The same trader's reasons."""
        return self._last.reasons

    @property
    def orders(self) -> tuple[str, ...]:
        """What all of them sent: the status of each order."""
        return tuple(status for report in self.by_agent.values() for status in report.orders)

    @property
    def _last(self) -> ActReport:
        return next(reversed(self.by_agent.values()))


@dataclass(frozen=True)
class SweepReport:
    """How many signals were enqueued again, and how many signals were given up."""

    enqueued: int = 0
    expired: int = 0


class TraderTeam:
    """Asks each trader.

    Args:
        traders: those that act, in the order of the settings; at least one.
        reaper: ends plans, whoever made them.
    """

    def __init__(self, *, traders: Sequence[Autotrader], reaper: PlanReaper) -> None:
        self._traders = tuple(traders)
        self._reaper = reaper

    def act_on_signal(self, signal_id: int) -> TeamReport:
        """Let every trader decide on a signal, or go on where an earlier delivery stopped.

        The first one whose maps are too old has them fetched; the refetch delivers the signal
        again, and the others, who need the same maps, are asked then.

        Raises:
            TryAgain: something that a decision needs is away. Every trader was asked before.
        """
        reports: dict[str, ActReport] = {}
        failure: TryAgain | None = None
        for trader in self._in_turn(signal_id):
            try:
                reports[trader.name] = trader.act_on_signal(signal_id)
            except TryAgain as error:
                log.warning("trader_must_try_again", agent_name=trader.name, signal_id=signal_id)
                failure = failure or error
                continue
            if reports[trader.name].outcome == REFETCHING:
                break
        if failure is not None:
            raise failure
        return TeamReport(signal_id, reports)

    def warm_up(self) -> None:
        """Do what the first signal would otherwise wait for. Raises as `Desk.warm_up`."""
        for trader in self._traders:
            trader.warm_up()

    def sweep(self) -> SweepReport:
        """Enqueue again what a lost message left lying; give up signals that are too old."""
        found = [trader.leftovers() for trader in self._traders]
        signal_ids = sorted({signal_id for each in found for signal_id in each.signal_ids})
        for signal_id in signal_ids:
            self._traders[0].enqueue(signal_id)
        return SweepReport(len(signal_ids), sum(each.expired for each in found))

    def expire_plans(self) -> ReapReport:
        """End the plans whose pullback did not come, and what is left of those that are over."""
        return self._reaper.run()

    def _in_turn(self, signal_id: int) -> tuple[Autotrader, ...]:
        first = signal_id % len(self._traders)
        return self._traders[first:] + self._traders[:first]
