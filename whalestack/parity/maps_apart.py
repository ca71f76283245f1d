"""How far the maps of two ways of making them lie apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from whalestack.backtest.coin_maps import live_columns
from whalestack.backtest.followed_clusters import FollowedCluster
from whalestack.backtest.played_coins import Played
from whalestack.backtest.rankings import MappedCoin
from whalestack.db.heatmap_rows import StoredMap
from whalestack.math.heatmap import Floats, LevelMap
from whalestack.math.liquidation_pass import levels_a_decade

NEAR_PCT = 1.0
"""Of the price: two clusters nearer than this to one another are taken for the same."""
STORED_DIGITS = 2e-5
"""Stored values and prices have five digits."""


@dataclass(frozen=True)
class RangeApart:
    """The maps of a range that the running system stored, beside those of `--maps-as-live`.

    Args:
        timeframe: the range.
        maps: how many were compared.
        equal: of them, those whose every level has the same value, to the digits that are stored.
        alike_pct: what both show at the same levels, per cent of what either shows, over all of them.
    """

    timeframe: str
    maps: int
    equal: int
    alike_pct: float


def ranges_apart(rounds: Sequence[Sequence[StoredMap]], played: Played) -> tuple[RangeApart, ...]:
    """Hold every stored map against the live source's function over the played candles.

    Args:
        rounds: of each refresh from the beginning on.
        played: a stretch over the same candles.
    """
    shared: dict[str, list[tuple[float, float, bool]]] = {}
    for symbol, coin in played.coins.items():
        own = [{m.level_map.timeframe: m.level_map for m in maps if m.symbol == symbol} for maps in rounds]
        for stored, made in zip(own, _made(symbol, coin, played, len(own)), strict=True):
            for timeframe in sorted({*stored, *made}):
                found = _overlap(stored.get(timeframe), made.get(timeframe), coin.maps.rules.step_pct)
                shared.setdefault(timeframe, []).append(found)
    return tuple(
        RangeApart(
            name,
            len(shared[name]),
            sum(is_equal for *_, is_equal in shared[name]),
            100
            * sum(both for both, *_ in shared[name])
            / max(sum(any_ for _, any_, _ in shared[name]), 1e-9),
        )
        for name in next(iter(played.coins.values())).maps.rules.timeframes
        if name in shared
    )


def _made(symbol: str, coin: MappedCoin, played: Played, count: int) -> Iterator[Mapping[str, LevelMap]]:
    bars = played.market.coins[symbol].model_bars(coin.first_refresh_ms)
    source, each = live_columns(bars, coin.maps.rules), coin.maps.rules.refresh_ms // bars.bar_ms
    for refresh in range(count):
        closed = bars.first_refresh_at + refresh * each
        yield source.maps(closed, bars.first_ms + closed * bars.bar_ms)


def _overlap(one: LevelMap | None, other: LevelMap | None, step_pct: float) -> tuple[float, float, bool]:
    """USD that both show at their levels, USD that either shows, and whether all are the same."""
    ours, theirs = (_by_level(each, step_pct) for each in (one, other))
    levels = sorted({*ours, *theirs})
    a, b = (np.array([each.get(level, 0.0) for level in levels]) for each in (ours, theirs))
    return float(np.minimum(a, b).sum()), float(np.maximum(a, b).sum()), _is_same(a, b)


def _by_level(level_map: LevelMap | None, step_pct: float) -> dict[int, float]:
    """Value by the number of the level; empty ones left out."""
    if level_map is None:
        return {}
    numbers = np.rint(levels_a_decade(step_pct) * np.log10(level_map.prices)).astype(int).tolist()
    return {
        number: value for number, value in zip(numbers, level_map.values.tolist(), strict=True) if value > 0
    }


def _is_same(a: Floats, b: Floats) -> bool:
    return bool(np.allclose(a, b, rtol=STORED_DIGITS, atol=0.0))


def clusters_shared_pct(one: Mapping[str, MappedCoin], other: Mapping[str, MappedCoin]) -> float | None:
    """Per cent of the clusters of `one`, over all coins and refreshes, that `other` has as well.

    The same range and side, and a centre within 1 % of it. None where `one` has no clusters.
    """
    found = [
        _is_among(cluster, other[symbol].maps.standing(refresh))
        for symbol, mapped in one.items()
        for refresh, cluster in _clusters(mapped)
    ]
    return 100.0 * sum(found) / len(found) if found else None


def _clusters(mapped: MappedCoin) -> Iterator[tuple[int, FollowedCluster]]:
    for refresh in range(mapped.maps.refreshes):
        for cluster in mapped.maps.standing(refresh):
            yield refresh, cluster


def _is_among(wanted: FollowedCluster, clusters: list[FollowedCluster]) -> bool:
    return any(
        each.timeframe == wanted.timeframe
        and each.side == wanted.side
        and abs(each.price_center / wanted.price_center - 1) * 100 <= NEAR_PCT
        for each in clusters
    )
