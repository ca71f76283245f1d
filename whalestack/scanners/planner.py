"""Which maps a round fetches when the plan does not allow all of them.

The most overdue come first. How soon a map is due depends on what it can tell: a column
of the 12h map turns every 5 minutes, one of the 1y map once a day, and a ranked coin is
looked at more often than the rest. Overdue-ness grows without bound with age, so nothing
starves, whatever is hot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from whalestack.math.timeframes import GEOMETRY

# A ranked coin's maps are due this many times as soon.
RANKED_URGENCY = 4.0
# The last column of every map is live, so even the longest range is due this often.
LONGEST_DUE_S = 3600.0


@dataclass(frozen=True)
class MapTarget:
    """One map that may be fetched.

    Args:
        symbol: Bybit symbol.
        timeframe: a served range.
        fetched_at: when it was last fetched, None if never.
        rank: of the coin, None where it has none.
    """

    symbol: str
    timeframe: str
    fetched_at: datetime | None = None
    rank: int | None = None


def plan_round(
    targets: Sequence[MapTarget], *, capacity: int, now: datetime, refresh_interval_s: float
) -> list[MapTarget]:
    """The maps to fetch in this round, coin by coin, the most urgent coin first.

    Args:
        targets: every map of every followed coin.
        capacity: calls that may be spent on the round.
        now: market time.
        refresh_interval_s: market seconds between rounds.

    Returns:
        All of them where they fit; else the `capacity` most overdue ones.
    """
    overdue = {(each.symbol, each.timeframe): _overdue(each, now, refresh_interval_s) for each in targets}
    chosen = sorted(targets, key=lambda each: -overdue[each.symbol, each.timeframe])[: max(capacity, 0)]
    most: dict[str, float] = {}
    for each in chosen:
        most[each.symbol] = max(most.get(each.symbol, 0.0), overdue[each.symbol, each.timeframe])
    return sorted(chosen, key=lambda each: -most[each.symbol])


def batches(chosen: Sequence[MapTarget], size: int) -> list[list[MapTarget]]:
    """Batches of about `size` maps. A coin's maps stay together: its sizes are learned from all of them."""
    found: list[list[MapTarget]] = []
    by_coin: dict[str, list[MapTarget]] = {}
    for each in chosen:
        by_coin.setdefault(each.symbol, []).append(each)
    for coin in by_coin.values():
        if found and len(found[-1]) + len(coin) <= size:
            found[-1].extend(coin)
        else:
            found.append(list(coin))
    return found


def calls_for_round(*, calls_per_min: int, reserve_pct: float, real_interval_s: float) -> int:
    """Calls a round may spend before the next one starts.

    Args:
        calls_per_min: of the plan, in real minutes.
        reserve_pct: kept for urgent calls.
        real_interval_s: real seconds between rounds.
    """
    return max(1, int(calls_per_min * (1 - reserve_pct / 100) * real_interval_s / 60))


def _overdue(target: MapTarget, now: datetime, refresh_interval_s: float) -> float:
    """Age over the age at which the map is due; a map that was never fetched is infinitely overdue."""
    urgency = RANKED_URGENCY if target.rank is not None else 1.0
    if target.fetched_at is None:
        return float("inf")
    due_s = min(max(GEOMETRY[target.timeframe].column_s, refresh_interval_s), LONGEST_DUE_S)
    return urgency * (now - target.fetched_at).total_seconds() / due_s
