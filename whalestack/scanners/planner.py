"""Which maps a round fetches when the plan does not allow all of them, and how old a map can get.

Half of a round goes to the maps that have waited longest, whoever they are. So a map is tried at
the latest after ceil(maps / half) rounds, whatever is hot: before its turn only maps can come that
have waited as long, and each round takes that many of them away. The maps of a new coin count as
waiting longest: they come at once, and put the others off by their share of a round.

The other half goes to the most overdue. How soon a map is due depends on what it can tell: a column
of the 12h map turns every 5 minutes, one of the 1y map once a day; a ranked coin is looked at more
often than the rest, and a map that failed less often each time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from whalestack.math.timeframes import GEOMETRY

# A ranked coin's maps are due this many times as soon.
RANKED_URGENCY = 4.0
# The last column of every map is live, so even the longest range is due this often.
LONGEST_DUE_S = 3600.0
# Of a round, for the maps that have waited longest.
LONGEST_WAITING_SHARE = 0.5


@dataclass(frozen=True)
class MapTarget:
    """One map that may be fetched.

    Args:
        symbol: Bybit symbol.
        timeframe: a served range.
        tried_at: when it was last fetched, or failed to be; None if never.
        rank: of the coin, None where it has none.
        failures: how often in a row it has failed.
    """

    symbol: str
    timeframe: str
    tried_at: datetime | None = None
    rank: int | None = None
    failures: int = 0


def plan_round(
    targets: Sequence[MapTarget], *, capacity: int, now: datetime, refresh_interval_s: float
) -> list[MapTarget]:
    """The maps to fetch in this round, coin by coin, the coin with the most urgent map first.

    Args:
        targets: every map of every followed coin.
        capacity: calls that may be spent on the round.
        now: market time.
        refresh_interval_s: market seconds between rounds.

    Returns:
        All of them where they fit; else `capacity` of them, as the module says.
    """
    overdue = {_key(each): _overdue(each, now, refresh_interval_s) for each in targets}
    waited = sorted(targets, key=lambda each: (each.tried_at is not None, each.tried_at))
    longest = _longest_waiting(capacity)
    rest = sorted(waited[longest:], key=lambda each: -overdue[_key(each)])
    chosen = waited[:longest] + rest[: max(capacity - longest, 0)]
    most: dict[str, float] = {}
    for each in chosen:
        most[each.symbol] = max(most.get(each.symbol, 0.0), overdue[_key(each)])
    return sorted(chosen, key=lambda each: (-most[each.symbol], each.symbol))


def most_rounds_between(maps: int, capacity: int) -> int:
    """After how many rounds at the latest a map is tried again.

    Args:
        maps: of all followed coins.
        capacity: calls of a round, at least 1.
    """
    return 1 if capacity >= maps else math.ceil(maps / _longest_waiting(capacity))


def max_age_s(maps: int, capacity: int, refresh_interval_s: float) -> float:
    """The age, in market seconds, that no map exceeds while calls succeed and rounds keep their interval.

    Fetched at the beginning of one round and at the end of its next one: a round more than lies between.
    """
    return (most_rounds_between(maps, capacity) + 1) * refresh_interval_s


def batches(chosen: Sequence[MapTarget], size: int) -> list[list[MapTarget]]:
    """Batches of at most `size` maps. A coin's maps stay together where they fit: storing locks the coin."""
    found: list[list[MapTarget]] = []
    for coin in _by_coin(chosen):
        for piece in (coin[start : start + size] for start in range(0, len(coin), size)):
            if found and len(found[-1]) + len(piece) <= size:
                found[-1].extend(piece)
            else:
                found.append(list(piece))
    return found


def calls_for_round(*, calls_per_min: int, reserve_pct: float, real_interval_s: float) -> int:
    """Calls a round may spend before the next one starts.

    Args:
        calls_per_min: of the plan, in real minutes.
        reserve_pct: kept for urgent calls.
        real_interval_s: real seconds between rounds.
    """
    return max(1, int(calls_per_min * (1 - reserve_pct / 100) * real_interval_s / 60))


def batch_size(*, most: int, calls_per_min: int, reserve_pct: float, workers: int, within_s: float) -> int:
    """Maps of a batch for which the budget has calls in time while every worker has one.

    Args:
        most: maps, however many calls there are.
        within_s: real seconds that a batch may wait for its calls.
    """
    share = calls_for_round(
        calls_per_min=calls_per_min, reserve_pct=reserve_pct, real_interval_s=within_s
    ) // max(workers, 1)
    return max(1, min(most, share))


def _longest_waiting(capacity: int) -> int:
    return math.ceil(max(capacity, 0) * LONGEST_WAITING_SHARE)


def _overdue(target: MapTarget, now: datetime, refresh_interval_s: float) -> float:
    """Age over the age at which the map is due; a map that was never tried is infinitely overdue."""
    if target.tried_at is None:
        return math.inf
    urgency = RANKED_URGENCY if target.rank is not None else 1.0
    column_s = GEOMETRY[target.timeframe].column_s
    # Doubled with each failure; beyond ten nothing changes any more.
    due_s = max(column_s, refresh_interval_s) * 2.0 ** min(target.failures, 10)
    return urgency * (now - target.tried_at).total_seconds() / min(due_s, LONGEST_DUE_S)


def _key(target: MapTarget) -> tuple[str, str]:
    return target.symbol, target.timeframe


def _by_coin(chosen: Sequence[MapTarget]) -> Iterable[list[MapTarget]]:
    coins: dict[str, list[MapTarget]] = {}
    for each in chosen:
        coins.setdefault(each.symbol, []).append(each)
    return coins.values()
