"""Changes over windows: for all coins at once in arrays, and tick by tick in a ring."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from whalestack.math.heatmap import Floats, Ints
from whalestack.math.triggers import MarketMove

MINUTE_MS = 60_000
SPIKE_MINUTES = 5
BASELINE_MINUTES = 60
# Half an hour of the hour must be known, or its average is not one.
LEAST_BASELINE_MINUTES = 30


Numbers = TypeVar("Numbers", Floats, Ints)


# --- all coins at once ------------------------------------------------------------


def change_pct(values: Floats, minutes: int) -> Floats:
    """Change from `minutes` before to each minute.

    Args:
        values: (coins, M) one value a minute, NaN where unknown.
        minutes: length of the window.

    Returns:
        (coins, M) per cent; NaN where either end is unknown or the earlier one is not above 0.
    """
    changes = np.full(values.shape, np.nan)
    if minutes < values.shape[1]:
        before, changed = values[:, :-minutes], changes[:, minutes:]
        np.divide(values[:, minutes:], before, out=changed, where=before > 0)
        changed -= 1.0
        changed *= 100.0
    return changes


def volume_spike_ratio(turnover_usd: Floats) -> Floats:
    """Volume of 5 minutes over the average 5 minutes of the hour before them.

    The hour ends where the five minutes begin: a spike that counted in its own average
    could never be more than 12 times it.

    Args:
        turnover_usd: (coins, M) per minute, NaN where unknown.

    Returns:
        (coins, M); NaN where any of the five minutes, or more than half of the hour, is
        unknown, or the hour had no volume.
    """
    ratio = np.full(turnover_usd.shape, np.nan)
    if turnover_usd.shape[1] <= SPIKE_MINUTES:
        return ratio
    known = np.isfinite(turnover_usd)
    recent, hour = _recent_and_hour(np.where(known, turnover_usd, 0.0))
    recent_minutes, hour_minutes = _recent_and_hour(known.astype(np.int64))
    enough = (recent_minutes == SPIKE_MINUTES) & (hour_minutes >= LEAST_BASELINE_MINUTES) & (hour > 0)
    average = np.where(enough, hour / np.maximum(hour_minutes, 1.0) * SPIKE_MINUTES, np.nan)
    ratio[:, SPIKE_MINUTES:] = recent / average
    return ratio


def forward_fill(values: Floats, limit: int) -> Floats:
    """Carry the last known value over at most `limit` unknown minutes.

    Args:
        values: (coins, M), NaN where unknown.
        limit: minutes a value may be carried; older it is unknown again.
    """
    is_known = np.isfinite(values)
    if is_known.all():
        return values
    positions = np.arange(values.shape[1])
    known: NDArray[np.int64] = np.where(is_known, positions, -1)
    last: NDArray[np.int64] = np.maximum.accumulate(known, axis=1)
    unknown = (last < 0) | (positions - last > limit)
    carried = np.take_along_axis(values, np.maximum(last, 0), axis=1)
    filled: Floats = np.where(unknown, np.nan, carried)
    return filled


def descending_ranks(changes: Floats) -> NDArray[np.int64]:
    """The place of each change, 1 for the largest; equal ones in order of arrival.

    Args:
        changes: (coins,), NaN where unknown.

    Returns:
        (coins,) places from 1, 0 where the change is unknown.
    """
    known = np.flatnonzero(np.isfinite(changes))
    ranks = np.zeros(changes.size, dtype=np.int64)
    ranks[known[np.argsort(-changes[known], kind="stable")]] = np.arange(1, known.size + 1)
    return ranks


def _recent_and_hour(values: Numbers) -> tuple[Numbers, Numbers]:
    """(coins, M - 5) sums over the five minutes that end with each but the first five, and over the hour
    before them; a young coin's hour is what there is of it."""
    nothing = BASELINE_MINUTES + 1
    before = np.zeros((values.shape[0], nothing + values.shape[1]), dtype=values.dtype)
    np.cumsum(values, axis=1, out=before[:, nothing:])
    middle, start = before[:, nothing:-SPIKE_MINUTES], before[:, 1 : -BASELINE_MINUTES - SPIKE_MINUTES]
    return before[:, nothing + SPIKE_MINUTES :] - middle, middle - start


