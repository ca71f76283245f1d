"""The exchange as its callers see it: orders in, refusals out, and the account to be asked."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal
from typing import Any

from whalestack.clock import Clock
from whalestack.simulator.exchange.account import MarginMode, MarginState
from whalestack.simulator.exchange.admission import Admission
from whalestack.simulator.exchange.event_log import EventLog, Kind
from whalestack.simulator.exchange.instrument import InstrumentRules
from whalestack.simulator.exchange.liquidity import Quote
from whalestack.simulator.exchange.matching import Matching
from whalestack.simulator.exchange.order import Order, OrderSpec, OrderType, Protection, Status
from whalestack.simulator.exchange.position import Position
from whalestack.simulator.exchange.protective_orders import STOP_LOSS
from whalestack.simulator.exchange.refusals import (
    MARGIN_MODE_NOT_MODIFIED,
    ORDER_FINISHED,
    ORDER_NOT_FOUND,
    Refused,
)
from whalestack.simulator.exchange.settlement import Settlement
from whalestack.simulator.exchange.state import ExchangeState, Fees
from whalestack.simulator.market.base import Market, Tick


class Exchange:
    """One unified account on linear USDT perpetuals, one-way mode.

    Args:
        market: what is traded.
        clock: market time.
        log: where everything is recorded.
        equity_usd: wallet balance at the start, USDT.
        rng: seeds ids and the sizes at which large orders fill in parts.
        fees: trading fees.
        depth_share: what one price level holds, as a share of an average minute's turnover; a small
            one makes ordinary orders fill in parts.
        margin_mode: cross (what a unified account starts with) or isolated.
    """

    def __init__(
        self,
        market: Market,
        clock: Clock,
        log: EventLog | None = None,
        *,
        equity_usd: Decimal | float = Decimal(10_000),
        rng: random.Random | None = None,
        fees: Fees | None = None,
        depth_share: float = 0.5,
        margin_mode: MarginMode = MarginMode.CROSS,
    ) -> None:
        self.log = EventLog() if log is None else log
        self.state = ExchangeState(
            market,
            clock,
            self.log,
            equity_usd=Decimal(str(equity_usd)),
            rng=random.Random(7) if rng is None else rng,  # noqa: S311 - repeatable, no secrets
            fees=fees or Fees(),
            depth_share=depth_share,
            margin_mode=margin_mode,
        )
        self._admission = Admission(self.state)
        self._settlement = Settlement(self.state)
        self._matching = Matching(self.state, self._settlement)

    # --- the market moves -------------------------------------------------------------------

    def on_ticks(self, ticks: list[Tick]) -> None:
        """Match, trigger, fund and liquidate along these price points, which are in time order."""
        touched = False
        for tick in ticks:
            position = self.state.positions.get(tick.symbol)
            if self.state.book.has_open(tick.symbol) or (position is not None and position.is_open):
                self._matching.on_tick(tick)
                touched = True
        if touched:
            self._matching.liquidate_account(self.state.now_ms())

    # --- orders ---------------------------------------------------------------------------------

    def place(self, spec: OrderSpec) -> Order:
        """Take an order: what it says is checked, then it meets the market.

        Raises:
            Refused: with Bybit's code; nothing has changed.
        """
        now_ms = self.state.now_ms()
        try:
            quote = self._admission.order(spec)
        except Refused as refused:
            self.log.order_refused(spec.symbol, spec.link_id, refused, now_ms)
            raise
        order = self._new_order(_on_grid(spec, self.state.rules(spec.symbol)), quote, now_ms)
        self._settlement.orders.accept(order)
        if order.status is not Status.UNTRIGGERED:
            self._matching.arrive(order, quote, now_ms)
        return order

    def cancel(self, symbol: str, *, order_id: str = "", link_id: str = "") -> Order:
        """Cancel an open order by the exchange's id or by its link id.

        Cancelling the stop or target order of a position takes the stop or target away, as on Bybit.

        Raises:
            Refused: 110001 unknown, 110008 finished already.
        """
        order = self.state.book.find(order_id=order_id, link_id=link_id)
        if order is None or order.symbol != symbol:
            raise Refused(ORDER_NOT_FOUND, "order not exists or too late to cancel")
        if not order.is_open:
            raise Refused(ORDER_FINISHED, "order already finished or canceled")
        self._cancel(order)
        return order

    def cancel_all(self, symbol: str | None = None, *, order_filter: str = "") -> list[Order]:
        """Cancel open orders of a symbol or of all.

        Args:
            symbol: None for every symbol.
            order_filter: "Order" for active orders, "StopOrder" for waiting ones; with none, every kind
                goes, the stops and targets of open positions included: that is what Bybit's page says.

        Returns:
            What was cancelled.
        """
        chosen = [
            order
            for order in self.state.book.open_orders(symbol)
            if not order_filter or (order.status is Status.UNTRIGGERED) == (order_filter == "StopOrder")
        ]
        for order in chosen:
            if order.is_open:
                self._cancel(order)
        return chosen

    def amend(
        self,
        symbol: str,
        *,
        order_id: str = "",
        link_id: str = "",
        price: Decimal | None = None,
        qty: Decimal | None = None,
        protection: Protection | None = None,
    ) -> Order:
        """Change an open limit order in place; what is None stays.

        Raises:
            Refused: unknown, finished, or the change is not allowed.
        """
        order = self.state.book.find(order_id=order_id, link_id=link_id)
        if order is None or order.symbol != symbol or not order.is_open or order.is_child:
            raise Refused(ORDER_NOT_FOUND, "order not exists or too late to replace")
        spec = replace(
            order.spec,
            price=order.price if price is None else price,
            qty=order.qty if qty is None else qty,
            protection=order.protection if protection is None else protection,
        )
        self._amend(order, spec)
        return order

    # --- positions -----------------------------------------------------------------------------------

    def set_stops(self, symbol: str, protection: Protection) -> Position:
        """Set, move or remove stop and target of a position, in place (trading-stop, Full mode).

        Args:
            symbol: of an open position.
            protection: the whole of what shall hold afterwards.

        Raises:
            Refused: 34040 when nothing would change, 10001 when a price is on the wrong side.
        """
        now_ms = self.state.now_ms()
        try:
            position = self._admission.stops(symbol, protection)
        except Refused as refused:
            data = {"code": refused.code, "text": refused.text}
            self.log.add(Kind.STOPS_REFUSED, now_ms, symbol, **data)
            raise
        self._settlement.set_protection(position, _printed(protection, self.state.rules(symbol)), now_ms)
        return position

    def set_leverage(self, symbol: str, leverage: Decimal) -> None:
        """Choose the leverage of a symbol.

        Raises:
            Refused: 110043 when it is that already, 110013 above the coin's, 110044 without margin for it.
        """
        self._admission.leverage(symbol, leverage)
        self.state.account.leverage[symbol] = leverage
        position = self.state.position(symbol)
        position.leverage = leverage
        self.log.add(Kind.LEVERAGE_SET, self.state.now_ms(), symbol, leverage=format(leverage, "f"))
        self._settlement.tell_position(position)

    def set_margin_mode(self, mode: MarginMode) -> None:
        """Switch the account between cross and isolated.

        Raises:
            Refused: 110026 when it is that already.
        """
        if mode is self.state.account.mode:
            raise Refused(MARGIN_MODE_NOT_MODIFIED, "Margin mode is not modified")
        self.state.account.mode = mode
        self.state.account.mode_changed_ms = self.state.now_ms()

    def margin(self) -> MarginState:
        """The account now."""
        return self.state.margin()

    def stats(self) -> dict[str, Any]:
        """Counts and judgements for `/sim/stats`."""
        margin = self.margin()
        return {
            **self.log.stats(self.state.now_ms()),
            "open_orders": len([o for o in self.state.book.open_orders() if not o.is_child]),
            "open_positions": len(self.state.open_positions()),
            "equity_usd": float(margin.equity),
            "wallet_balance_usd": float(margin.balance),
        }

    # --- changes of an order -------------------------------------------------------------------------------

    def _new_order(self, spec: OrderSpec, quote: Quote, now_ms: int) -> Order:
        position = self.state.position(spec.symbol)
        qty = position.closing_part(spec.side, spec.qty) if spec.reduce_only else spec.qty
        is_limit = spec.order_type is OrderType.LIMIT
        waits = spec.trigger_price is not None
        return Order(
            order_id=self.state.new_id(),
            spec=spec,
            created_ms=now_ms,
            updated_ms=now_ms,
            last_price_on_created=quote.last,
            status=Status.UNTRIGGERED if waits else Status.NEW,
            qty=qty,
            price=spec.price if is_limit else None,
            protection=spec.protection,
            stop_order_type="Stop" if waits else "",
        )

    def _cancel(self, order: Order) -> None:
        now_ms = self.state.now_ms()
        if not order.is_child:
            self._settlement.orders.cancel(order, now_ms, cancel_type="CancelByUser")
            self._settlement.tell_position(self.state.position(order.symbol))
            return
        position = self.state.position(order.symbol)
        held = position.protection
        if order.stop_order_type == STOP_LOSS:
            held = replace(held, stop_loss=None)
        else:
            held = replace(held, take_profit=None)
        self._settlement.set_protection(position, held, now_ms)

    def _amend(self, order: Order, spec: OrderSpec) -> None:
        quote, now_ms = self._admission.amendment(order, spec), self.state.now_ms()
        spec = _on_grid(spec, self.state.rules(order.symbol))
        order.spec, order.price, order.qty, order.protection = spec, spec.price, spec.qty, spec.protection
        order.updated_ms = now_ms
        self.log.order_event(Kind.ORDER_AMENDED, order, now_ms)
        self._settlement.orders.tell(order)
        if order.status is not Status.UNTRIGGERED:
            self._matching.arrive(order, quote, now_ms)


def _on_grid(spec: OrderSpec, rules: InstrumentRules) -> OrderSpec:
    """The same order with its numbers written with the instrument's places: 98 becomes 98.00."""
    return replace(
        spec,
        qty=spec.qty.quantize(rules.qty_step),
        price=None if spec.price is None else spec.price.quantize(rules.tick_size),
        protection=_printed(spec.protection, rules),
    )


def _printed(protection: Protection, rules: InstrumentRules) -> Protection:
    stop, target = protection.stop_loss, protection.take_profit
    return replace(
        protection,
        stop_loss=None if stop is None else stop.quantize(rules.tick_size),
        take_profit=None if target is None else target.quantize(rules.tick_size),
    )
