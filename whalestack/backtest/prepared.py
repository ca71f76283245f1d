"""A market made ready for a backtest: series, what stood before them, contracts, open interest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from whalestack.backtest.candles import Candles, CoinCandles
from whalestack.backtest.coin_maps import ModelBars
from whalestack.backtest.repair import CLOSE, HIGH, LOW, TURNOVER, Rows
from whalestack.backtest.series import CoinSeries
from whalestack.errors import StopAndTell
from whalestack.math.heatmap import Floats
from whalestack.simulator.market.instruments import Seen, instruments_for, read_recorded
from whalestack.simulator.market.open_interest import derive_open_interest
from whalestack.simulator.market.store import INTEREST, Backdrop, CandleStore, Minutes, Source, join_sources

DAY_MS = 86_400_000
PAST_DAYS = 400
"""How much of the past the model is fed: the longest range and some."""


@dataclass(frozen=True, eq=False)
class PreparedCoin:
    """One coin: what is played, and what the model is fed before and with it."""

    series: CoinSeries
    past: Floats
    """(7, P) open, high, low, close, volume, turnover, interest of the past, cut into played candles."""

    def model_bars(self, first_refresh_ms: int) -> ModelBars:
        """Past and played candles as the model takes them."""
        series = self.series
        played = (*series.bars, series.interest)
        closed = (first_refresh_ms - series.start_ms) // series.bar_ms
        high, low, close, turnover, interest = (
            np.concatenate([self.past[row], played[row]]) for row in (HIGH, LOW, CLOSE, TURNOVER, INTEREST)
        )
        before = self.past.shape[1]
        first_ms = series.start_ms - before * series.bar_ms
        return ModelBars(high, low, close, turnover, interest, series.bar_ms, before + closed, first_ms)


@dataclass(frozen=True, eq=False)
class PreparedMarket:
    """All coins.

    Args:
        coins: by symbol, in a fixed order.
        instruments: rows of instruments-info by symbol.
        derived_instruments: symbols whose row was not recorded.
        derived_interest: symbols whose open interest was derived.
        bar_ms: of the played candles.
    """

    coins: Mapping[str, PreparedCoin]
    instruments: Mapping[str, dict[str, Any]]
    derived_instruments: tuple[str, ...]
    derived_interest: tuple[str, ...]
    bar_ms: int

    @property
    def start_ms(self) -> int:
        """When the first coin's first candle opens."""
        return min(coin.series.start_ms for coin in self.coins.values())

    @property
    def end_ms(self) -> int:
        """When the last coin's last candle closes."""
        return max(coin.series.end_ms for coin in self.coins.values())


def prepare(
    candles: Candles,
    *,
    begin_ms: int,
    instruments_folder: Path | None = None,
    contracts: Mapping[str, dict[str, Any]] | None = None,
    recorded_interest: bool = False,
) -> PreparedMarket:
    """Make a market ready.

    Args:
        candles: as read; one of 1m and 5m is played.
        begin_ms: when trading begins: only what had closed by then sets a coin's base of derived open
            interest.
        instruments_folder: with a recorded reply of instruments-info; without it every row is derived.
        contracts: rows of instruments-info to be taken as they are.
        recorded_interest: take recorded open interest where there is some, instead of deriving it.

    Raises:
        StopAndTell: a coin lacks candles of the interval that is played.
    """
    played_s = candles.played_s
    lacking = [coin.symbol for coin in candles.coins if played_s not in coin.rows]
    if lacking or played_s not in (60, 300):
        raise StopAndTell(f"no candles of 1m or 5m of {', '.join(lacking) or 'any coin'}")
    backdrop = join_sources(_sources(candles))
    first_ms = min(int(coin.rows[played_s].start_ms[0]) for coin in candles.coins)
    backdrop.bars[INTEREST] = derive_open_interest(
        backdrop, max(begin_ms, first_ms + played_s * 1000)
    ).interest
    seen = {coin.symbol: _seen(coin, played_s) for coin in candles.coins}
    recorded = read_recorded(instruments_folder) if instruments_folder is not None else {}
    instruments = instruments_for(seen, {**recorded, **(contracts or {})})
    coins = {
        coin.symbol: _prepared(
            coin, number, backdrop, instruments.rows[coin.symbol], played_s, recorded_interest
        )
        for number, coin in enumerate(candles.coins)
    }
    known = {coin.symbol for coin in candles.coins if recorded_interest and coin.interest is not None}
    return PreparedMarket(
        coins,
        instruments.rows,
        instruments.derived,
        tuple(symbol for symbol in coins if symbol not in known),
        played_s * 1000,
    )


