"""Candles and open interest out of archived replies, for the market that plays them.

Five-minute candles of a coin come from, the later overruling the earlier:

1. its archived tickers: the last prices seen in the five minutes, the turnover of a day over 288;
2. the candles in its archived 24h or 12h heat maps: CoinGlass's price; turnover of all exchanges,
   brought down to Bybit's share where there are candles of both;
3. Bybit's own five-minute klines, and its one-minute klines where all five are there.

A candle counts once it had closed when its reply came.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import orjson
import structlog

from whalestack.simulator.coin_names import coin_of
from whalestack.simulator.market.archive_index import Key, ReplyIndex
from whalestack.simulator.market.base import FloatArray, IntArray
from whalestack.simulator.market.store import FIELDS, INTEREST, MINUTE_MS, Source

log = structlog.get_logger()

FIVE_MS = 5 * MINUTE_MS
_DAY_OF_FIVES = 288
COARSE_S = {"30": 1800, "60": 3600, "D": 86_400}
_LENGTH_MS = {"1": MINUTE_MS, "5": FIVE_MS, **{name: s * 1000 for name, s in COARSE_S.items()}}
_MAP_RANGES = ("24h", "12h")

Row = tuple[float, float, float, float, float, float]
"""Open, high, low, close, volume, turnover."""
Rows = dict[int, Row]
"""By the moment at which a candle opens, ms."""


@dataclass(frozen=True, slots=True)
class TickerPoint:
    """What a ticker said of a coin."""

    at_ms: int
    last: float
    turnover_24h: float


@dataclass
class ArchivedPast:
    """Everything that Bybit's archived replies tell, by symbol.

    Args:
        klines: by interval's name, then by symbol.
        tickers: oldest first.
        interest: (moment in ms, open interest in base units), oldest first.
    """

    klines: dict[str, dict[str, Rows]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(dict)))
    tickers: dict[str, list[TickerPoint]] = field(default_factory=lambda: defaultdict(list))
    interest: dict[str, list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))


def read_past(index: ReplyIndex) -> ArchivedPast:
    """All of Bybit's archived market data. A malformed reply is named and left out."""
    past = ArchivedPast()
    for endpoint, take in (
        ("/v5/market/kline", _take_klines),
        ("/v5/market/tickers", _take_tickers),
        ("/v5/market/open-interest", _take_interest),
    ):
        for at_ms, asked, result in index.results(endpoint):
            try:
                take(past, at_ms, asked, result["list"])
            except (KeyError, TypeError, ValueError, IndexError) as error:
                log.warning("archived_reply_malformed", endpoint=endpoint, asked=asked, why=repr(error))
    for points in past.interest.values():
        points.sort()
    for seen in past.tickers.values():
        seen.sort(key=lambda point: point.at_ms)
    return past


def _take_klines(past: ArchivedPast, at_ms: int, asked: Mapping[str, str], rows: Sequence[list[str]]) -> None:
    length_ms = _LENGTH_MS.get(asked["interval"])
    if length_ms is None:
        return
    taken = past.klines[asked["interval"]][asked["symbol"]]
    for start, *figures in rows:
        if int(start) + length_ms <= at_ms:
            opened, high, low, close, volume, turnover = map(float, figures)
            taken[int(start)] = (opened, high, low, close, volume, turnover)


def _take_tickers(
    past: ArchivedPast, at_ms: int, asked: Mapping[str, str], rows: Iterable[Mapping[str, str]]
) -> None:
    for row in rows:
        point = TickerPoint(at_ms, float(row["lastPrice"]), float(row.get("turnover24h") or 0.0))
        past.tickers[row["symbol"]].append(point)
        if row.get("openInterest"):
            past.interest[row["symbol"]].append((at_ms, float(row["openInterest"])))


def _take_interest(
    past: ArchivedPast, at_ms: int, asked: Mapping[str, str], rows: Iterable[Mapping[str, str]]
) -> None:
    past.interest[asked["symbol"]] += [(int(row["timestamp"]), float(row["openInterest"])) for row in rows]


def fives_of(symbol: str, past: ArchivedPast, index: ReplyIndex, maps: Mapping[tuple[str, str], Key]) -> Rows:
    """The five-minute candles of a coin, from the best source for each.

    Args:
        symbol: Bybit symbol.
        past: Bybit's replies.
        index: of the archive.
        maps: how each coin's map of a range was asked for, by (coin, range).
    """
    own = past.klines["5"].get(symbol, {}) | _joined(past.klines["1"].get(symbol, {}))
    told = _of_one_exchange(_from_maps(symbol, index, maps), own)
    return _from_tickers(past.tickers.get(symbol, [])) | told | own


def _of_one_exchange(maps: Rows, own: Rows) -> Rows:
    """Candles of all exchanges with the turnover that Bybit's share of it is where both are known.

    Where one source ends and the other begins, volume would jump otherwise.
    """
    shares = [own[start][5] / row[5] for start, row in maps.items() if start in own and row[5] > 0]
    if not shares:
        return maps
    share = float(np.median(shares))
    return {start: (*row[:4], row[4] * share, row[5] * share) for start, row in maps.items()}


