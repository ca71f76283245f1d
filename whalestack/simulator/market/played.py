"""A market that is played point by point: what synthetic and recorded ones share.

The future comes in blocks: a few minutes of price points for every coin at once. All
state is in arrays over the coins, so a step costs the same few microseconds for ten
coins and for six hundred.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from whalestack.simulator.market.base import FloatArray, Tick, TickerState
from whalestack.simulator.market.instruments import Instruments
from whalestack.simulator.market.statistics import DayStatistics
from whalestack.simulator.market.store import Backdrop, CandleStore, Minutes
from whalestack.simulator.market.stored import StoredMarket

BLOCK_MS = 300_000
_MARK_MEMORY_S = 15.0
"""The mark price follows the last one with this time constant, market seconds."""


@dataclass(frozen=True, eq=False)
class Block:
    """Price points of all coins at one even distance.

    Attributes:
        start_ms: moment of the first point.
        step_ms: distance of the points.
        prices, turnover, volume, interest: shape (n, K); open interest in base units.
    """

    start_ms: int
    step_ms: int
    prices: FloatArray
    turnover: FloatArray
    volume: FloatArray
    interest: FloatArray


class BlockSource(Protocol):
    """Where the blocks of a played market come from."""

    def block(self, start_ms: int) -> Block | None:
        """The block that begins at `start_ms`; None after the end. Called in time order."""


class PlayedMarket(StoredMarket):
    """Plays blocks; see `whalestack.simulator.market.base.Market` for the methods.

    Args:
        instruments: rows of the coins; their order is the order of all arrays.
        backdrop: candles before playing began.
        source: where the blocks come from.
        start_ms: market time at which playing begins.
        end_ms: when the source ends, None if never.
        seed: of the sizes of liquidations.
    """

    def __init__(
        self,
        instruments: Instruments,
        backdrop: Backdrop,
        source: BlockSource,
        *,
        start_ms: int,
        end_ms: int | None,
        seed: int,
    ) -> None:
        begin_ms = start_ms // BLOCK_MS * BLOCK_MS
        count = len(instruments.rows)
        store = CandleStore(backdrop.until(begin_ms), Minutes(begin_ms, count))
        super().__init__(instruments, store, start_ms=start_ms, seed=seed)
        self._source = source
        self._end_ms = end_ms
        self._day = DayStatistics(self.store)
        self._shift = np.ones(count)
        self._interest_shift = np.ones(count)
        self._shifted = False
        self._now_ms = begin_ms - 1
        self._block: Block | None = None
        self._next_point = 0
        self._take_block(begin_ms)
        self.last = self._round(self._first_block().prices[:, 0])
        self.interest = self._first_block().interest[:, 0].copy()
        self.mark = self.last.copy()
        self.advance(start_ms)

    def _first_block(self) -> Block:
        if self._block is None:
            raise ValueError("a market needs at least one block")
        return self._block

    @property
    def end_ms(self) -> int | None:
        return self._end_ms

    def advance(self, now_ms: int) -> list[Tick]:
        ticks: list[Tick] = []
        while self._block is not None:
            block = self._block
            at_ms = block.start_ms + self._next_point * block.step_ms
            if at_ms > now_ms:
                break
            ticks.extend(self._play(block, self._next_point, at_ms))
            self._next_point += 1
            if self._next_point == block.prices.shape[1]:
                self._take_block(block.start_ms + block.prices.shape[1] * block.step_ms)
        self._now_ms = max(self._now_ms, now_ms)
        return ticks

    def _take_block(self, start_ms: int) -> None:
        self._block = self._source.block(start_ms)
        self._next_point = 0

    def _round(self, prices: FloatArray) -> FloatArray:
        """To whole ticks, never below one."""
        return np.asarray(np.round(np.maximum(np.rint(prices / self._ticks), 1.0) * self._ticks, 10))

    def _play(self, block: Block, point: int, at_ms: int) -> map[Tick]:
        price = block.prices[:, point]
        price = self._round(price * self._shift if self._shifted else price)
        volume, turnover = block.volume[:, point], block.turnover[:, point]
        interest = block.interest[:, point] * self._interest_shift
        minutes = self.store.minutes
        if minutes.reach(at_ms, self.last, self.interest):
            minutes.reopen(price)
            self._close_minute(at_ms)
        minutes.add(price, volume, turnover, interest)
        self.mark += (price - self.mark) * (1.0 - np.exp(-block.step_ms / 1000.0 / _MARK_MEMORY_S))
        self.last, self.interest = price, interest
        columns = (price.tolist(), turnover.tolist(), volume.tolist(), interest.tolist())
        moments = (at_ms,) * len(self._symbols)
        return map(Tick, moments, self._symbols, *columns)

    def _close_minute(self, at_ms: int) -> None:
        self.store.fold()
        self._day.refresh(at_ms)
        if self.store.minutes.count > 1:
            self._feed.minute(at_ms, self.store.minutes.bars[:, :, -2])

    def push_price(
        self, symbol: str, price: float, *, turnover_usd: float = 0.0, open_interest: float | None = None
    ) -> Tick:
        coin = self._index[symbol]
        target = round(max(round(price / self._ticks[coin]), 1) * self._ticks[coin], 10)
        self._shift[coin] *= target / self.last[coin]
        self._shifted = True
        self.last = self.last.copy()
        self.last[coin] = self.mark[coin] = target
        if open_interest is not None:
            self._interest_shift[coin] *= open_interest / self.interest[coin]
            self.interest = self.interest.copy()
            self.interest[coin] = open_interest
        volume, interest = turnover_usd / target, float(self.interest[coin])
        self.store.minutes.add_one(coin, target, volume, turnover_usd, interest)
        return Tick(self._now_ms, symbol, float(target), turnover_usd, volume, interest)

    def ticker(self, symbol: str) -> TickerState:
        coin = self._index[symbol]
        day, tick = self._day, float(self._ticks[coin])
        last, mark = float(self.last[coin]), float(self.mark[coin])
        bid, ask = spread(last, tick)
        depth = max(float(day.turnover[coin]) * 2e-6, 100.0) / last
        interval_h = int(self._instruments.rows[symbol]["fundingInterval"]) // 60
        return TickerState(
            symbol=symbol,
            ts_ms=self._now_ms,
            last=last,
            mark=round(round(mark / tick) * tick, 10),
            index=round(round(mark * (1.0 - 0.1 * float(day.funding[coin])) / tick) * tick, 10),
            bid=bid,
            ask=ask,
            bid_size=depth,
            ask_size=depth * 0.9,
            open_interest=float(self.interest[coin]),
            funding_rate=float(day.funding[coin]),
            next_funding_ms=next_funding_ms(self._now_ms, interval_h),
            funding_interval_h=interval_h,
            volume_24h=float(day.volume[coin]),
            turnover_24h=float(day.turnover[coin]),
            high_24h=max(float(day.high[coin]), last),
            low_24h=min(float(day.low[coin]), last),
            prev_24h=float(day.price_24h_ago[coin]),
            prev_1h=float(day.price_1h_ago[coin]),
        )


def spread(last: float, tick: float) -> tuple[float, float]:
    """Best bid and ask around the last price: one tick, or 0.02 % of price where ticks are fine."""
    ticks = max(1, round(last * 2e-4 / tick))
    bid = round(max(round(last / tick) - ticks // 2, 1) * tick, 10)
    return bid, round(bid + ticks * tick, 10)


def next_funding_ms(now_ms: int, interval_h: int) -> int:
    """The next whole funding moment after `now_ms`."""
    interval_ms = interval_h * 3_600_000
    return (now_ms // interval_ms + 1) * interval_ms
