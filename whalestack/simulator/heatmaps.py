"""Heat maps in CoinGlass's form, made from the market by the liquidation model.

A map is kept for each (coin, range, model) and grows with the market: closed columns are
modelled and encoded once. A request models only the open column, on a branch of the
model, and joins bytes. When a column closes, the column numbers of the older ones shrink
by one; that is a replacement in encoded text and not a new encoding.

Cells are ordered by column, as recorded for model 1. (Models 2 and 3 were recorded
ordered by level; a client must not rely on either.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import orjson

from whalestack.math.heatmap import Floats
from whalestack.math.liquidation_model import (
    DEFAULT_TIERS,
    Bar,
    LeverageTier,
    LiquidationModel,
    ModelAssumptions,
    even_levels,
)
from whalestack.math.timeframes import GEOMETRY, SERVED_TIMEFRAMES, RangeGeometry
from whalestack.simulator.market.base import Candles, Market

_LEAST_SHARE = 0.003
"""Cells below this share of their column's largest are left out: maps are sparse."""
_LEAST_USD = 1e-3
_MARGIN = 0.25
"""The grid is laid anew when price comes this close to its edge, as a share of the span."""
_FURTHEST = 2.0
"""Levels reach at most this many times above (or below) the price."""

_SPANS_PCT = MappingProxyType(
    {"12h": 8.0, "24h": 10.0, "3d": 12.0, "7d": 16.0, "30d": 22.0, "90d": 25.0, "180d": 25.0, "1y": 25.0}
)
"""How far levels reach beyond the present price at least, per cent."""


@dataclass(frozen=True)
class MapKind:
    """One of CoinGlass's models.

    Args:
        levels: how many price levels; as recorded.
        span: multiplies the range's span.
        tiers: leverages shown.
    """

    levels: int
    span: float
    tiers: tuple[LeverageTier, ...]


def _above(leverage: float) -> tuple[LeverageTier, ...]:
    tiers = [tier for tier in DEFAULT_TIERS if tier.leverage >= leverage]
    total = sum(tier.weight for tier in tiers)
    return tuple(replace(tier, weight=tier.weight / total) for tier in tiers)


KINDS = MappingProxyType(
    {
        "model1": MapKind(127, 0.6, _above(10)),
        "model2": MapKind(119, 1.0, DEFAULT_TIERS),
        "model3": MapKind(390, 2.0, DEFAULT_TIERS),
    }
)


@dataclass(frozen=True)
class View:
    """In which units a map is told.

    Args:
        price_divisor: 1000 where CoinGlass's coin is a thousandth of Bybit's contract.
        value_factor: how many exchanges' worth of positions are counted.
        price_decimals: of Bybit's prices.
    """

    price_divisor: float = 1.0
    value_factor: float = 1.0
    price_decimals: int = 4

    @property
    def decimals(self) -> int:
        """Decimals of the told prices."""
        return self.price_decimals + len(f"{self.price_divisor:.0f}") - 1


@dataclass(frozen=True, eq=False)
class CurrentLevels:
    """The last column: prices (L,) in Bybit's unit, values (L,) in USD, the price now."""

    prices: Floats
    values: Floats
    price: float


