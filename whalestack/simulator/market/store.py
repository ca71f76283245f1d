"""Candles of the past: a backdrop of uneven candles, and minutes made of the ticks played.

The backdrop joins several lengths on one time axis (days long ago, then hours, half
hours, five minutes), each moment covered once by the finest candles there are. Behind
it stand one-minute candles built from the ticks that were played. A request for any
interval gathers both, cutting candles that are longer than the interval along the path
stated in `walk`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whalestack.simulator.market.base import Candles, FloatArray, IntArray
from whalestack.simulator.market.walk import split_candles

MINUTE_MS = 60_000
OPEN, HIGH, LOW, CLOSE, VOLUME, TURNOVER, INTEREST = range(7)
FIELDS = 7
_FIVE_MS = 5 * MINUTE_MS
_DAY_MINUTES = 1440
_KEPT_DAYS = 2
_WEEK_S = 604_800
_MONDAY_MS = 4 * 86_400_000  # 1970-01-05 was a Monday; the epoch a Thursday


def bucket_start(moments_ms: IntArray, interval_s: int) -> IntArray:
    """The opening moment of the candle that holds each moment; weeks open on Mondays."""
    interval_ms = interval_s * 1000
    shift = _MONDAY_MS if interval_s == _WEEK_S else 0
    return (moments_ms - shift) // interval_ms * interval_ms + shift


@dataclass(frozen=True, eq=False)
class Source:
    """Candles of one length for all coins, on one time axis.

    Attributes:
        interval_s: length of a candle.
        start_ms: opening moments, shape (B,), ascending.
        bars: open, high, low, close, volume, turnover, open interest; shape (7, n, B);
            NaN where a coin was not traded yet.
    """

    interval_s: int
    start_ms: IntArray
    bars: FloatArray

    def between(self, first_ms: int, end_ms: int) -> Source:
        """The candles that open at or after `first_ms` and close by `end_ms`."""
        low = int(np.searchsorted(self.start_ms, first_ms))
        high = int(np.searchsorted(self.start_ms, end_ms - self.interval_s * 1000, side="right"))
        return Source(self.interval_s, self.start_ms[low:high], self.bars[:, :, low:high])


@dataclass(frozen=True, eq=False)
class Backdrop:
    """Sources joined on one time axis: start and length of each candle, and the bars.

    Attributes:
        start_ms: shape (B,). length_ms: shape (B,). bars: shape (7, n, B).
    """

    start_ms: IntArray
    length_ms: IntArray
    bars: FloatArray

    def until(self, end_ms: int) -> Backdrop:
        """What had closed by `end_ms`."""
        count = int(np.searchsorted(self.start_ms + self.length_ms, end_ms, side="right"))
        return Backdrop(self.start_ms[:count], self.length_ms[:count], self.bars[:, :, :count])


def join_sources(sources: list[Source]) -> Backdrop:
    """Lay sources on one time axis, each moment covered by the finest that reaches it.

    Args:
        sources: at least one, any order; all with the same coins in the same order.
    """
    finest_first = sorted(sources, key=lambda source: source.interval_s)
    pieces: list[Source] = []
    end_ms = int(finest_first[0].start_ms[-1]) + finest_first[0].interval_s * 1000
    for position, source in enumerate(finest_first):
        coarser = finest_first[min(position + 1, len(finest_first) - 1)]
        step_ms = coarser.interval_s * 1000
        first_ms = -(-int(source.start_ms[0]) // step_ms) * step_ms
        piece = source.between(first_ms, end_ms)
        if len(piece.start_ms):
            pieces.append(piece)
            end_ms = int(piece.start_ms[0])
    pieces.reverse()
    lengths = [np.full(len(piece.start_ms), piece.interval_s * 1000) for piece in pieces]
    return Backdrop(
        np.concatenate([piece.start_ms for piece in pieces]),
        np.concatenate(lengths),
        np.concatenate([piece.bars for piece in pieces], axis=2),
    )


class Minutes:
    """One-minute candles of all coins, built from ticks; they grow as the market is played.

    Args:
        begin_ms: the first minute's opening moment, a whole minute.
        coins: how many coins.
    """

    def __init__(self, begin_ms: int, coins: int) -> None:
        self.begin_ms = begin_ms
        self.count = 0
        self._bars = np.zeros((FIELDS, coins, 512))

    @property
    def bars(self) -> FloatArray:
        """The minutes so far, the open one last; shape (7, n, count). A view."""
        return self._bars[:, :, : self.count]

    @property
    def start_ms(self) -> IntArray:
        """Opening moments, shape (count,)."""
        return self.begin_ms + MINUTE_MS * np.arange(self.count, dtype=np.int64)

    def reach(self, ts_ms: int, last: FloatArray, interest: FloatArray) -> bool:
        """Open every minute up to the one of `ts_ms` at the last prices; True if any was opened."""
        wanted = (ts_ms - self.begin_ms) // MINUTE_MS + 1
        if wanted <= self.count:
            return False
        while wanted > self._bars.shape[2]:
            self._bars = np.concatenate([self._bars, np.zeros_like(self._bars)], axis=2)
        fresh = slice(self.count, wanted)
        self._bars[:4, :, fresh] = last[None, :, None]
        self._bars[4:6, :, fresh] = 0.0
        self._bars[INTEREST, :, fresh] = interest[:, None]
        self.count = wanted
        return True

    def reopen(self, price: FloatArray) -> None:
        """The open minute's first trade was at `price`, shape (n,), not at the last close."""
        self._bars[:4, :, self.count - 1] = price

    def add(self, price: FloatArray, volume: FloatArray, turnover: FloatArray, interest: FloatArray) -> None:
        """Put one point of every coin, each shape (n,), into the open minute."""
        bar = self._bars[:, :, self.count - 1]
        np.maximum(bar[HIGH], price, out=bar[HIGH])
        np.minimum(bar[LOW], price, out=bar[LOW])
        bar[CLOSE] = price
        bar[VOLUME] += volume
        bar[TURNOVER] += turnover
        bar[INTEREST] = interest

    def take_oldest(self, count: int) -> Source:
        """Remove the oldest minutes and return them."""
        oldest = Source(60, self.start_ms[:count], self.bars[:, :, :count].copy())
        self._bars = self._bars[:, :, count:].copy()
        self.begin_ms += count * MINUTE_MS
        self.count -= count
        return oldest

    def add_one(self, coin: int, price: float, volume: float, turnover: float, interest: float) -> None:
        """Put one point of one coin into the open minute."""
        bar = self._bars[:, coin, self.count - 1]
        bar[HIGH], bar[LOW] = max(bar[HIGH], price), min(bar[LOW], price)
        bar[CLOSE], bar[INTEREST] = price, interest
        bar[VOLUME] += volume
        bar[TURNOVER] += turnover

    def correct(self, coin: int, start_ms: int, values: list[float]) -> bool:
        """Set a minute that is over (open, high, low, close, volume, turnover); False if it is not."""
        number = (start_ms - self.begin_ms) // MINUTE_MS
        if not 0 <= number < self.count - 1:
            return False
        self._bars[:INTEREST, coin, number] = values
        return True


