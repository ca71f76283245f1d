"""An exchange over a still market, with the few words that the tests of the engine speak."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

from tests.simulator.still_market import StillMarket
from whalestack.clock import ManualClock
from whalestack.simulator.exchange.account import MarginMode
from whalestack.simulator.exchange.engine import Exchange
from whalestack.simulator.exchange.event_log import EventLog
from whalestack.simulator.exchange.order import Order, OrderSpec, OrderType, Protection, Side, TimeInForce
from whalestack.simulator.exchange.position import Position

COIN = "AAAUSDT"


def price(value: float | str | None) -> Decimal | None:
    """A Decimal of what is easy to write."""
    return None if value is None else Decimal(str(value))


class Desk:
    """Places orders and moves the price; collects what the private stream would say."""

    def __init__(self, *, equity: float = 10_000, depth_share: float = 1000.0, mode: str = "cross") -> None:
        self.clock = ManualClock()
        self.market = StillMarket(self.clock)
        self.real_ms = 0
        margin = MarginMode.CROSS if mode == "cross" else MarginMode.ISOLATED
        self.exchange = Exchange(
            self.market,
            self.clock,
            EventLog(real_ms=lambda: self.real_ms),
            equity_usd=Decimal(str(equity)),
            rng=random.Random(1),
            depth_share=depth_share,
            margin_mode=margin,
        )
        self.log = self.exchange.log
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.exchange.state.listeners.append(lambda topic, row: self.told.append((topic, row)))

    def order(
        self,
        side: str,
        qty: float | str,
        limit: float | str | None = None,
        *,
        stop: float | str | None = None,
        target: float | str | None = None,
        link_id: str = "",
        tif: TimeInForce = TimeInForce.GTC,
        reduce_only: bool = False,
        symbol: str = COIN,
        trigger: float | None = None,
        direction: int = 0,
    ) -> Order:
        """Place an order; market when no limit is given."""
        return self.exchange.place(
            OrderSpec(
                symbol=symbol,
                side=Side(side),
                order_type=OrderType.MARKET if limit is None else OrderType.LIMIT,
                qty=Decimal(str(qty)),
                price=price(limit),
                time_in_force=tif,
                link_id=link_id,
                reduce_only=reduce_only,
                protection=Protection(price(stop), price(target)),
                trigger_price=price(trigger),
                trigger_direction=direction,
            )
        )

    def move(self, value: float, *, symbol: str = COIN, seconds: float = 1.0) -> None:
        """Let time pass and put the price somewhere."""
        self.clock.advance(seconds)
        self.exchange.on_ticks([self.market.push_price(symbol, value)])

    def stops(self, stop: float | None, target: float | None = None, *, symbol: str = COIN) -> None:
        """What shall protect the position from now on."""
        self.exchange.set_stops(symbol, Protection(price(stop), price(target)))

    @property
    def position(self) -> Position:
        return self.exchange.state.position(COIN)

    @property
    def balance(self) -> Decimal:
        return self.exchange.state.account.balance

    def stats(self) -> dict[str, Any]:
        return self.exchange.stats()

    def kinds(self) -> list[str]:
        """The kinds of all events so far."""
        return [event.kind.value for event in self.log.events()]