class GrowingMap:
    """One coin's map of one range: closed columns encoded, the model ready for the next.

    Args:
        market: whose candles are modelled.
        symbol: Bybit symbol.
        geometry: of the range.
        kind: levels and leverages.
        view: units.
    """

    def __init__(
        self, market: Market, symbol: str, geometry: RangeGeometry, kind: MapKind, view: View
    ) -> None:
        self._market, self._symbol = market, symbol
        self._geometry, self._kind, self._view = geometry, kind, view
        self._rebuild()

    def _candles(self, limit: int) -> Candles:
        return self._market.candles(
            self._symbol, self._geometry.column_s, end_ms=self._market.now_ms, limit=limit
        )

    def _rebuild(self) -> None:
        """Lay the grid and model the whole range."""
        candles = self._candles(self._geometry.columns)
        self._levels = self._grid(candles)
        self._y_axis = _encode_levels(self._levels / self._view.price_divisor, self._view.decimals)
        memory = float(self._geometry.columns)
        self._model = LiquidationModel(
            self._levels, ModelAssumptions(tiers=self._kind.tiers, memory_bars=memory)
        )
        closed = slice(0, len(candles) - 1)
        columns = self._model.run(
            candles.high[closed],
            candles.low[closed],
            candles.close[closed],
            candles.turnover[closed],
            candles.open_interest[closed],
        )
        self._columns = _encode_columns(columns * self._view.value_factor)
        self._rows = [row for _, _, row in _bars(candles, self._view, len(candles) - 1)]
        self._open_ms = int(candles.start_ms[-1])

    def _grid(self, candles: Candles) -> Floats:
        price = float(candles.close[-1])
        span = min(_SPANS_PCT[self._geometry.name] * self._kind.span / 100.0, 0.45)
        low = max(min(float(candles.low.min()), price * (1 - span)), price / _FURTHEST)
        high = min(max(float(candles.high.max()), price * (1 + span)), price * _FURTHEST)
        self._comfort = (low + (price - low) * _MARGIN, high - (high - price) * _MARGIN)
        return even_levels(low, high, self._kind.levels)

    def _take(self, bar: Bar, interest: float, row: bytes) -> None:
        """A closed column."""
        self._model.step(bar, None if np.isnan(interest) else interest)
        self._columns.append(
            _encode_cells(len(self._columns), self._model.column() * self._view.value_factor)
        )
        self._rows.append(row)

    def _catch_up(self) -> Candles:
        """Take the columns that closed since the last request; returns the open candle last."""
        end_ms = self._market.end_ms
        now_ms = self._market.now_ms if end_ms is None else min(self._market.now_ms, end_ms - 1)
        passed = (now_ms - self._open_ms) // (self._geometry.column_s * 1000)
        candles = self._candles(min(passed + 1, self._geometry.columns))
        price = float(candles.close[-1])
        if passed > self._geometry.columns // 2 or not self._comfort[0] <= price <= self._comfort[1]:
            self._rebuild()
            return self._candles(1)
        if passed:
            for bar, interest, row in _bars(candles, self._view, len(candles) - 1):
                self._take(bar, interest, row)
            self._forget(len(self._columns) + 1 - self._geometry.columns)
            self._open_ms = int(candles.start_ms[-1])
        return candles

    def _forget(self, too_many: int) -> None:
        """Drop the oldest columns and number the others anew."""
        if too_many <= 0:
            return
        del self._columns[:too_many]
        del self._rows[:too_many]
        self._columns = [
            cells.replace(b"[%d," % (number + too_many), b"[%d," % number)
            for number, cells in enumerate(self._columns)
        ]

    def _open_column(self, candles: Candles) -> tuple[Floats, bytes]:
        """The open column's values and the encoded open candle."""
        last = len(candles) - 1
        bar, interest, row = next(_bars(candles, self._view, len(candles), first=last))
        model = self._model.branch()
        model.step(bar, None if np.isnan(interest) else interest)
        return model.column(), row

    def current(self) -> CurrentLevels:
        """What stands now."""
        candles = self._catch_up()
        values, _ = self._open_column(candles)
        return CurrentLevels(self._levels, values * self._view.value_factor, float(candles.close[-1]))

    def reply(self) -> bytes:
        """The body of a reply."""
        candles = self._catch_up()
        values, row = self._open_column(candles)
        cells = _encode_cells(len(self._columns), values * self._view.value_factor)
        return b"".join(
            (
                b'{"code":"0","msg":"success","data":{"y_axis":',
                self._y_axis,
                b',"liquidation_leverage_data":[',
                b",".join([part for part in (*self._columns, cells) if part]),
                b'],"price_candlesticks":[',
                b",".join((*self._rows, row)),
                b'],"update_time":%d}}' % self._market.now_ms,
            )
        )


def _bars(candles: Candles, view: View, count: int, first: int = 0) -> Iterator[tuple[Bar, float, bytes]]:
    """(bar, open interest, encoded candle) of the candles in [first, count)."""
    rows = zip(
        candles.start_ms[first:count].tolist(),
        candles.open[first:count].tolist(),
        candles.high[first:count].tolist(),
        candles.low[first:count].tolist(),
        candles.close[first:count].tolist(),
        candles.turnover[first:count].tolist(),
        candles.open_interest[first:count].tolist(),
        strict=True,
    )
    by, digits = view.price_divisor, view.decimals
    for start_ms, open_, high, low, close, turnover, interest in rows:
        text = (
            f'[{start_ms // 1000},"{open_ / by:.{digits}f}","{high / by:.{digits}f}","{low / by:.{digits}f}",'
            f'"{close / by:.{digits}f}","{turnover * view.value_factor:.4f}"]'
        )
        yield Bar(high, low, close, turnover), interest, text.encode()


def _encode_levels(levels: Floats, decimals: int) -> bytes:
    return orjson.dumps(np.round(levels, decimals + 2), option=orjson.OPT_SERIALIZE_NUMPY)


def _encode_columns(columns: Floats) -> list[bytes]:
    """The cells `[x,y,value]` of each column, joined by commas; columns shape (C, L)."""
    least = np.maximum(columns.max(axis=1, initial=0.0) * _LEAST_SHARE, _LEAST_USD)
    xs, ys = np.nonzero(columns > least[:, None])
    cells = list(zip(xs.tolist(), ys.tolist(), np.round(columns[xs, ys], 2).tolist(), strict=True))
    ends = np.cumsum(np.bincount(xs, minlength=len(columns))).tolist()
    return [orjson.dumps(cells[begin:end])[1:-1] for begin, end in zip([0, *ends], ends, strict=False)]


def _encode_cells(number: int, values: Floats) -> bytes:
    """The cells `[x,y,value]` of one column, joined by commas."""
    shown = np.flatnonzero(values > max(float(values.max()) * _LEAST_SHARE, _LEAST_USD))
    amounts = np.round(values[shown], 2)
    pairs = orjson.dumps(list(zip(shown.tolist(), amounts.tolist(), strict=True)))
    return pairs[1:-1].replace(b"[", b"[%d," % number)


class Heatmaps:
    """All maps of a market, made when first asked for.

    Args:
        market: whose candles are modelled.
    """

    def __init__(self, market: Market) -> None:
        self._market = market
        self._maps: dict[tuple[str, str, str, View], GrowingMap] = {}

    def map(self, symbol: str, timeframe: str, model: str, view: View) -> GrowingMap:
        """The map of a coin.

        Raises:
            KeyError: the market does not play the coin, or no such range or model.
        """
        key = (symbol, timeframe, model, view)
        if key not in self._maps:
            if timeframe not in SERVED_TIMEFRAMES:
                raise KeyError(timeframe)
            self._maps[key] = GrowingMap(self._market, symbol, GEOMETRY[timeframe], KINDS[model], view)
        return self._maps[key]
