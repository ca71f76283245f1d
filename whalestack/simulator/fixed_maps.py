"""Heat maps of any number of coins out of a small pool: for measuring what fetches them.

`Heatmaps` models every coin's every range and keeps 0.65 MB of each. Here the maps of a few coins
are modelled, brought to one number of cells, and kept compressed; every other coin is given one
of them on its own price. Of a reply only the last column (one of a few variants, another one every ten
seconds), the prices and the last candle are a coin's own. A reply costs some 30 microseconds.
"""

from __future__ import annotations

import gzip
import math
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from whalestack.math.heatmap import Floats
from whalestack.math.timeframes import GEOMETRY, SERVED_TIMEFRAMES
from whalestack.simulator.gzip_pieces import Piece, gzip_body, piece
from whalestack.simulator.heatmaps import KINDS, CurrentLevels, GrowingMap, View
from whalestack.simulator.market.base import Market

_POOL = 3
"""Coins whose maps are the pool."""
_VARIANTS = 16
"""Of each map's last column."""
_VARIANT_SPREAD = 0.05
_PRICE_STEP = 1.04
"""Coins whose prices lie within this ratio share levels and closed candles."""
_MOST_TAILS = 40_000
_VARIANT_MS = 10_000
"""A variant stands so long, market ms."""


@dataclass(frozen=True)
class Gzipped:
    """A reply's body as gzip; a client that does not take it gets `plain`."""

    body: bytes

    def plain(self) -> bytes:
        """The body as it is."""
        return gzip.decompress(self.body)


@dataclass(frozen=True, eq=False)
class Pattern:
    """One map of the pool.

    Args:
        levels: (L,) price levels over the price.
        closed: every cell of the closed columns.
        columns: the variants of the last column, compressed.
        values: (V, L) what the variants say, USD.
        candles: (C - 1, 4) open, high, low and close of the closed candles over the price.
        turnover: (C,) USD.
        column_ms: market ms a column stands for.
    """

    levels: Floats
    closed: Piece
    columns: tuple[Piece, ...]
    values: Floats
    candles: Floats
    turnover: Floats
    column_ms: int


def make_pattern(reply: bytes, *, column_s: int, cells: int, seed: int) -> Pattern:
    """A map of the pool out of a modelled reply.

    Args:
        reply: the body, as `GrowingMap.reply` gives it.
        column_s: of its range.
        cells: how many it is to have: small ones are left out, or empty ones filled with less
            than the smallest.
        seed: of the variants.
    """
    data: dict[str, Any] = orjson.loads(reply)["data"]
    rows = np.array(data["price_candlesticks"], dtype=np.float64)
    price = float(rows[-1, 4])
    dense = _dense(data["liquidation_leverage_data"], len(rows), len(data["y_axis"]))
    rng = np.random.default_rng(seed)
    empty = dense <= 0
    dense[empty] = rng.uniform(0.1, 1.0, int(empty.sum())) * float(dense[~empty].min())
    shown = np.sort(np.argsort(-dense[:-1], axis=None)[: cells - dense.shape[1]])
    xs, ys = np.unravel_index(shown, dense[:-1].shape)
    closed = _encode(xs.tolist(), ys.tolist(), dense[xs, ys])
    values = dense[-1] * np.exp(rng.normal(0.0, _VARIANT_SPREAD, (_VARIANTS, dense.shape[1])))
    return Pattern(
        levels=np.array(data["y_axis"]) / price,
        closed=piece(closed),
        columns=tuple(piece(b"," + _last_column(len(dense) - 1, each)) for each in values),
        values=values,
        candles=rows[:-1, 1:5] / price,
        turnover=rows[:, 5],
        column_ms=column_s * 1000,
    )


def _dense(cells: list[list[float]], columns: int, levels: int) -> Floats:
    """(C, L) USD of each cell."""
    table = np.array(cells, dtype=np.float64)
    dense = np.zeros((columns, levels), dtype=np.float64)
    dense[table[:, 0].astype(int), table[:, 1].astype(int)] = table[:, 2]
    return dense


def _encode(xs: list[int], ys: list[int], values: Floats) -> bytes:
    return orjson.dumps(list(zip(xs, ys, np.round(values, 2).tolist(), strict=True)))[1:-1]


def _last_column(number: int, values: Floats) -> bytes:
    return _encode([number] * len(values), list(range(len(values))), values)


