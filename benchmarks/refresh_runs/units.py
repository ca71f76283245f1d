"""What one map costs, stage by stage, in CPU milliseconds of one process that does nothing else."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from refresh_runs.costs import cpu_s
from refresh_runs.rounds import roots
from refresh_runs.system import RefreshSystem
from whalestack.clients.coinglass.heatmap_reply import decode_heatmap
from whalestack.clients.coinglass.transport import Transport
from whalestack.clients.coinglass.types import Heatmap
from whalestack.db.coin_store import FollowedCoin, followed_coins
from whalestack.db.heatmap_store import store_maps
from whalestack.math.timeframes import SERVED_TIMEFRAMES
from whalestack.scanners.map_fetcher import DERIVED_FROM, MapFetcher, Wanted

COINS = 20
PERMITS = 200


class _Decoded:
    """Serves maps that were decoded before."""

    def __init__(self, maps: dict[tuple[str, str], Heatmap]) -> None:
        self._maps = maps

    def heatmap(self, coin: str, timeframe: str, **_: Any) -> Heatmap:
        return self._maps[coin, timeframe]


def unit_costs(system: RefreshSystem) -> dict[str, float]:
    """CPU ms per served map in this process by stage, and what Redis and PostgreSQL add to it.

    The stages: a call from the budget; request, transfer and decompression; decoding; the last
    column, the derived map and clusters; storing.
    """
    with system.runtime.db.begin() as work:
        coins = followed_coins(work.session)[:COINS]
    pairs = list(itertools.product(coins, SERVED_TIMEFRAMES))
    found: dict[str, float] = {}
    with (
        _costing(found, "budget", PERMITS),
        _costing(found, "redis_for_budget", PERMITS, _cpu(system, "redis")),
    ):
        for _ in range(PERMITS):
            with system.runtime.coinglass.budget.call(urgent=False, wait_s=5.0) as permit:
                permit.answered = True
    with _costing(found, "transfer", len(pairs)):
        bodies = _bodies(system, pairs)
    with _costing(found, "decode", len(pairs)):
        maps = {
            (coin.coin, timeframe): decode_heatmap(
                body, coin.coin, timeframe, all_columns=timeframe == DERIVED_FROM
            )
            for (coin, timeframe), body in zip(pairs, bodies, strict=True)
        }
    fetcher = MapFetcher(coinglass=_Decoded(maps), clock=system.runtime.clock, threads=1, source="units")
    with _costing(found, "columns_and_clusters", len(pairs)):
        fetched = fetcher.fetch([Wanted(coin, timeframe) for coin, timeframe in pairs])
    fetcher.close()
    with (
        _costing(found, "store", len(pairs)),
        _costing(found, "postgres_for_store", len(pairs), _cpu(system, "postgres")),
        system.runtime.db.begin() as work,
    ):
        store_maps(work.session, fetched.maps)
    found["reply_bytes"] = round(sum(map(len, bodies)) / len(bodies))
    return {name: round(value, 3) for name, value in found.items()}


def _bodies(system: RefreshSystem, pairs: Sequence[tuple[FollowedCoin, str]]) -> list[bytes]:
    settings = system.settings
    transport = Transport(
        settings.coinglass_url, settings.coinglass_api_key, timeout_s=30.0, max_bytes=50_000_000
    )
    path = f"/api/futures/liquidation/aggregated-heatmap/{settings.coinglass_model}"
    bodies = [
        transport.get(path, {"symbol": coin.coin, "range": timeframe}, "unit").body
        for coin, timeframe in pairs
    ]
    transport.close()
    return bodies


def _cpu(system: RefreshSystem, part: str) -> Callable[[], float]:
    root = roots(system)[part]
    return lambda: cpu_s(root)


@contextmanager
def _costing(
    found: dict[str, float], name: str, times: int, clock: Callable[[], float] = time.process_time
) -> Iterator[None]:
    before = clock()
    yield
    found[name] = 1000 * (clock() - before) / times