class CandleStore:
    """Everything that has been, for any interval.

    Args:
        backdrop: candles that closed before playing began.
        minutes: what has been played.
    """

    def __init__(self, backdrop: Backdrop, minutes: Minutes) -> None:
        self.backdrop = backdrop
        self.minutes = minutes

    def fold(self) -> None:
        """Keep two days of minutes; older days go to the backdrop in candles of five minutes.

        Called now and then, so that a market which is followed for months stays small.
        """
        days = self.minutes.count // _DAY_MINUTES - _KEPT_DAYS
        if days <= 0:
            return
        odd = -self.minutes.begin_ms % _FIVE_MS // MINUTE_MS
        if odd:
            self._append(self.minutes.take_oldest(odd))
        self._append(join_fives(self.minutes.take_oldest(days * _DAY_MINUTES)))

    def _append(self, source: Source) -> None:
        back, length_ms = self.backdrop, source.interval_s * 1000
        self.backdrop = Backdrop(
            np.concatenate([back.start_ms, source.start_ms]),
            np.concatenate([back.length_ms, np.full(len(source.start_ms), length_ms)]),
            np.concatenate([back.bars, source.bars], axis=2),
        )

    def candles(
        self, coin: int, interval_s: int, *, end_ms: int, limit: int, start_ms: int | None = None
    ) -> Candles:
        """As `Market.candles`, for the coin at an index."""
        # After a market's end there is nothing newer: the newest candles stay what they were.
        end_ms = min(end_ms, self.minutes.begin_ms + self.minutes.count * MINUTE_MS - 1)
        last = int(bucket_start(np.asarray([end_ms]), interval_s)[0])
        first = last - (limit - 1) * interval_s * 1000
        if start_ms is not None:
            first = max(first, -(-start_ms // (interval_s * 1000)) * interval_s * 1000)
        pieces = [
            *self._from_backdrop(coin, interval_s, first, last),
            self._from_minutes(coin, interval_s, first),
        ]
        starts = np.concatenate([piece[0] for piece in pieces])
        bars = np.concatenate([piece[1] for piece in pieces], axis=1)
        wanted = (starts >= first) & (starts < last + interval_s * 1000)
        return gather(starts[wanted], bars[:, wanted], interval_s)

    def _from_backdrop(
        self, coin: int, interval_s: int, first_ms: int, last_ms: int
    ) -> list[tuple[IntArray, FloatArray]]:
        back = self.backdrop
        low = int(np.searchsorted(back.start_ms + back.length_ms, first_ms, side="right"))
        high = int(np.searchsorted(back.start_ms, last_ms + interval_s * 1000))
        if low >= high:
            return []
        lengths = back.length_ms[low:high]
        heads = low + np.flatnonzero(np.concatenate([[True], np.diff(lengths) != 0]))
        runs = zip(heads.tolist(), [*heads[1:].tolist(), high], strict=True)
        return [
            _fit(back.start_ms[head:end], back.bars[:, coin, head:end], int(back.length_ms[head]), interval_s)
            for head, end in runs
        ]

    def _from_minutes(self, coin: int, interval_s: int, first_ms: int) -> tuple[IntArray, FloatArray]:
        minutes = self.minutes
        low = max(0, min(minutes.count, (first_ms - minutes.begin_ms) // MINUTE_MS))
        starts = minutes.begin_ms + MINUTE_MS * np.arange(low, minutes.count, dtype=np.int64)
        return starts, minutes.bars[:, coin, low:]


def join_fives(minutes: Source) -> Source:
    """Whole fives of minutes as five-minute candles."""
    fives = minutes.bars.reshape(FIELDS, minutes.bars.shape[1], -1, 5)
    joined: FloatArray = fives[..., -1].copy()
    joined[OPEN] = fives[OPEN, ..., 0]
    joined[HIGH] = fives[HIGH].max(axis=-1)
    joined[LOW] = fives[LOW].min(axis=-1)
    joined[VOLUME] = fives[VOLUME].sum(axis=-1)
    joined[TURNOVER] = fives[TURNOVER].sum(axis=-1)
    return Source(300, minutes.start_ms[::5], joined)


def _fit(
    start_ms: IntArray, bars: FloatArray, length_ms: int, interval_s: int
) -> tuple[IntArray, FloatArray]:
    """Candles cut until each lies inside one candle of the interval; bars (7, B).

    What lies before a coin's listing (NaN) is left out.
    """
    listed = ~np.isnan(bars[CLOSE])
    start_ms, bars = start_ms[listed], bars[:, listed]
    interval_ms = interval_s * 1000
    if length_ms <= interval_ms and interval_ms % length_ms == 0:
        return start_ms, bars
    part_ms = interval_ms if length_ms % interval_ms == 0 else MINUTE_MS
    parts = length_ms // part_ms
    starts = (start_ms[:, None] + part_ms * np.arange(parts)[None, :]).reshape(-1)
    return starts, split_candles(bars, parts)


def gather(start_ms: IntArray, bars: FloatArray, interval_s: int) -> Candles:
    """Join candles, bars shape (7, B), that lie in the same candle of the interval."""
    if not len(start_ms):
        empty = np.empty(0)
        return Candles(start_ms, empty, empty, empty, empty, empty, empty, empty)
    buckets = bucket_start(start_ms, interval_s)
    heads = np.flatnonzero(np.concatenate([[True], np.diff(buckets) > 0]))
    tails = np.concatenate([heads[1:], [len(buckets)]]) - 1
    return Candles(
        buckets[heads],
        bars[OPEN][heads],
        np.maximum.reduceat(bars[HIGH], heads),
        np.minimum.reduceat(bars[LOW], heads),
        bars[CLOSE][tails],
        np.add.reduceat(bars[VOLUME], heads),
        np.add.reduceat(bars[TURNOVER], heads),
        bars[INTEREST][tails],
    )
