"""From a signal and fresh inputs to a plan that can be sent as it is, or to the reason why not.

Nothing here reads or writes anything: the same inputs make the same plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from whalestack.agents.plan_inputs import PlanInputs
from whalestack.agents.targets import attractive, cluster_value, nearest_behind, nearest_target
from whalestack.config import Settings
from whalestack.db.models import Coin, LiquidationCluster
from whalestack.math.directions import Direction, Strategy, opposite, sign
from whalestack.math.entry import EntryPlan, plan_entry
from whalestack.math.expectancy import Decision, costs_pct, decide
from whalestack.math.refusals import Refusal
from whalestack.math.rounding import decimal_of, round_entry, round_stop, round_take_profit
from whalestack.math.sizing import InstrumentLimits, PositionSize, size_position
from whalestack.math.stops import choose_stop

_HUNDRED = Decimal(100)


@dataclass(frozen=True)
class PlannedTrade:
    """A plan with every number as it will be sent, rounded to what the exchange takes."""

    direction: Direction
    cluster_id: int
    timeframe: str
    limit_price: Decimal
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


def make_plan(inputs: PlanInputs, settings: Settings) -> PlannedTrade | Refusal:
    """Target, entry, stop, size and expectation, in that order; the first "no" ends it."""
    direction = trade_direction(inputs.direction, settings.autotrader_strategy)
    target = nearest_target(inputs, direction, settings)
    if target is None:
        return Refusal("no_target", f"no tradable cluster lies ahead of a {direction}")
    entry = _entry(inputs, direction, target, settings)
    if isinstance(entry, Refusal):
        return entry
    return _with_stop(inputs, target, entry, settings)


def trade_direction(ranked: Direction, strategy: Strategy) -> Direction:
    """A REVERSAL trades against the move that has just reached its liquidity."""
    return opposite(ranked) if strategy == "REVERSAL" else ranked


def limits_of(coin: Coin) -> InstrumentLimits:
    """The instrument's limits as the mathematics takes them."""
    return InstrumentLimits(
        qty_step=coin.qty_step,
        min_order_qty=coin.min_order_qty,
        max_order_qty=coin.max_order_qty,
        max_market_order_qty=coin.max_market_order_qty,
        min_notional_usd=coin.min_notional_usd,
        min_leverage=coin.min_leverage,
        max_leverage=coin.max_leverage,
        leverage_step=coin.leverage_step,
    )


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


def _with_stop(
    inputs: PlanInputs, target: LiquidationCluster, entry: EntryPlan, settings: Settings
) -> PlannedTrade | Refusal:
    tick_size = inputs.coin.tick_size
    limit = round_entry(entry.direction, _reachable_limit(entry, settings), tick_size)
    expected = decimal_of(entry.expected_price) if entry.fills_at_once else limit
    stop = choose_stop(
        entry.direction,
        float(expected),
        wick_pct=inputs.adverse_wick_pct(entry.direction, target.timeframe),
        clusters=[cluster_value(each) for each in attractive(inputs)],
        stop_min_pct=settings.stop_min_pct,
        stop_max_pct=settings.stop_max_pct,
        beyond_pct=settings.stop_beyond_cluster_pct,
        stop_beyond=entry.stop_beyond,
    )
    if isinstance(stop, Refusal):
        return stop
    stop_loss = round_stop(entry.direction, decimal_of(stop.stop_price), tick_size)
    take_profit = round_take_profit(entry.direction, decimal_of(entry.take_profit), tick_size)
    if not _is_between(entry.direction, stop_loss, expected, take_profit):
        return Refusal(
            "too_coarse_ticks",
            f"rounded to ticks of {tick_size.normalize():f}, stop {stop_loss:f}, entry {expected:f} and "
            f"target {take_profit:f} are not apart",
        )
    size = _size(inputs, entry.direction, expected, stop_loss, settings)
    if isinstance(size, Refusal):
        return size
    return _judged(
        inputs,
        target,
        entry,
        settings,
        prices=(limit, expected, stop_loss, take_profit),
        size=size,
        stop_reasons=stop.reasons,
    )


def _reachable_limit(entry: EntryPlan, settings: Settings) -> Decimal:
    """The limit, but never further beyond the market than the slippage that was reckoned with.

    A limit far on the other side of a thin book would buy its way up to it.
    """
    limit = decimal_of(entry.limit_price)
    if not entry.fills_at_once:
        return limit
    way = sign(entry.direction)
    farthest = decimal_of(entry.expected_price) * (1 + way * decimal_of(settings.slippage_pct) / _HUNDRED)
    return min(limit, farthest) if way > 0 else max(limit, farthest)


def _size(
    inputs: PlanInputs, direction: Direction, expected: Decimal, stop_loss: Decimal, settings: Settings
) -> PositionSize | Refusal:
    return size_position(
        direction,
        entry_price=expected,
        stop_price=stop_loss,
        equity_usd=inputs.account.equity_usd,
        available_usd=inputs.account.available_usd,
        risk_pct=settings.risk_per_trade_pct,
        limits=limits_of(inputs.coin),
        taker_fee_rate=inputs.fees.taker,
        slippage_pct=settings.slippage_pct,
        max_leverage=settings.max_leverage,
        maintenance_margin_rate=decimal_of(settings.maintenance_margin_pct) / _HUNDRED,
        max_notional_usd=_room_usd(inputs, settings),
    )


def _room_usd(inputs: PlanInputs, settings: Settings) -> Decimal:
    """What the exposure limits leave for this coin, USD."""
    account = inputs.account
    in_all = account.equity_usd * decimal_of(settings.max_exposure_pct) / _HUNDRED - account.exposure_usd
    in_coin = account.equity_usd * decimal_of(settings.max_coin_exposure_pct) / _HUNDRED
    return min(in_all, in_coin - account.exposure_by_symbol.get(inputs.coin.symbol, Decimal(0)))


def _judged(
    inputs: PlanInputs,
    target: LiquidationCluster,
    entry: EntryPlan,
    settings: Settings,
    *,
    prices: tuple[Decimal, Decimal, Decimal, Decimal],
    size: PositionSize,
    stop_reasons: tuple[str, ...],
) -> PlannedTrade | Refusal:
    """The last question: is it worth its risk?"""
    limit, expected, stop_loss, take_profit = prices
    record = inputs.patterns.get(target.timeframe)
    rate = record.success_rate if record is not None else settings.success_prior
    observations = record.observations if record is not None else 0
    reward_pct = float(abs(take_profit - expected) / expected * _HUNDRED)
    risk_pct = float(abs(expected - stop_loss) / expected * _HUNDRED)
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
        limit_price=limit,
        expected_entry_price=expected,
        stop_loss=stop_loss,
        take_profit=take_profit,
        size=size,
        reward_pct=reward_pct,
        risk_pct=risk_pct,
        costs_pct=costs,
        success_rate=rate,
        observations=observations,
        decision=decision,
        stop_reasons=stop_reasons,
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


def _is_between(direction: Direction, stop: Decimal, entry: Decimal, target: Decimal) -> bool:
    way = sign(direction)
    return stop > 0 and (entry - stop) * way > 0 and (target - entry) * way > 0
