"""Whether a map that decodes may be believed: that it is the present, and in the unit it is taken for."""

from __future__ import annotations

from whalestack.clients.coinglass.errors import CoinglassBadReply
from whalestack.clients.coinglass.types import Heatmap
from whalestack.clock import Clock
from whalestack.db.coin_store import FollowedCoin
from whalestack.math.timeframes import GEOMETRY

# How often CoinGlass computes its maps anew is known for one range only, where it does so at each
# request. A map two columns behind shows another market than the present one, at any range.
MOST_COLUMNS_BEHIND = 2
BEHIND_SLACK_S = 900.0
# A column that has just begun may still be empty for so long.
EMPTY_COLUMN_S = 600.0
# The way here takes real time, which is more of market time where that runs faster.
WAY_REAL_S = 20.0
# Exchanges differ by a per cent or two, a wrong unit by a factor of ten or more.
MOST_PRICE_RATIO = 2.0


def check_present(heatmap: Heatmap, clock: Clock) -> None:
    """Refuse a map of the past.

    Raises:
        CoinglassBadReply: it was computed too long ago, its columns end too long ago, or its last
            column has no cell though it is not new: what stood before is not what stands now.
    """
    way_s = WAY_REAL_S / clock.real_seconds(1.0)
    allowed_s = MOST_COLUMNS_BEHIND * _column_s(heatmap) + BEHIND_SLACK_S + way_s
    ended_s = (clock.now_ms() - int(heatmap.column_times_ms[-1])) / 1000
    if ended_s > allowed_s:
        raise _bad(heatmap, f"its last column began {ended_s:.0f} s ago: it is not the present")
    if heatmap.map_time_ms is not None:
        computed_s = (clock.now_ms() - heatmap.map_time_ms) / 1000
        if computed_s > allowed_s:
            raise _bad(heatmap, f"CoinGlass computed it {computed_s:.0f} s ago: it is not the present")
    if ended_s > EMPTY_COLUMN_S + way_s and int(heatmap.xs.max()) < heatmap.n_columns - 1:
        raise _bad(heatmap, f"its last column began {ended_s:.0f} s ago and has no cell: columns stop short")


def check_unit(heatmap: Heatmap, coin: FollowedCoin, bybit_price: float | None) -> None:
    """Refuse a map whose figures are in another unit than they are taken for.

    Args:
        coin: how many coins a Bybit contract unit holds.
        bybit_price: None where it is not known, then only the map's own figures are compared.

    Raises:
        CoinglassBadReply: the price lies outside the levels by more than a factor of two, or differs
            so much from Bybit's.
    """
    low, high = float(heatmap.y_axis[0]), float(heatmap.y_axis[-1])
    if not low / MOST_PRICE_RATIO <= heatmap.price <= high * MOST_PRICE_RATIO:
        raise _bad(
            heatmap, f"its levels are {low:.6g} to {high:.6g}, its price is {heatmap.price:.6g}: two units"
        )
    if not bybit_price:
        return
    ratio = heatmap.price * coin.multiplier / bybit_price
    if not 1 / MOST_PRICE_RATIO <= ratio <= MOST_PRICE_RATIO:
        raise _bad(
            heatmap,
            f"its price is {ratio:.3g} times Bybit's: another unit than {coin.multiplier} coins,"
            " or another coin",
        )


def _column_s(heatmap: Heatmap) -> float:
    """Market seconds of a column: the map's own, for not every range's is documented."""
    times_ms = heatmap.column_times_ms
    if times_ms.size < 2:
        return GEOMETRY[heatmap.timeframe].column_s
    return float(times_ms[-1] - times_ms[-2]) / 1000


def _bad(heatmap: Heatmap, what: str) -> CoinglassBadReply:
    return CoinglassBadReply(f"heat map of {heatmap.coin} {heatmap.timeframe}: {what}")