def _sources(candles: Candles) -> list[Source]:
    """Every interval on one time axis, NaN where a coin has no candle."""
    intervals = sorted({seconds for coin in candles.coins for seconds in coin.rows})
    return [_aligned([coin.rows.get(seconds) for coin in candles.coins], seconds) for seconds in intervals]


def _aligned(coins: list[Rows | None], interval_s: int) -> Source:
    present = [rows for rows in coins if rows is not None]
    first = min(int(rows.start_ms[0]) for rows in present)
    last = max(int(rows.start_ms[-1]) for rows in present)
    step = interval_s * 1000
    start_ms = np.arange(first, last + step, step, dtype=np.int64)
    bars = np.full((INTEREST + 1, len(coins), len(start_ms)), np.nan)
    for number, rows in enumerate(coins):
        if rows is not None:
            bars[:INTEREST, number, (rows.start_ms - first) // step] = rows.values
    return Source(interval_s, start_ms, bars)


def _seen(coin: CoinCandles, played_s: int) -> Seen:
    rows = coin.rows[played_s]
    launch_ms = min(int(each.start_ms[0]) for each in coin.rows.values())
    daily_usd = float(rows.values[TURNOVER].mean()) * 86_400 / played_s
    return Seen(float(rows.values[CLOSE][-1]), coin.price_decimals, launch_ms, daily_usd)


def _prepared(
    coin: CoinCandles,
    number: int,
    backdrop: Backdrop,
    instrument: dict[str, Any],
    played_s: int,
    recorded_interest: bool,
) -> PreparedCoin:
    # The axis turns from coarse to fine candles where a coarse one ends.
    axis_ms = int(backdrop.start_ms[backdrop.length_ms == played_s * 1000][0])
    rows = coin.rows[played_s]
    rows = rows.part(rows.start_ms >= axis_ms)
    first_ms = int(rows.start_ms[0])
    here = slice(*np.searchsorted(backdrop.start_ms, (first_ms, int(rows.start_ms[-1]) + 1)).tolist())
    interest = backdrop.bars[INTEREST, number, here]
    if recorded_interest and coin.interest is not None:
        interest = _known_interest(coin, rows.start_ms + played_s * 1000, interest)
    past = _past(backdrop, number, played_s, first_ms)
    series = CoinSeries(
        coin.symbol,
        start_ms=first_ms,
        bar_ms=played_s * 1000,
        bars=rows.values,
        interest=np.ascontiguousarray(interest),
        tick=float(instrument["priceFilter"]["tickSize"]),
        turnover_before=_turnover_before(backdrop, number, first_ms, rows),
        funding=coin.funding,
    )
    return PreparedCoin(series, past)


def _past(backdrop: Backdrop, number: int, played_s: int, end_ms: int) -> Floats:
    """(7, P) what was before, cut into candles of the played length along the stated walk."""
    if not (backdrop.start_ms < end_ms).any():
        return np.empty((INTEREST + 1, 0))
    store = CandleStore(backdrop.until(end_ms), Minutes(end_ms, backdrop.bars.shape[1]))
    found = store.candles(number, played_s, end_ms=end_ms - 1, limit=PAST_DAYS * DAY_MS // (played_s * 1000))
    return np.stack(
        [found.open, found.high, found.low, found.close, found.volume, found.turnover, found.open_interest]
    )


def _known_interest(coin: CoinCandles, ends_ms: Any, derived: Floats) -> Floats:
    """The latest recorded value at each candle's end; what is derived before the first."""
    assert coin.interest is not None
    moments, held = coin.interest
    place = np.searchsorted(moments, ends_ms, side="right") - 1
    return np.where(place >= 0, held[np.maximum(place, 0)], derived)


def _turnover_before(backdrop: Backdrop, number: int, first_ms: int, rows: Rows) -> float:
    """USD traded in the day before the first played candle; where nothing is known, the first hour's pace."""
    back = backdrop.until(first_ms)
    day = back.start_ms >= first_ms - DAY_MS
    known = ~np.isnan(back.bars[CLOSE, number]) & day
    if known.any():
        return float(back.bars[TURNOVER, number, known].sum() * DAY_MS / back.length_ms[known].sum())
    hour = max(3_600_000 // int(np.diff(rows.start_ms[:2])[0]), 1)
    return float(rows.values[TURNOVER][:hour].mean()) * 24 * hour