class FixedMap:
    """One coin's map of one range, on a pattern of the pool.

    Args:
        source: the pool and the market.
        symbol: Bybit symbol.
        pattern: of the pool.
        view: units.
        seed: tells the coin's variants from another one's.
    """

    def __init__(self, source: FixedHeatmaps, symbol: str, pattern: Pattern, view: View, seed: int) -> None:
        self._source = source
        self._symbol = symbol
        self._pattern = pattern
        self._view = view
        self._seed = seed

    def current(self) -> CurrentLevels:
        """What stands now."""
        price = self._source.market.ticker(self._symbol).last
        return CurrentLevels(self._pattern.levels * price, self._pattern.values[self._variant()], price)

    def reply(self) -> Gzipped:
        """The body of a reply."""
        now_ms = self._source.market.now_ms
        price = self._source.market.ticker(self._symbol).last / self._view.price_divisor
        step = round(math.log(price, _PRICE_STEP))
        open_ms = now_ms // self._pattern.column_ms * self._pattern.column_ms
        head, candles = self._source.frame(self._pattern, step, open_ms)
        column = self._pattern.columns[self._variant()]
        return Gzipped(
            gzip_body((head, self._pattern.closed, column, candles), self._end(price, open_ms, now_ms))
        )

    def _variant(self) -> int:
        return (self._seed + self._source.market.now_ms // _VARIANT_MS) % _VARIANTS

    def _end(self, price: float, open_ms: int, now_ms: int) -> bytes:
        told = f"{price:.{_decimals(price)}f}"
        candle = f'[{open_ms // 1000},"{told}","{told}","{told}","{told}","{self._pattern.turnover[-1]:.4f}"]'
        return f'{candle}],"update_time":{now_ms}}}}}'.encode()


class FixedHeatmaps:
    """Any number of maps out of a few; as `Heatmaps` to those who ask.

    Args:
        market: whose prices the maps are put on.
        cells: of each map.
    """

    def __init__(self, market: Market, cells: int) -> None:
        self.market = market
        self._cells = cells
        self._patterns: dict[tuple[str, str, float], list[Pattern]] = {}
        self._frames: dict[tuple[int, int, int], tuple[Piece, Piece]] = {}

    def map(self, symbol: str, timeframe: str, model: str, view: View) -> FixedMap:
        """The map of a coin.

        Raises:
            KeyError: no such range or model.
        """
        patterns = self._pool(timeframe, model, view.value_factor)
        seed = zlib.crc32(f"{symbol} {timeframe}".encode())
        return FixedMap(self, symbol, patterns[seed % len(patterns)], view, seed // len(patterns))

    def frame(self, pattern: Pattern, step: int, open_ms: int) -> tuple[Piece, Piece]:
        """What stands before the cells and after them, up to the open candle.

        Args:
            pattern: whose levels and candles.
            step: the price as a power of `_PRICE_STEP`.
            open_ms: start of the open column.
        """
        key = (id(pattern), step, open_ms)
        found = self._frames.get(key)
        if found is None:
            if len(self._frames) >= _MOST_TAILS:
                self._frames.clear()
            found = self._frames[key] = _frame(pattern, _PRICE_STEP**step, open_ms)
        return found

    def _pool(self, timeframe: str, model: str, value_factor: float) -> list[Pattern]:
        key = (timeframe, model, value_factor)
        if key not in self._patterns:
            if timeframe not in SERVED_TIMEFRAMES:
                raise KeyError(timeframe)
            geometry, view = GEOMETRY[timeframe], View(1.0, value_factor, 8)
            self._patterns[key] = [
                make_pattern(
                    GrowingMap(self.market, symbol, geometry, KINDS[model], view).reply(),
                    column_s=geometry.column_s,
                    cells=self._cells,
                    seed=number,
                )
                for number, symbol in enumerate(self.market.symbols[:_POOL])
            ]
        return self._patterns[key]


def _frame(pattern: Pattern, price: float, open_ms: int) -> tuple[Piece, Piece]:
    digits = _decimals(price) + 2
    levels = orjson.dumps(np.round(pattern.levels * price, digits), option=orjson.OPT_SERIALIZE_NUMPY)
    head = b'{"code":"0","msg":"success","data":{"y_axis":' + levels + b',"liquidation_leverage_data":['
    count = len(pattern.candles)
    starts = open_ms // 1000 - np.arange(count, 0, -1) * (pattern.column_ms // 1000)
    rows = np.column_stack((starts, pattern.candles * price, pattern.turnover[:-1]))
    row = '[%d,"%.{0}f","%.{0}f","%.{0}f","%.{0}f","%.4f"],'.replace("{0}", str(digits))
    candles = '],"price_candlesticks":[' + row * count % tuple(rows.ravel().tolist())
    return piece(head), piece(candles.encode(), level=1)


def _decimals(price: float) -> int:
    """Decimals that leave six significant digits."""
    return max(0, 5 - math.floor(math.log10(price)))
