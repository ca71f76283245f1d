"""The exchange's objects as Bybit's JSON rows. Almost every number is a string.

Where REST and stream differ (avgPrice and entryPrice, "0.00" and ""), they differ here as in the
official examples, which the tests compare field by field.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from whalestack.simulator.exchange.account import MarginMode, MarginState, Marked
from whalestack.simulator.exchange.order import ZERO, ClosedPnl, Execution, Order, Protection, Side
from whalestack.simulator.exchange.position import Position

EIGHT_PLACES = Decimal("0.00000001")
RISK_LIMIT_USD = Decimal(2_000_000)

Row = dict[str, Any]


def text(value: Decimal | None, missing: str = "0") -> str:
    """A number in plain notation, without an exponent."""
    return missing if value is None else format(value, "f")


def money(value: Decimal) -> str:
    """An amount in USDT, eight places, without trailing zeros."""
    return format(value.quantize(EIGHT_PLACES).normalize() + ZERO, "f")


def trimmed(value: Decimal) -> str:
    """A computed price or ratio, eight places at most."""
    return money(value)


def order_row(order: Order) -> Row:
    """An order of `/v5/order/realtime` and `/v5/order/history`."""
    return {
        **_order_core(order),
        "isLeverage": "",
        "orderIv": "",
        "placeType": "",
        "stopOrderType": order.stop_order_type or "UNKNOWN",
        "triggerPrice": text(order.spec.trigger_price, "0.00"),
        "triggerBy": order.spec.trigger_by.value if order.spec.trigger_price else "UNKNOWN",
        "takeProfit": text(order.protection.take_profit, "0.00"),
        "stopLoss": text(order.protection.stop_loss, "0.00"),
        **_trigger_bys(order.protection, "UNKNOWN"),
        "slippageToleranceType": "UNKNOWN",
        "slippageTolerance": "",
        "extraFees": "",
    }


def order_stream_row(order: Order) -> Row:
    """An order of the private `order` topic."""
    return {
        "category": "linear",
        **_order_core(order),
        "orderIv": "",
        "placeType": "",
        "closedPnl": money(order.closed_pnl),
        "stopOrderType": order.stop_order_type,
        "triggerPrice": text(order.spec.trigger_price, ""),
        "triggerBy": order.spec.trigger_by.value if order.spec.trigger_price else "",
        "takeProfit": text(order.protection.take_profit, ""),
        "stopLoss": text(order.protection.stop_loss, ""),
        **_trigger_bys(order.protection, ""),
        "feeCurrency": "USDT",
    }


def execution_row(execution: Execution) -> Row:
    """An execution of `/v5/execution/list`."""
    return {
        **_execution_core(execution),
        "createType": execution.order.create_type,
        "extraFees": "",
    }


def execution_stream_row(execution: Execution) -> Row:
    """An execution of the private `execution` topic."""
    return {
        "category": "linear",
        **_execution_core(execution),
        "isLeverage": "0",
        "marketUnit": "",
        "execPnl": money(execution.pnl),
        "createType": execution.order.create_type,
        "extraFees": [],
    }


def position_row(marked: Marked, liquidation: Decimal | None, bankruptcy: Decimal) -> Row:
    """A position of `/v5/position/list`; of an empty one side is "" and size "0"."""
    row = _position_core(marked, liquidation, bankruptcy)
    return {
        **row,
        "avgPrice": trimmed(marked.position.average_price),
        "liqPrice": text(liquidation, ""),
        "takeProfit": text(marked.position.protection.take_profit, ""),
        "stopLoss": text(marked.position.protection.stop_loss, ""),
        "mmrSysUpdateTime": "",
        "openTime": str(marked.position.opened_ms),
    }


def position_stream_row(marked: Marked, liquidation: Decimal | None, bankruptcy: Decimal) -> Row:
    """A position of the private `position` topic: entryPrice instead of avgPrice."""
    row = _position_core(marked, liquidation, bankruptcy)
    return {
        **row,
        "category": "linear",
        "entryPrice": trimmed(marked.position.average_price),
        "liqPrice": text(liquidation, "0"),
        "takeProfit": text(marked.position.protection.take_profit, "0"),
        "stopLoss": text(marked.position.protection.stop_loss, "0"),
        "mmrSysUpdatedTime": "",
    }


def closed_pnl_row(closed: ClosedPnl) -> Row:
    """A row of `/v5/position/closed-pnl`; closedPnl is after fees and funding."""
    order = closed.order
    return {
        "symbol": order.symbol,
        "orderType": order.spec.order_type.value,
        "leverage": trimmed(closed.leverage),
        "updatedTime": str(closed.updated_ms),
        "side": order.side.value,
        "orderId": order.order_id,
        "closedPnl": money(closed.pnl),
        "avgEntryPrice": trimmed(closed.entry_value / closed.qty),
        "qty": text(order.qty),
        "cumEntryValue": money(closed.entry_value),
        "createdTime": str(closed.created_ms),
        "orderPrice": text(order.price),
        "closedSize": text(closed.qty),
        "avgExitPrice": trimmed(closed.exit_value / closed.qty),
        "execType": closed.exec_type,
        "fillCount": str(closed.fill_count),
        "cumExitValue": money(closed.exit_value),
        "openFee": money(closed.open_fee),
        "closeFee": money(closed.close_fee),
    }


def wallet_row(state: MarginState, realised_ever: Decimal) -> Row:
    """The account of `/v5/account/wallet-balance` and of the `wallet` topic.

    In isolated margin the account-wide figures do not apply and are "".
    """
    cross = state.mode is MarginMode.CROSS
    equity = max(state.equity, EIGHT_PLACES)
    wide = {
        "accountIMRate": trimmed(state.initial_margin / equity),
        "accountMMRate": trimmed(state.maintenance / equity),
        "totalMarginBalance": money(state.equity),
        "totalInitialMargin": money(state.initial_margin),
        "totalAvailableBalance": money(state.available),
        "totalMaintenanceMargin": money(state.maintenance),
    }
    for name in ("accountIMRate", "accountMMRate", "totalInitialMargin", "totalMaintenanceMargin"):
        wide[f"{name}ByMp"] = wide[name]
    return {
        **(wide if cross else dict.fromkeys(wide, "")),
        "accountType": "UNIFIED",
        "accountLTV": "0",
        "totalEquity": money(state.equity),
        "totalPerpUPL": money(state.unrealised),
        "totalWalletBalance": money(state.balance),
        "coin": [_coin_row(state, realised_ever)],
    }


def _coin_row(state: MarginState, realised_ever: Decimal) -> Row:
    return {
        "coin": "USDT",
        "equity": money(state.equity),
        "usdValue": money(state.equity),
        "walletBalance": money(state.balance),
        "unrealisedPnl": money(state.unrealised),
        "cumRealisedPnl": money(realised_ever),
        "totalOrderIM": money(state.order_margin),
        "totalPositionIM": money(state.position_margin),
        "totalPositionMM": money(state.maintenance),
        "availableToBorrow": "",
        "availableToWithdraw": "",
        "bonus": "0",
        "accruedInterest": "0",
        "borrowAmount": "0",
        "spotBorrow": "0",
        "spotHedgingQty": "0",
        "locked": "0",
        "collateralSwitch": True,
        "marginCollateral": True,
    }


def _order_core(order: Order) -> Row:
    spec = order.spec
    average = order.average_price
    leaves = order.leaves_qty
    return {
        "symbol": order.symbol,
        "orderId": order.order_id,
        "orderLinkId": order.link_id,
        "parentOrderLinkId": order.parent_link_id,
        "blockTradeId": "",
        "side": order.side.value,
        "orderType": spec.order_type.value,
        "price": text(order.price),
        "qty": text(order.qty),
        "positionIdx": 0,
        "timeInForce": spec.time_in_force.value,
        "orderStatus": order.status.value,
        "createType": order.create_type,
        "cancelType": order.cancel_type,
        "rejectReason": order.reject_reason,
        "avgPrice": "" if average is None else trimmed(average),
        "leavesQty": text(leaves),
        "leavesValue": money(leaves * (order.price or ZERO)),
        "cumExecQty": text(order.filled_qty),
        "cumExecValue": money(order.filled_value),
        "cumExecFee": money(order.fee),
        "cumFeeDetail": {"USDT": money(order.fee)} if order.fee else {},
        "triggerDirection": spec.trigger_direction,
        "tpslMode": "" if order.protection.is_empty and not order.is_child else "Full",
        "tpLimitPrice": "",
        "slLimitPrice": "",
        "lastPriceOnCreated": text(order.last_price_on_created),
        "reduceOnly": spec.reduce_only,
        "closeOnTrigger": spec.close_on_trigger,
        "smpType": "None",
        "smpGroup": 0,
        "smpOrderId": "",
        "rpiTakerAccess": False,
        "rpiMatchedQty": "0",
        "createdTime": str(order.created_ms),
        "updatedTime": str(order.updated_ms),
    }


def _trigger_bys(protection: Protection, missing: str) -> Row:
    return {
        "tpTriggerBy": missing if protection.take_profit is None else protection.target_by.value,
        "slTriggerBy": missing if protection.stop_loss is None else protection.stop_by.value,
    }


def _execution_core(execution: Execution) -> Row:
    order = execution.order
    return {
        "symbol": execution.symbol,
        "orderId": order.order_id,
        "orderLinkId": order.link_id,
        "side": execution.side.value,
        "orderType": "UNKNOWN" if execution.exec_type == "Funding" else order.spec.order_type.value,
        "stopOrderType": order.stop_order_type or "UNKNOWN",
        "orderPrice": text(order.price),
        "orderQty": text(order.qty),
        "leavesQty": text(execution.leaves_qty),
        "execId": execution.exec_id,
        "execType": execution.exec_type,
        "execPrice": text(execution.price),
        "execQty": text(execution.qty),
        "execValue": money(execution.value),
        "execFee": money(execution.fee),
        "feeRate": text(execution.fee_rate),
        "feeCurrency": "USDT",
        "execTime": str(execution.executed_ms),
        "isMaker": execution.is_maker,
        "closedSize": text(execution.closed_qty),
        "markPrice": text(execution.mark_price),
        "indexPrice": "",
        "underlyingPrice": "",
        "markIv": "",
        "tradeIv": "",
        "blockTradeId": "",
        "seq": execution.seq,
    }


def _position_core(marked: Marked, liquidation: Decimal | None, bankruptcy: Decimal) -> Row:
    position = marked.position
    side: Side | None = position.side
    held = position.is_open
    return {
        "positionIdx": 0,
        "riskId": 1,
        "riskLimitValue": text(RISK_LIMIT_USD),
        "symbol": position.symbol,
        "side": "" if side is None else side.value,
        "size": text(position.size),
        "positionValue": money(position.entry_value),
        "positionBalance": money(marked.initial_margin) if held else "0",
        "tradeMode": 0,
        "positionStatus": "Normal",
        "autoAddMargin": 0,
        "adlRankIndicator": 2 if held else 0,
        "leverage": trimmed(position.leverage),
        "breakEvenPrice": trimmed(break_even_price(position)) if held else "",
        "markPrice": text(marked.mark),
        "bustPrice": trimmed(bankruptcy) if held else "",
        "positionIM": money(marked.initial_margin),
        "positionIMByMp": money(marked.initial_margin),
        "positionMM": money(marked.maintenance_margin),
        "positionMMByMp": money(marked.maintenance_margin),
        "tpslMode": "Full",
        "trailingStop": "0",
        "sessionAvgPrice": "",
        "unrealisedPnl": money(marked.profit),
        "curRealisedPnl": money(position.realised),
        "cumRealisedPnl": money(position.realised_ever),
        "seq": position.seq,
        "isReduceOnly": False,
        "leverageSysUpdatedTime": "",
        "createdTime": str(position.created_ms),
        "updatedTime": str(position.updated_ms),
    }


def break_even_price(position: Position) -> Decimal:
    """Where the position's profit makes up for what it has cost so far, USDT."""
    return position.average_price - position.realised / position.signed
