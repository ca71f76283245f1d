"""From an entry to orders that can be sent: one limit or a ladder, with one stop and one target.

A ladder is preferred where it is switched on, the capital allows it, and every rung is an order
that the exchange takes; with too little for so many rungs, fewer are tried, then one order.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from whalestack.agents.plan_inputs import PlanInputs
from whalestack.agents.targets import attractive, cluster_value
from whalestack.config import Settings
from whalestack.db.models import Coin
from whalestack.math.directions import Direction, sign
from whalestack.math.entry import EntryPlan
from whalestack.math.ladder import Rung, RungCount, allowed_rungs, rung_count
from whalestack.math.ladder_sizing import LadderShape, size_ladder
from whalestack.math.refusals import Refusal
from whalestack.math.rounding import decimal_of, round_entry, round_stop, round_take_profit
from whalestack.math.sizing import InstrumentLimits, PositionSize, size_position
from whalestack.math.stops import StopChoice, choose_stop

_HUNDRED = Decimal(100)
ONE_ORDER = 1


@dataclass(frozen=True)
class SizedEntry:
    """Orders as they will be sent.

    Args:
        rungs: prices and quantities, nearest to the market first; a single order is one rung.
        expected_price: the average entry when every rung fills. Stop, reward and risk are
            reckoned from it; a ladder that fills in part risks less and earns less. The size and its
            worst loss are reckoned from the limits: no fill can be worse.
        stop_loss, take_profit: of the whole position, carried by every rung.
        size: of the whole.
        stop_reasons: what moved the stop there.
        no_ladder: why it is a single order, None for a ladder.
    """

    rungs: tuple[Rung, ...]
    expected_price: Decimal
    stop_loss: Decimal
    take_profit: Decimal
    size: PositionSize
    stop_reasons: tuple[str, ...]
    no_ladder: Refusal | None = None


@dataclass(frozen=True)
class _Protection:
    """A stop and a target, rounded."""

    stop_loss: Decimal
    take_profit: Decimal
    reasons: tuple[str, ...]


def size_entry(
    inputs: PlanInputs, entry: EntryPlan, wick_pct: float | None, settings: Settings
) -> SizedEntry | Refusal:
    """The orders of an entry, or why there can be none.

    `wick_pct` is how far wicks run against it, per cent; None without a record.
    """
    limit = round_entry(entry.direction, _reachable_limit(entry, settings), inputs.coin.tick_size)
    ladder = _as_ladder(inputs, entry, limit, wick_pct, settings)
    if isinstance(ladder, SizedEntry):
        return ladder
    return _as_one_order(inputs, entry, limit, wick_pct, settings, ladder)


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


def _as_one_order(
    inputs: PlanInputs,
    entry: EntryPlan,
    limit: Decimal,
    wick_pct: float | None,
    settings: Settings,
    no_ladder: Refusal,
) -> SizedEntry | Refusal:
    expected = _expected(entry, limit)
    protection = _protection(inputs, entry, expected, wick_pct, settings)
    if isinstance(protection, Refusal):
        return protection
    size = _size(inputs, entry.direction, expected, limit, protection.stop_loss, settings)
    if isinstance(size, Refusal):
        return size
    return SizedEntry(
        rungs=(Rung(limit, size.qty),),
        expected_price=expected,
        stop_loss=protection.stop_loss,
        take_profit=protection.take_profit,
        size=size,
        stop_reasons=protection.reasons,
        no_ladder=no_ladder,
    )


# --- ladders -------------------------------------------------------------------------------


def _as_ladder(
    inputs: PlanInputs, entry: EntryPlan, limit: Decimal, wick_pct: float | None, settings: Settings
) -> SizedEntry | Refusal:
    """The deepest ladder that works, or why the deepest that was wanted does not."""
    allowed = _allowed(inputs, settings)
    if isinstance(allowed, Refusal):
        return allowed
    most = rung_count(settings.ladder_rungs, inputs.account.equity_usd, allowed)
    first_refusal: Refusal | None = None
    for count in range(most, allowed.least - 1, -1):
        shape = _shape(entry.direction, limit, count, settings)
        sized = _with_rungs(inputs, entry, shape, wick_pct, settings)
        if isinstance(sized, SizedEntry):
            return sized
        first_refusal = first_refusal or sized
    return first_refusal or Refusal("bad_ladder", f"no ladder of {allowed.least} to {most} rungs")


def _allowed(inputs: PlanInputs, settings: Settings) -> RungCount | Refusal:
    if settings.ladder_rungs == ONE_ORDER:
        return Refusal("ladder_off", "ladders are switched off")
    coin = inputs.coin
    listed = {coin.symbol} if {coin.symbol, coin.base_coin} & set(settings.ladder_coins) else set()
    return allowed_rungs(inputs.account.equity_usd, coin.symbol, listed)


def _shape(direction: Direction, near: Decimal, count: int, settings: Settings) -> LadderShape:
    depth = decimal_of(settings.ladder_depth_pct) / _HUNDRED
    return LadderShape(
        near=near,
        far=near * (1 - sign(direction) * depth),
        count=count,
        sizes=settings.ladder_sizes,
        ratio=settings.ladder_ratio,
        spacing=settings.ladder_spacing,
    )


def _with_rungs(
    inputs: PlanInputs, entry: EntryPlan, shape: LadderShape, wick_pct: float | None, settings: Settings
) -> SizedEntry | Refusal:
    """The stop is chosen from the average entry: that is the price the whole position has."""
    average = shape.average(entry.direction, inputs.coin.tick_size)
    protection = _protection(inputs, entry, average, wick_pct, settings)
    if isinstance(protection, Refusal):
        return protection
    account = inputs.account
    sized = size_ladder(
        entry.direction,
        shape,
        stop_price=protection.stop_loss,
        tick=inputs.coin.tick_size,
        equity_usd=account.equity_usd,
        available_usd=account.available_usd,
        risk_pct=settings.risk_per_trade_pct,
        limits=limits_of(inputs.coin),
        taker_fee_rate=inputs.fees.taker,
        slippage_pct=settings.slippage_pct,
        max_leverage=settings.max_leverage,
        maintenance_margin_rate=decimal_of(settings.maintenance_margin_pct) / _HUNDRED,
        max_notional_usd=_room_usd(inputs, settings),
    )
    if isinstance(sized, Refusal):
        return sized
    ladder, size = sized
    return SizedEntry(
        rungs=ladder.rungs,
        expected_price=ladder.average_entry,
        stop_loss=protection.stop_loss,
        take_profit=protection.take_profit,
        size=size,
        stop_reasons=protection.reasons,
    )


# --- prices and sizes ------------------------------------------------------------------------


def _protection(
    inputs: PlanInputs, entry: EntryPlan, expected: Decimal, wick_pct: float | None, settings: Settings
) -> _Protection | Refusal:
    tick_size = inputs.coin.tick_size
    stop = _stop(inputs, entry, expected, wick_pct, settings)
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
    return _Protection(stop_loss, take_profit, stop.reasons)


def _stop(
    inputs: PlanInputs, entry: EntryPlan, expected: Decimal, wick_pct: float | None, settings: Settings
) -> StopChoice | Refusal:
    return choose_stop(
        entry.direction,
        float(expected),
        wick_pct=wick_pct,
        clusters=[cluster_value(each) for each in attractive(inputs)],
        stop_min_pct=settings.stop_min_pct,
        stop_max_pct=settings.stop_max_pct,
        beyond_pct=settings.stop_beyond_cluster_pct,
        stop_beyond=entry.stop_beyond,
    )


def _expected(entry: EntryPlan, limit: Decimal) -> Decimal:
    """The price that is reckoned with: the market's where the limit, rounded, still lies beyond it."""
    market = decimal_of(entry.expected_price)
    is_beyond = (limit - market) * sign(entry.direction) >= 0
    return market if entry.fills_at_once and is_beyond else limit


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
    inputs: PlanInputs,
    direction: Direction,
    expected: Decimal,
    limit: Decimal,
    stop_loss: Decimal,
    settings: Settings,
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
        limit_price=limit,
    )


def _room_usd(inputs: PlanInputs, settings: Settings) -> Decimal:
    """What the exposure limits leave for this coin, USD."""
    account = inputs.account
    in_all = account.equity_usd * decimal_of(settings.max_exposure_pct) / _HUNDRED - account.exposure_usd
    in_coin = account.equity_usd * decimal_of(settings.max_coin_exposure_pct) / _HUNDRED
    return min(in_all, in_coin - account.exposure_by_symbol.get(inputs.coin.symbol, Decimal(0)))


def _is_between(direction: Direction, stop: Decimal, entry: Decimal, target: Decimal) -> bool:
    way = sign(direction)
    return stop > 0 and (entry - stop) * way > 0 and (target - entry) * way > 0
