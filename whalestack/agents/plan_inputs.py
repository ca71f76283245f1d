"""What one plan is made from, as one value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from whalestack.agents.account import AccountFigures
from whalestack.clients.bybit.types import FeeRates
from whalestack.db.live import LiveTick
from whalestack.db.models import Coin, CoinLiquidationPattern, CoinThreshold, LiquidationCluster
from whalestack.math.accuracy_table import AccuracyRow
from whalestack.math.directions import Direction


@dataclass(frozen=True)
class PlanInputs:
    """What one plan is made from.

    Args:
        direction: the ranked direction of the signal.
        coin: the instrument.
        tick: live prices, fresh.
        clusters: standing clusters of the coin, all ranges, both sides.
        hit: for REVERSAL: the cluster in the ranked direction that was just hit.
        patterns: the coin's record by range.
        threshold: what is large for the coin.
        wick_up_pct, wick_down_pct: how far the coin's hourly wicks run, for a side that its record
            does not tell; None where nobody knows.
        account: of the moment.
        fees: the account's rates for the coin.
        unproven: the ranges whose clusters were not shown to beat chance, with the row that says so.
    """

    direction: Direction
    coin: Coin
    tick: LiveTick
    clusters: Sequence[LiquidationCluster]
    hit: LiquidationCluster | None
    patterns: Mapping[str, CoinLiquidationPattern]
    threshold: CoinThreshold | None
    wick_up_pct: float | None
    wick_down_pct: float | None
    account: AccountFigures
    fees: FeeRates
    unproven: Mapping[str, AccuracyRow] = field(default_factory=dict)

    def adverse_wick_pct(self, direction: Direction, timeframe: str) -> float | None:
        """How far wicks run against a trade of this direction, per cent; of the traded range's own record
        where that tells it, else of the hourly candles; None where neither does."""
        record = self.patterns.get(timeframe)
        if direction == "LONG":
            own = record.max_wick_down_pct if record is not None else None
            return own if own is not None else self.wick_down_pct
        own = record.max_wick_up_pct if record is not None else None
        return own if own is not None else self.wick_up_pct
