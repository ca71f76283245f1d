"""A heat map of our own: where positions opened along the candles would be liquidated.

Bar by bar, oldest first:

1. The bar's range touches what stands: longs at its low and above, shorts at its high and
   below are **consumed**.
2. Open interest that fell by more than what was consumed **fades** everything that still
   stands by the same share, because nobody tells who closed. Positions that change hands
   without moving open interest (a share of the bar's turnover) fade the same way.
3. What was **opened** (the rise of open interest, and what changed hands) is put at the
   bar's typical price (high + low + close) / 3, a long and a short for each contract, split
   over leverage tiers. A long at leverage L with maintenance margin m stands at
   `price * (1 - 1/L + m)`, a short at `price * (1 + 1/L - m)` (isolated margin). The share
   of each between two levels goes to both in proportion. What lies on the bar's far side of
   the close already is consumed at once; what lies off the map is counted as outside.

Everything opened is consumed, faded, outside or still standing; `Ledger` counts it in USD.
Doubling every price, or every quantity, changes nothing but the unit.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import ArrayLike

from whalestack.math.heatmap import Floats


@dataclass(frozen=True)
class LeverageTier:
    """A group of traders.

    Args:
        leverage: above 1.
        weight: share of what is opened; the weights sum to 1.
        maintenance_margin_rate: a fraction, below 1/leverage.
    """

    leverage: float
    weight: float
    maintenance_margin_rate: float

    @property
    def room(self) -> float:
        """How far price may run against the entry before liquidation, as a share of the entry."""
        return 1 / self.leverage - self.maintenance_margin_rate


# Weights are an assumption: exchanges do not publish the leverage in use. 5 to 100 are the
# tiers that public heat maps name; the margin rates are Bybit's for small positions.
DEFAULT_TIERS = (
    LeverageTier(5, 0.15, 0.02),
    LeverageTier(10, 0.30, 0.02),
    LeverageTier(25, 0.30, 0.01),
    LeverageTier(50, 0.15, 0.0075),
    LeverageTier(100, 0.10, 0.005),
)


@dataclass(frozen=True)
class ModelAssumptions:
    """What the model takes for granted.

    Args:
        tiers: of leverage.
        churn_share: share of turnover that opens positions while as many close, 0 to 1.
        turnover_share_without_oi: share of turnover that opens positions where open
            interest is not known.
        memory_bars: bars after which 1/e of an untouched position is left, None for ever.
            A range's map forgets what is older than the range.
    """

    tiers: tuple[LeverageTier, ...] = DEFAULT_TIERS
    churn_share: float = 0.02
    turnover_share_without_oi: float = 0.05
    memory_bars: float | None = None

    def __post_init__(self) -> None:
        if abs(sum(tier.weight for tier in self.tiers) - 1) > 1e-9:
            raise ValueError("the weights of the leverage tiers do not sum to 1")
        for tier in self.tiers:
            if not 0 <= tier.maintenance_margin_rate < 1 / tier.leverage < 1:
                raise ValueError(f"a tier at {tier.leverage:g} times leaves no room before liquidation")


@dataclass(frozen=True)
class Bar:
    """One candle: prices in quote currency, turnover in USD."""

    high: float
    low: float
    close: float
    turnover_usd: float


@dataclass(frozen=True)
class Ledger:
    """What became of everything that was opened, in USD. The last four sum to the first."""

    opened: float
    consumed: float
    faded: float
    outside: float
    standing: float


class LiquidationModel:
    """The model's state for one coin and one range: what stands at each level now.

    Args:
        levels: (L,) prices, ascending, at least two.
        assumptions: see above.

    Raises:
        ValueError: the levels are not ascending prices.
    """

    def __init__(self, levels: Floats, assumptions: ModelAssumptions | None = None) -> None:
        self.assumptions = assumptions or ModelAssumptions()
        self.levels = checked_levels(levels)
        self._longs = np.zeros(self.levels.size)
        self._shorts = np.zeros(self.levels.size)
        self._steps = np.diff(self.levels)
        tiers = self.assumptions.tiers
        rooms = np.array([tier.room for tier in tiers])
        weights = np.array([tier.weight for tier in tiers]) / 2
        # Longs first, then shorts: one vector, so that a bar costs one search and one deposit.
        self._factors = np.concatenate([1 - rooms, 1 + rooms])
        self._weights = np.concatenate([weights, weights])
        self._keep = 1.0
        if self.assumptions.memory_bars is not None:
            self._keep = float(np.exp(-1 / self.assumptions.memory_bars))
        self._open_interest: float | None = None
        self._opened = self._consumed = self._faded = self._outside = 0.0

    def branch(self) -> LiquidationModel:
        """An independent model in the same state: to look at an open bar without taking it."""
        other = copy(self)
        other._longs, other._shorts = self._longs.copy(), self._shorts.copy()
        return other

    def column(self) -> Floats:
        """(L,) USD that stands at each level: one column of a heat map."""
        return self._longs + self._shorts

    @property
    def longs(self) -> Floats:
        """(L,) USD of longs; a copy."""
        return self._longs.copy()

    @property
    def shorts(self) -> Floats:
        """(L,) USD of shorts; a copy."""
        return self._shorts.copy()

    def ledger(self) -> Ledger:
        """What was opened, and what became of it."""
        return Ledger(self._opened, self._consumed, self._faded, self._outside, self._standing())

    def step(self, bar: Bar, open_interest: float | None = None) -> None:
        """Take the next bar.

        Args:
            bar: high >= close >= low > 0.
            open_interest: base coins at the bar's end; None where it is not known.

        Raises:
            ValueError: the bar is not a candle. The state is as before.
        """
        if not (0 < bar.low <= bar.close <= bar.high and isfinite(bar.high) and bar.turnover_usd >= 0):
            raise ValueError(f"{bar} is not a candle")
        before = self._standing()
        self._consume(bar.low, bar.high)
        self._fade(bar, open_interest, before)
        price = (bar.high + bar.low + bar.close) / 3
        opened = self._opened_usd(bar, price, open_interest)
        if opened > 0:
            self._open(opened, price)
            self._consume(bar.close, bar.close)
        if open_interest is not None:
            self._open_interest = open_interest

    def run(
        self,
        highs: Floats,
        lows: Floats,
        closes: Floats,
        turnover_usd: Floats,
        open_interest: Floats | None = None,
    ) -> Floats:
        """Take many bars: the same as `step` for each of them, several times as fast.

        Args:
            highs, lows, closes, turnover_usd: (C,) candles, oldest first.
            open_interest: (C,) base coins at each bar's end, NaN where unknown; None for none.

        Returns:
            (C, L) USD: row c is what stands after bar c.

        Raises:
            ValueError: a bar is not a candle. The state is as before.
        """
        if not (
            (lows > 0) & (lows <= closes) & (closes <= highs) & np.isfinite(highs) & (turnover_usd >= 0)
        ).all():
            raise ValueError("a bar is not a candle")
        held = np.full(highs.size, np.nan) if open_interest is None else open_interest
        prices = (highs + lows + closes) / 3
        opened, shares, churned = self._flows(prices, closes, turnover_usd, held)
        fresh = self._deposits(opened, prices, closes)
        from_level = self.levels.searchsorted(lows, "left").tolist()
        to_level = (self.levels.searchsorted(highs, "right") + self.levels.size).tolist()
        return self._pass(fresh, from_level, to_level, shares, churned)

    def _flows(
        self, prices: Floats, closes: Floats, turnover_usd: Floats, held: Floats
    ) -> tuple[Floats, list[float], list[float]]:
        """USD opened by each bar; open interest over the one before (NaN: unknown); share not churned."""
        known = np.flatnonzero(np.isfinite(held))
        first = np.nan if self._open_interest is None else self._open_interest
        latest = np.concatenate([[first], held[known]])
        before = latest[np.searchsorted(known, np.arange(held.size), side="left")]
        churn = self.assumptions.churn_share * turnover_usd
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = np.where(before > 0, held / before, np.nan)
            churned = np.maximum(1.0 - churn / (before * closes), 0.0)
            risen = np.maximum(held - before, 0.0) * prices + churn
        without = self.assumptions.turnover_share_without_oi * turnover_usd
        opened = np.where(np.isnan(held), without, np.where(np.isnan(before), 0.0, risen))
        self._open_interest = None if np.isnan(latest[-1]) else float(latest[-1])
        return opened, shares.tolist(), churned.tolist()

    def _deposits(self, opened: Floats, prices: Floats, closes: Floats) -> Floats:
        """(C, 2L) USD that each bar adds, longs then shorts, less what its close consumes at once."""
        levels, size = self.levels, self.levels.size
        at = prices[:, None] * self._factors[None, :]
        amounts = opened[:, None] * self._weights[None, :]
        inside = (at >= levels[0]) & (at <= levels[-1])
        below = np.clip(levels.searchsorted(at, "right") - 1, 0, size - 2)
        amounts_in = np.where(inside, amounts, 0.0)
        upper = amounts_in * (at - levels[below]) / self._steps[below]
        side = np.repeat([0, size], len(self.assumptions.tiers))[None, :]
        cells = 2 * size * np.arange(opened.size)[:, None] + side + below
        width = opened.size * 2 * size
        fresh: Floats = np.bincount(cells.ravel(), (amounts_in - upper).ravel(), width).astype(np.float64)
        fresh += np.bincount(cells.ravel() + 1, upper.ravel(), width)
        fresh = fresh.reshape(opened.size, 2 * size)
        numbers = np.arange(size)[None, :]
        fresh[:, :size][numbers >= levels.searchsorted(closes, "left")[:, None]] = 0.0
        fresh[:, size:][numbers < levels.searchsorted(closes, "right")[:, None]] = 0.0
        self._opened += float(opened.sum())
        self._outside += float((amounts - amounts_in).sum())
        self._consumed += float(amounts_in.sum() - fresh.sum())
        return fresh

    def _pass(
        self,
        fresh: Floats,
        from_level: list[int],
        to_level: list[int],
        shares: list[float],
        churned: list[float],
    ) -> Floats:
        """Consume, fade and add, bar by bar; the state is one vector, longs then shorts."""
        size = self.levels.size
        state = np.concatenate([self._longs, self._shorts])
        columns = np.empty((fresh.shape[0], size))
        standing = float(state.sum())
        for bar, added in enumerate(fresh):
            state[from_level[bar] : size] = 0.0
            state[size : to_level[bar]] = 0.0
            left = float(state.sum())
            self._consumed += standing - left
            if left > 0:
                share, keep = shares[bar], self._keep
                if share == share:  # known, not NaN
                    keep *= min(share * standing / left, 1.0) * churned[bar]
                self._faded += left * (1 - keep)
                state *= keep
            state += added
            np.add(state[:size], state[size:], out=columns[bar])
            standing = float(state.sum())
        self._longs, self._shorts = state[:size].copy(), state[size:].copy()
        return columns

    def move_to(self, levels: Floats) -> None:
        """Take new levels (the price left the old ones); what stands is put on them in proportion.

        Raises:
            ValueError: as in the constructor.
        """
        old, longs, shorts = self.levels, self._longs, self._shorts
        self.levels = checked_levels(levels)
        self._steps = np.diff(self.levels)
        self._longs, self._shorts = np.zeros(self.levels.size), np.zeros(self.levels.size)
        self._deposit(old, longs, self._longs)
        self._deposit(old, shorts, self._shorts)

    def _standing(self) -> float:
        return float(self._longs.sum() + self._shorts.sum())

    def _consume(self, low: float, high: float) -> None:
        """Longs at `low` and above, shorts at `high` and below are liquidated."""
        from_level = int(self.levels.searchsorted(low, "left"))
        to_level = int(self.levels.searchsorted(high, "right"))
        longs, shorts = self._longs[from_level:], self._shorts[:to_level]
        self._consumed += float(longs.sum() + shorts.sum())
        longs[:] = 0.0
        shorts[:] = 0.0

    def _fade(self, bar: Bar, open_interest: float | None, before: float) -> None:
        standing = self._standing()
        if standing <= 0:
            return
        keep = self._keep * self._kept_share(bar, open_interest, standing / before)
        self._faded += standing * (1 - keep)
        self._longs *= keep
        self._shorts *= keep

    def _kept_share(self, bar: Bar, open_interest: float | None, not_consumed: float) -> float:
        """The share of what stands that stays open after a bar, 0 to 1."""
        previous = self._open_interest
        if open_interest is None or previous is None or previous <= 0:
            return 1.0
        # Liquidations are a part of the fall of open interest: only the rest of it fades.
        share = min(open_interest / previous / not_consumed, 1.0)
        churned = self.assumptions.churn_share * bar.turnover_usd / (previous * bar.close)
        return max(share, 0.0) * max(1.0 - churned, 0.0)

    def _opened_usd(self, bar: Bar, price: float, open_interest: float | None) -> float:
        if open_interest is None:
            return self.assumptions.turnover_share_without_oi * bar.turnover_usd
        if self._open_interest is None:
            return 0.0
        risen = max(open_interest - self._open_interest, 0.0) * price
        return risen + self.assumptions.churn_share * bar.turnover_usd

    def _open(self, usd: float, price: float) -> None:
        self._opened += usd
        prices, amounts = self._factors * price, self._weights * usd
        tiers = len(self.assumptions.tiers)
        self._deposit(prices[:tiers], amounts[:tiers], self._longs)
        self._deposit(prices[tiers:], amounts[tiers:], self._shorts)

    def _deposit(self, prices: Floats, amounts: Floats, onto: Floats) -> None:
        """Share each amount between the two levels around its price; off the map it is outside."""
        levels = self.levels
        inside = (prices >= levels[0]) & (prices <= levels[-1])
        if not inside.all():
            self._outside += float(amounts[~inside].sum())
            prices, amounts = prices[inside], amounts[inside]
        below = np.minimum(levels.searchsorted(prices, "right") - 1, levels.size - 2)
        upper = amounts * (prices - levels[below]) / self._steps[below]
        np.add.at(onto, below, amounts - upper)
        np.add.at(onto, below + 1, upper)


def build_columns(
    highs: Floats,
    lows: Floats,
    closes: Floats,
    turnover_usd: Floats,
    open_interest: Floats | None,
    levels: Floats,
    assumptions: ModelAssumptions | None = None,
) -> Floats:
    """The whole map of a stretch of candles, one pass.

    Args:
        highs, lows, closes, turnover_usd: (C,) candles, oldest first.
        open_interest: (C,) base coins at each bar's end, NaN where unknown; None for none.
        levels: (L,) prices, ascending.
        assumptions: see `ModelAssumptions`.

    Returns:
        (L, C) USD: column c is what stands after bar c.

    Raises:
        ValueError: a bar is not a candle, or the levels are not ascending prices.
    """
    columns = LiquidationModel(levels, assumptions).run(highs, lows, closes, turnover_usd, open_interest)
    return np.ascontiguousarray(columns.T)


def even_levels(price_low: float, price_high: float, count: int) -> Floats:
    """(count,) evenly spaced levels, as CoinGlass's maps have them.

    Raises:
        ValueError: the bounds are not ascending prices or the count is below 2.
    """
    return checked_levels(np.linspace(price_low, price_high, count))


def checked_levels(levels: ArrayLike) -> Floats:
    """(L,) two or more ascending prices.

    Raises:
        ValueError: they are not.
    """
    checked = np.asarray(levels, dtype=np.float64)
    if checked.ndim != 1 or checked.size < 2 or not checked[0] > 0 or not (np.diff(checked) > 0).all():
        raise ValueError("levels are two or more ascending prices")
    return checked
