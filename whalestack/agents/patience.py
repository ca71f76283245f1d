"""How long to wait where both clocks matter.

Windows are market time, but what limits an order on its way are sockets and Bybit's receive
window, and those are real. A market that plays sixty times as fast must not make us give a
request up sixty times as early, so such a wait is never shorter than its real part.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from whalestack.clock import Clock
from whalestack.config import Settings

_LAG_REAL_S = 5.0
_GATE_REAL_S = 60.0
_OVERLAP_REAL_S = 60.0
_TICK_REAL_S = 3.0


def at_least_real(clock: Clock, market_s: float, real_s: float) -> timedelta:
    """A market duration of `market_s`, or longer where `real_s` real seconds need more."""
    return timedelta(seconds=max(market_s, real_s / clock.real_seconds(1.0)))


def tick_max_age(clock: Clock, settings: Settings) -> timedelta:
    """How old a live price may be, as a market duration."""
    return at_least_real(clock, settings.stale_tick_s, _TICK_REAL_S)


def is_within(moment: datetime, now: datetime, market_s: float) -> bool:
    """Whether a moment is younger than that; one that lies ahead, after a clock was set back, is not."""
    return timedelta(0) <= now - moment < timedelta(seconds=market_s)


@dataclass(frozen=True)
class Patience:
    """The waits of the order agents, as market durations.

    Args:
        in_flight: a send younger than this may still be under way in another worker.
        place_within: once the row says sent, the request must leave within this or not at all, so
            that it cannot arrive after the order has been declared absent.
        absent_after: a send older than this, of which the exchange knows nothing, never arrived:
            our socket has timed out, Bybit's receive window has closed, and its lists have caught up.
        unknown_bound: an outcome still unknown after this is told to the owner.
        send_within: an intent older than this is not sent any more.
        leave_alone: a signal or intent younger than this is still being worked on; a sweep waits.
        refetch_takes: so long a refetch that was asked for is waited for before it is asked for again.
        reconciled_within: trading stops when the last reconciliation is older than this.
        overlap: how far back a poll asks for fills before the poll that came last.
    """

    in_flight: timedelta
    place_within: timedelta
    absent_after: timedelta
    unknown_bound: timedelta
    send_within: timedelta
    leave_alone: timedelta
    refetch_takes: timedelta
    reconciled_within: timedelta
    overlap: timedelta

    @classmethod
    def from_settings(cls, settings: Settings, clock: Clock) -> Self:
        """The waits that follow from the timeouts and limits in the settings."""
        request_s = settings.bybit_timeout_s + settings.bybit_recv_window_ms / 1000
        return cls(
            in_flight=at_least_real(clock, 0.0, request_s),
            place_within=at_least_real(clock, 0.0, _LAG_REAL_S),
            absent_after=at_least_real(clock, 0.0, request_s + _LAG_REAL_S),
            unknown_bound=at_least_real(clock, settings.unknown_order_bound_s, request_s + 2 * _LAG_REAL_S),
            send_within=at_least_real(clock, settings.signal_max_age_s, request_s),
            leave_alone=at_least_real(clock, 30.0, 2.0),
            refetch_takes=at_least_real(clock, 20.0, 3.0),
            reconciled_within=at_least_real(clock, settings.reconcile_max_age_s, _GATE_REAL_S),
            overlap=at_least_real(clock, 900.0, _OVERLAP_REAL_S),
        )