def _joined(minutes: Rows) -> Rows:
    """Fives of which all five minutes are there."""
    joined: Rows = {}
    for start in minutes:
        if start % FIVE_MS:
            continue
        five = [minutes.get(start + number * MINUTE_MS) for number in range(5)]
        known = [row for row in five if row is not None]
        if len(known) == 5:
            opened, high, low, close, volume, turnover = zip(*known, strict=True)
            joined[start] = (opened[0], max(high), min(low), close[-1], sum(volume), sum(turnover))
    return joined


def _from_tickers(points: Sequence[TickerPoint]) -> Rows:
    prices: dict[int, list[TickerPoint]] = defaultdict(list)
    for point in points:
        prices[point.at_ms // FIVE_MS * FIVE_MS].append(point)
    rows: Rows = {}
    for start, seen in prices.items():
        last = [point.last for point in seen]
        turnover = seen[-1].turnover_24h / _DAY_OF_FIVES
        rows[start] = (last[0], max(last), min(last), last[-1], turnover / last[-1], turnover)
    return rows


def _from_maps(symbol: str, index: ReplyIndex, maps: Mapping[tuple[str, str], Key]) -> Rows:
    coin = coin_of(symbol)
    key = next((maps[coin.name, each] for each in _MAP_RANGES if (coin.name, each) in maps), None)
    rows: Rows = {}
    if key is None:
        return rows
    times = index.times(key)
    number = len(times) - 1
    while number >= 0:
        found = _candles_of(index.body(key, number), coin.contract_size, times[number])
        rows = found | rows
        # The earliest map that still joins on to this one's first candle; without one the next before.
        number = min(bisect_left(times, min(found, default=0)), number - 1) if found else number - 1
    return rows


def _candles_of(body: bytes | None, contract_size: float, at_ms: int) -> Rows:
    """A map's closed five-minute candles, in Bybit's unit; none where the body is no such map."""
    rows: Rows = {}
    if body is None:
        return rows
    try:
        for start_s, *figures in orjson.loads(body)["data"]["price_candlesticks"]:
            opened, high, low, close, turnover = map(float, figures)
            start = int(start_s) * 1000
            if start + FIVE_MS <= at_ms and close > 0:
                prices = (opened * contract_size, high * contract_size, low * contract_size)
                price = close * contract_size
                rows[start] = (*prices, price, turnover / price, turnover)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return {}
    return rows


def source_of(interval_s: int, rows: Sequence[Rows]) -> Source | None:
    """Candles of several coins on one even time axis, NaN where a coin has none; None without any."""
    starts = [start for each in rows for start in each]
    if not starts:
        return None
    step = interval_s * 1000
    axis: IntArray = np.arange(min(starts), max(starts) + step, step, dtype=np.int64)
    bars: FloatArray = np.full((FIELDS, len(rows), len(axis)), np.nan)
    for coin, each in enumerate(rows):
        if each:
            places = (np.array(list(each)) - axis[0]) // step
            bars[:INTEREST, coin, places] = np.array(list(each.values())).T
    return Source(interval_s, axis, bars)


def without_holes(source: Source) -> tuple[Source, IntArray]:
    """Holes after a coin's first candle become candles in which nothing happened.

    Returns:
        The candles, and how many of each coin were filled in, shape (n,).
    """
    bars = source.bars.copy()
    close = bars[3]
    known = np.isfinite(close)
    last = np.maximum.accumulate(np.where(known, np.arange(close.shape[1]), -1), axis=1)
    holes = ~known & (last >= 0)
    carried = np.take_along_axis(close, np.maximum(last, 0), axis=1)
    for price in range(4):
        bars[price][holes] = carried[holes]
    bars[4:INTEREST, holes] = 0.0
    return Source(source.interval_s, source.start_ms, bars), holes.sum(axis=1)


def interest_over(
    ends_ms: IntArray, derived: FloatArray, points: Sequence[tuple[int, float]], trusted_ms: int = 600_000
) -> FloatArray:
    """Open interest of one coin at the end of each candle, looking at no later point.

    Within `trusted_ms` of a point it is that point; further on it moves from there as the
    derived one does; before the first point the derived one is brought to its height.

    Args:
        ends_ms: (B,) when the candles close.
        derived: (B,) by rule.
        points: moments and values that were archived, oldest first.
        trusted_ms: how long a point stands for itself.
    """
    if not points:
        return derived
    times = np.array([at_ms for at_ms, _ in points], dtype=np.int64)
    values = np.array([value for _, value in points])
    latest = np.searchsorted(times, ends_ms, side="right") - 1
    point = np.maximum(latest, 0)
    there = np.clip(np.searchsorted(ends_ms, times, side="right") - 1, 0, len(ends_ms) - 1)
    moved: FloatArray = derived * (values / derived[there])[point]
    fresh = (latest >= 0) & (ends_ms - times[point] <= trusted_ms)
    result: FloatArray = np.where(fresh | ~np.isfinite(moved), values[point], moved)
    return np.where(np.isfinite(derived), result, np.nan)