# --- tick by tick -------------------------------------------------------------------


@dataclass
class _Samples:
    """Values in time order, thinned; `at` finds the one that stood at a moment."""

    times: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, ts_ms: int, value: float, spacing_ms: int, keep_ms: int) -> None:
        if self.times and ts_ms - self.times[-1] < spacing_ms:
            return
        self.times.append(ts_ms)
        self.values.append(value)
        # Cut in large pieces: taking one off the front at each tick would copy the list each time.
        if len(self.times) > 64 and self.times[len(self.times) // 2] < ts_ms - keep_ms:
            cut = bisect_right(self.times, ts_ms - keep_ms)
            del self.times[:cut], self.values[:cut]

    def at(self, ts_ms: int, tolerance_ms: int) -> float | None:
        """The value that stood at `ts_ms`, None if it was written longer than the tolerance before."""
        index = bisect_right(self.times, ts_ms) - 1
        if index < 0 or ts_ms - self.times[index] > tolerance_ms:
            return None
        return self.values[index]


@dataclass
class _CoinWindow:
    last_ms: int = 0
    last_price: float = 0.0
    last_oi: float | None = None
    last_oi_ms: int = 0
    prices: _Samples = field(default_factory=_Samples)
    interest: _Samples = field(default_factory=_Samples)
    bars: dict[int, float] = field(default_factory=dict)


class MarketWindow:
    """The last quarter hour of price and open interest and the last hour of volume, per coin.

    Fed by the stream's ticks and one-minute bars, asked after each tick; both cost a few
    microseconds. Times are market ms; what comes out of order is left out.

    Args:
        spacing_ms: samples nearer than this to the one before are not kept.
        price_tolerance_ms: how much older than asked for a price may be that stands for the
            window's start. A coin without trades for longer has an unknown change.
        oi_tolerance_ms: the same for open interest, which REST gives every 5 minutes.
        stale_ms: without a tick for this long nothing is known.
    """

    def __init__(
        self,
        *,
        spacing_ms: int = 1000,
        price_tolerance_ms: int = 90_000,
        oi_tolerance_ms: int = 330_000,
        stale_ms: int = 60_000,
    ) -> None:
        self._spacing_ms = spacing_ms
        self._price_tolerance_ms = price_tolerance_ms
        self._oi_tolerance_ms = oi_tolerance_ms
        self._stale_ms = stale_ms
        self._coins: dict[str, _CoinWindow] = {}

    def add_tick(self, symbol: str, ts_ms: int, price: float, open_interest: float | None = None) -> None:
        """Take a tick: price above 0, open interest in base coins or None where it did not change."""
        coin = self._coins.setdefault(symbol, _CoinWindow())
        if ts_ms < coin.last_ms or not price > 0:
            return
        coin.last_ms, coin.last_price = ts_ms, price
        coin.prices.add(ts_ms, price, self._spacing_ms, 5 * MINUTE_MS + self._price_tolerance_ms)
        if open_interest is not None and open_interest > 0:
            self._add_interest(coin, ts_ms, open_interest)

    def add_open_interest(self, symbol: str, ts_ms: int, open_interest: float) -> None:
        """Take a point of open interest alone, in base coins (warming up from REST)."""
        coin = self._coins.setdefault(symbol, _CoinWindow())
        if open_interest > 0:
            self._add_interest(coin, ts_ms, open_interest)

    def add_bar(self, symbol: str, start_ms: int, turnover_usd: float) -> None:
        """Take a one-minute bar's turnover so far; the same bar again replaces it."""
        bars = self._coins.setdefault(symbol, _CoinWindow()).bars
        minute = start_ms // MINUTE_MS
        bars[minute] = turnover_usd
        if len(bars) > 2 * (BASELINE_MINUTES + SPIKE_MINUTES):
            oldest = max(bars) - BASELINE_MINUTES - SPIKE_MINUTES - 1
            for old in [each for each in bars if each < oldest]:
                del bars[old]

    def warm_up(
        self,
        symbol: str,
        bars: Iterable[tuple[int, float, float]],
        interest: Iterable[tuple[int, float]],
    ) -> None:
        """Fill a coin from REST before its first tick.

        Args:
            symbol: of the coin.
            bars: one-minute ``(start_ms, close, turnover_usd)``, oldest first. A close
                stands for the end of its minute.
            interest: ``(ts_ms, open_interest)``, oldest first, base coins.
        """
        for ts_ms, open_interest in interest:
            self.add_open_interest(symbol, ts_ms, open_interest)
        for start_ms, close, turnover_usd in bars:
            self.add_bar(symbol, start_ms, turnover_usd)
            self.add_tick(symbol, start_ms + MINUTE_MS - 1, close)

    def move(self, symbol: str, now_ms: int) -> MarketMove | None:
        """What the coin did up to now, None where it is not known or has no fresh tick."""
        coin = self._coins.get(symbol)
        if coin is None or coin.last_price <= 0 or now_ms - coin.last_ms > self._stale_ms:
            return None
        return MarketMove(
            price_change_1m_pct=self._price_change(coin, now_ms - MINUTE_MS),
            price_change_5m_pct=self._price_change(coin, now_ms - 5 * MINUTE_MS),
            oi_change_15m_pct=self._oi_change(coin, now_ms),
            volume_spike_ratio=_ring_volume_ratio(coin.bars, now_ms),
            price=coin.last_price,
        )

    def forget(self, symbol: str) -> None:
        """Drop a coin that is no longer followed."""
        self._coins.pop(symbol, None)

    def _add_interest(self, coin: _CoinWindow, ts_ms: int, open_interest: float) -> None:
        if ts_ms < coin.last_oi_ms:
            return
        coin.last_oi, coin.last_oi_ms = open_interest, ts_ms
        coin.interest.add(ts_ms, open_interest, 5 * self._spacing_ms, 15 * MINUTE_MS + self._oi_tolerance_ms)

    def _price_change(self, coin: _CoinWindow, since_ms: int) -> float | None:
        before = coin.prices.at(since_ms, self._price_tolerance_ms)
        return None if before is None else (coin.last_price / before - 1.0) * 100.0

    def _oi_change(self, coin: _CoinWindow, now_ms: int) -> float | None:
        before = coin.interest.at(now_ms - 15 * MINUTE_MS, self._oi_tolerance_ms)
        if before is None or coin.last_oi is None or now_ms - coin.last_oi_ms > self._oi_tolerance_ms:
            return None
        return (coin.last_oi / before - 1.0) * 100.0


def _ring_volume_ratio(bars: dict[int, float], now_ms: int) -> float | None:
    """As `volume_spike_ratio`, with the open minute counted for the part of it that has passed.

    The five minutes end now: of the oldest minute in them only the part that still lies
    within counts, the rest of it belongs to the hour, so that the ratio does not jump when
    a minute turns.
    """
    minute, into_ms = divmod(now_ms, MINUTE_MS)
    passed = into_ms / MINUTE_MS
    shared = minute - SPIKE_MINUTES
    recent = [bars.get(each) for each in range(shared, minute)]
    if any(each is None for each in recent):
        return None
    # The open minute has no bar until its first trade.
    total = bars.get(minute, 0.0) + sum(each for each in recent if each is not None) - bars[shared] * passed
    first = shared - BASELINE_MINUTES
    hour = {each: 1.0 for each in range(first + 1, shared) if each in bars}
    hour[shared] = passed
    if first in bars:
        hour[first] = 1 - passed
    known_minutes = sum(hour.values())
    hour_usd = sum(bars[each] * part for each, part in hour.items())
    if known_minutes < LEAST_BASELINE_MINUTES or hour_usd <= 0:
        return None
    return total / (hour_usd / known_minutes * SPIKE_MINUTES)
