"""The liquidation model in one compiled pass: the same as `LiquidationModel.step`, for backtests.

It differs from the step model in three ways that change no number:

- Several memories (one for each range of heat map) go through the candles together.
- Levels stand on a grid of equal ratios that is fixed for all prices: level k is
  10 ** (k / n). It grows by levels of the same grid when price wanders off, so what stands
  is never moved, nothing is ever off the map, and where the data begins or ends does not
  shift a level. (A grid of one's own may be given; then it is kept, and what lies off it is
  counted as outside.)
- Columns are made only for the candles that are asked for, and only near the price.

numba is loaded at the first model that is made, not when this module is imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from math import ceil, log, log10
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from whalestack.math.heatmap import Floats, Ints, LevelMap
from whalestack.math.liquidation_model import Ledger, ModelAssumptions, checked_levels

if TYPE_CHECKING:
    from whalestack.math.liquidation_kernel import Bars, Rules, State

DEFAULT_STEP_PCT = 0.2
DEFAULT_REACH_PCT = 25.0
LEAST_SHARE = 0.003
"""Levels below this share of a map's largest are empty in it, as in the maps that are served: residues
of what faded long ago would otherwise decide what is ordinary for the map."""
WORD = 64
"""Rows are as long as whole words of so many levels."""
_GROWTH_STEPS = 256
"""The grid grows by at least so many levels at a time, so that it seldom grows."""


@dataclass(frozen=True, eq=False)
class ModelColumns:
    """What stood after the candles that were asked for.

    Args:
        column_at: (A,) number of each candle within its `advance`.
        closes: (A,) its close: longs stand below it, shorts above it, nothing at it.
        first_levels: (A,) number of the first level of each column.
        levels: (L,) prices of the grid.
        values: (A, R, W) USD at the W levels from the first one on, for each memory.
    """

    column_at: Ints
    closes: Floats
    first_levels: Ints
    levels: Floats
    values: Floats

    def prices(self, index: int) -> Floats:
        """(W,) prices of the levels of one asked column; a view."""
        first = int(self.first_levels[index])
        return self.levels[first : first + self.values.shape[2]]

    def level_map(
        self, index: int, memory: int, *, timeframe: str, map_time_ms: int, reach_pct: float | None = None
    ) -> LevelMap:
        """One asked column as the map of a range.

        Args:
            index: of the column, 0 to A - 1.
            memory: number of the range among the model's memories.
            timeframe: the range's name.
            map_time_ms: the end of the candle, market ms.
            reach_pct: levels farther from the close are left out; None for all W.
        """
        prices, close = self.prices(index), float(self.closes[index])
        near = slice(None)
        if reach_pct is not None:
            ratio = 1 + reach_pct / 100
            near = slice(*np.searchsorted(prices, (close / ratio, close * ratio)).tolist())
        values = self.values[index, memory, near]
        shown = np.where(values >= LEAST_SHARE * values.max(initial=0.0), values, 0.0)
        return LevelMap(timeframe, close, prices[near], shown, map_time_ms)


def levels_a_decade(step_pct: float) -> int:
    """The n of the grid 10 ** (k / n) whose levels are about so many per cent apart."""
    return max(round(log(10) / log(1 + step_pct / 100)), 1)


def half_width(per_decade: int, reach_pct: float) -> int:
    """How many levels a column has on either side of its close."""
    return ceil(per_decade * log10(1 + reach_pct / 100)) + 1


class Parts(NamedTuple):
    """What `whalestack.math.liquidation_kernel` works on; `width` levels make a column."""

    bars: Bars
    levels: Floats
    rules: Rules
    state: State
    width: int


class FastLiquidationModel:
    """One coin's model for several memories.

    Args:
        assumptions: tiers and shares; its own `memory_bars` counts where `memory_bars` is not given.
        memory_bars: (R,) bars after which 1/e of an untouched position is left, None for ever.
        step_pct: about how far apart levels are, per cent of price.
        levels: (L,) ascending prices instead of the endless grid.

    Raises:
        ValueError: the step is not above zero, or the levels are not ascending prices.
    """

    def __init__(
        self,
        assumptions: ModelAssumptions | None = None,
        *,
        memory_bars: Sequence[float | None] | None = None,
        step_pct: float = DEFAULT_STEP_PCT,
        levels: ArrayLike | None = None,
    ) -> None:
        from whalestack.math.liquidation_kernel import Rules

        self.assumptions = assumptions or ModelAssumptions()
        memories = (self.assumptions.memory_bars,) if memory_bars is None else tuple(memory_bars)
        if not step_pct > 0 or not memories:
            raise ValueError(f"a grid of {step_pct} % steps with {len(memories)} memories")
        tiers = self.assumptions.tiers
        rooms = np.array([tier.room for tier in tiers])
        weights = np.array([tier.weight for tier in tiers]) / 2
        self._rules = Rules(
            np.concatenate([1 - rooms, 1 + rooms]),
            np.concatenate([weights, weights]),
            np.array([1.0 if bars is None else np.exp(-1 / bars) for bars in memories]),
            self.assumptions.churn_share,
            self.assumptions.turnover_share_without_oi,
        )
        self._per_decade = levels_a_decade(step_pct)
        self._fixed = levels is not None
        self.levels = np.empty(0) if levels is None else checked_levels(levels)
        self._first_k = 0
        self._state = empty_state(self.levels.size, len(memories), len(tiers))

    def branch(self) -> FastLiquidationModel:
        """An independent model in the same state: to look at an open candle without taking it."""
        other = copy(self)
        copies: dict[str, Any] = {name: part.copy() for name, part in self._state._asdict().items()}
        other._state = self._state._replace(**copies)
        return other

    def ledger(self, memory: int = 0) -> Ledger:
        """What was opened, and what became of it, for one memory."""
        state = self._state
        opened, outside, _ = state.totals.tolist()
        standing = float(state.held[memory].sum() * state.scale[memory])
        return Ledger(opened, float(state.consumed[memory]), float(state.faded[memory]), outside, standing)

    def advance(
        self,
        highs: Floats,
        lows: Floats,
        closes: Floats,
        turnover_usd: Floats,
        open_interest: Floats | None = None,
        *,
        column_at: ArrayLike = (),
        reach_pct: float = DEFAULT_REACH_PCT,
    ) -> ModelColumns:
        """Take the next candles. Called again, it goes on where it stopped.

        Args:
            highs, lows, closes, turnover_usd: (C,) candles, oldest first.
            open_interest: (C,) base coins at each candle's end, NaN where unknown; None for none.
            column_at: (A,) ascending numbers, 0 to C - 1, of the candles after which to look.
            reach_pct: how far columns reach from the close to either side, per cent; on
                levels of one's own a column is all of them.

        Raises:
            ValueError: a bar is not a candle, or the numbers do not ascend within the candles.
                The state is as before.
        """
        from whalestack.math.liquidation_kernel import advance

        parts = self.made_ready(highs, lows, closes, turnover_usd, open_interest, reach_pct=reach_pct)
        bars = parts.bars
        asked = _checked_numbers(column_at, bars.closes.size)
        values = np.empty((asked.size, self._rules.keeps.size, parts.width))
        firsts = np.zeros(asked.size, dtype=np.int64)
        advance(bars, self.levels, self._rules, self._state, asked, values, firsts)
        return ModelColumns(asked, bars.closes[asked], firsts, self.levels, values)

    def made_ready(
        self,
        highs: Floats,
        lows: Floats,
        closes: Floats,
        turnover_usd: Floats,
        open_interest: Floats | None = None,
        *,
        reach_pct: float = DEFAULT_REACH_PCT,
    ) -> Parts:
        """What a compiled pass over the next candles takes; whoever calls this takes them, all of them.

        Raises:
            ValueError: a bar is not a candle.
        """
        bars = _checked_bars(highs, lows, closes, turnover_usd, open_interest)
        half = half_width(self._per_decade, reach_pct)
        if bars.closes.size:
            self._grow(float(bars.lows.min()), float(bars.highs.max()), half)
        width = self.levels.size if self._fixed else 2 * half
        return Parts(bars, self.levels, self._rules, self._state, width)

    def _grow(self, low: float, high: float, half: int) -> None:
        """Have levels for everything that these candles may open or show."""
        if self._fixed:
            return
        factors = self._rules.factors
        first = min(int(self._per_decade * log10(low * factors.min())) - 1, self._level_of(low) - half) - 1
        last = max(int(self._per_decade * log10(high * factors.max())) + 2, self._level_of(high) + half) + 1
        have_first, have_last = self._first_k, self._first_k + self.levels.size - 1
        if self.levels.size and have_first <= first and last <= have_last:
            return
        first, last = first - _GROWTH_STEPS, last + _GROWTH_STEPS
        if self.levels.size:
            first, last = min(first, have_first), max(last, have_last)
        self._relevel(first, last)

    def _level_of(self, price: float) -> int:
        return int(np.floor(self._per_decade * log10(price)))

    def _relevel(self, first: int, last: int) -> None:
        """The same grid from level `first` to `last`, what stands where it stood."""
        from whalestack.math.liquidation_kernel import BOTTOM, HINTS, TOP

        before = self._first_k - first if self.levels.size else 0
        state, levels = self._state, last - first + 1
        marks = state.marks + before
        if state.marks[BOTTOM] >= self.levels.size:
            marks[BOTTOM] = levels
        if state.marks[TOP] < 0:
            marks[TOP] = -1
        marks[HINTS:] = np.clip(marks[HINTS:], 0, levels - 2)
        held = np.zeros((state.held.shape[0], _whole_words(levels)))
        held[:, before : before + self.levels.size] = state.held[:, : self.levels.size]
        touched = np.zeros(held.shape[1] // WORD, dtype=np.int64)
        self._state = state._replace(held=held, marks=marks, touched=touched)
        self._first_k = first
        self.levels = 10.0 ** (np.arange(first, last + 1) / self._per_decade)


def _whole_words(levels: int) -> int:
    return -(-levels // WORD) * WORD


def empty_state(levels: int, memories: int, tiers: int) -> State:
    """Nothing stands."""
    from whalestack.math.liquidation_kernel import BOTTOM, INTEREST, TOP, State

    def zeros() -> Floats:
        return np.zeros(memories)

    width = _whole_words(levels)
    state = State(
        held=np.zeros((memories, width)),
        scale=np.ones(memories),
        stored=zeros(),
        peak=zeros(),
        before=zeros(),
        consumed=zeros(),
        faded=zeros(),
        totals=np.zeros(3),
        marks=np.zeros(2 + 2 * tiers, dtype=np.int64),
        touched=np.zeros(width // WORD, dtype=np.int64),
        recounts=np.zeros(memories, dtype=np.int64),
        places=np.zeros(4 * tiers, dtype=np.int64),
        shares=np.zeros(4 * tiers),
    )
    state.totals[INTEREST] = np.nan
    state.marks[TOP], state.marks[BOTTOM] = -1, levels
    return state


def _checked_bars(
    highs: Floats, lows: Floats, closes: Floats, turnover_usd: Floats, open_interest: Floats | None
) -> Bars:
    from whalestack.math.liquidation_kernel import Bars

    held = np.full(len(closes), np.nan) if open_interest is None else open_interest
    bars = Bars(
        *(np.ascontiguousarray(each, dtype=np.float64) for each in (highs, lows, closes, turnover_usd, held))
    )
    if not all(each.shape == bars.closes.shape and each.ndim == 1 for each in bars):
        raise ValueError("the candles' columns differ in length")
    fine = (bars.lows > 0) & (bars.lows <= bars.closes) & (bars.closes <= bars.highs)
    fine &= np.isfinite(bars.highs) & (bars.turnover_usd >= 0) & ~np.isinf(bars.open_interest)
    if not fine.all():
        raise ValueError(f"bar {int(np.argmin(fine))} is not a candle")
    return bars


def _checked_numbers(column_at: ArrayLike, bars: int) -> Ints:
    asked = np.asarray(column_at, dtype=np.int64)
    ascending = asked.ndim == 1 and (np.diff(asked) >= 0).all()
    if not ascending or (asked.size and not 0 <= asked[0] <= asked[-1] < bars):
        raise ValueError(f"asked columns are ascending numbers of the {bars} candles")
    return asked
