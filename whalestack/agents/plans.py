"""From a signal and fresh inputs to a plan that can be sent as it is, or to the reason why not.

Nothing here reads or writes anything: the same inputs make the same plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from whalestack.agents.plan_inputs import PlanInputs
from whalestack.agents.sized_entries import SizedEntry, size_entry
from whalestack.agents.targets import cluster_value, nearest_behind, nearest_target, no_target
from whalestack.config import Settings
from whalestack.db.models import LiquidationCluster
from whalestack.math.directions import Direction, Strategy, opposite
from whalestack.math.entry import EntryPlan, plan_entry
from whalestack.math.expectancy import Decision, costs_pct, decide
from whalestack.math.ladder import Rung
from whalestack.math.refusals import Refusal
from whalestack.math.sizing import PositionSize

_HUNDRED = Decimal(100)


@dataclass(frozen=True)
class PlannedTrade:
    """A plan with every number as it will be sent, rounded to what the exchange takes.

    `expected_entry_price`, the size's worst loss, `reward_pct` and `risk_pct` are those of every
    rung filled; see `SizedEntry`.
    """

    direction: Direction
    cluster_id: int
    timeframe: str
    rungs: tuple[Rung, ...]
    expected_entry_price: Decimal
    stop_loss: Decimal
    take_profit: Decimal
    size: PositionSize
    reward_pct: float
    risk_pct: float
    costs_pct: float
    success_rate: float
    observations: int
    decision: Decision
    stop_reasons: tuple[str, ...]
    no_ladder: Refusal | None

    @property
    def limit_price(self) -> Decimal:
        """What the first rung asks for, the one nearest to the market."""
        return self.rungs[0].price


def make_plan(inputs: PlanInputs, settings: Settings) -> PlannedTrade | Refusal:
    """Target, entry, stop, size and expectation, in that order; the first "no" ends it."""
    direction = trade_direction(inputs.direction, settings.autotrader_strategy)
    target = nearest_target(inputs, direction, settings)
    if target is None:
        return no_target(inputs, direction, settings)
    entry = _entry(inputs, direction, target, settings)
    if isinstance(entry, Refusal):
        return entry
    wick_pct = inputs.adverse_wick_pct(direction, target.timeframe)
    sized = size_entry(inputs, entry, wick_pct, settings)
    if isinstance(sized, Refusal):
        return sized
    return _judged(inputs, target, entry, sized, settings)


def trade_direction(ranked: Direction, strategy: Strategy) -> Direction:
    """A REVERSAL trades against the move that has just reached its liquidity."""
    return opposite(ranked) if strategy == "REVERSAL" else ranked


def _entry(
    inputs: PlanInputs, direction: Direction, target: LiquidationCluster, settings: Settings
) -> EntryPlan | Refusal:
    return plan_entry(
        settings.autotrader_strategy,
        direction,
        bid=inputs.tick.bid or inputs.tick.last,
        ask=inputs.tick.ask or inputs.tick.last,
        target=cluster_value(target),
        hit=cluster_value(inputs.hit) if inputs.hit is not None else None,
        behind=nearest_behind(inputs, direction, settings),
        offset_pct=settings.entry_offset_pct,
    )


def _judged(
    inputs: PlanInputs, target: LiquidationCluster, entry: EntryPlan, sized: SizedEntry, settings: Settings
) -> PlannedTrade | Refusal:
    """The last question: is it worth its risk?"""
    expected = sized.expected_price
    record = inputs.patterns.get(target.timeframe)
    rate = record.success_rate if record is not None else settings.success_prior
    observations = record.observations if record is not None else 0
    reward_pct = float(abs(sized.take_profit - expected) / expected * _HUNDRED)
    risk_pct = float(abs(expected - sized.stop_loss) / expected * _HUNDRED)
    costs = _costs_pct(inputs, entry, settings)
    decision = decide(
        rate,
        observations,
        reward_pct,
        risk_pct,
        costs,
        min_observations=settings.min_observations,
        may_trade_without_history=settings.may_trade_without_history,
    )
    if isinstance(decision, Refusal):
        return decision
    return PlannedTrade(
        direction=entry.direction,
        cluster_id=target.id,
        timeframe=target.timeframe,
        rungs=sized.rungs,
        expected_entry_price=sized.expected_price,
        stop_loss=sized.stop_loss,
        take_profit=sized.take_profit,
        size=sized.size,
        reward_pct=reward_pct,
        risk_pct=risk_pct,
        costs_pct=costs,
        success_rate=rate,
        observations=observations,
        decision=decision,
        stop_reasons=sized.stop_reasons,
        no_ladder=sized.no_ladder,
    )


def _costs_pct(inputs: PlanInputs, entry: EntryPlan, settings: Settings) -> float:
    entry_rate = inputs.fees.taker if entry.fills_at_once else inputs.fees.maker
    return costs_pct(
        entry.direction,
        entry_fee_pct=float(entry_rate * _HUNDRED),
        exit_fee_pct=float(inputs.fees.taker * _HUNDRED),
        slippage_pct=settings.slippage_pct * (2 if entry.fills_at_once else 1),
        funding_rate_pct=inputs.tick.funding_rate_pct or 0.0,
        hold_h=settings.expected_hold_h,
        funding_interval_h=max(inputs.coin.funding_interval_min, 1) / 60,
    )
