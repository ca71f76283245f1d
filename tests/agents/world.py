"""A trading system on real PostgreSQL and Redis, with the fake exchange at its edge."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import redis
from sqlalchemy import select

from tests.agents.fake_exchange import FakeExchange
from tests.agents.trading import TradingAgents, build_trading
from whalestack.clients.bybit.port import ExchangePort
from whalestack.clients.bybit.types import Execution, OrderState
from whalestack.clock import ManualClock, to_ms
from whalestack.config import Settings
from whalestack.db.engine import Database
from whalestack.db.live import LiveMarket, LiveTick
from whalestack.db.map_heads import Head, put_heads
from whalestack.db.models import (
    AgentLog,
    Candle,
    Coin,
    CoinLiquidationPattern,
    CoinRanking,
    CoinThreshold,
    Fill,
    LiquidationCluster,
    LiquidationSnapshot,
    Order,
    OutboxMessage,
    PositionMonitorLog,
    Signal,
    Trade,
    TradePlan,
)
from whalestack.dispatch import RecordingDispatcher

SYMBOL = "COAIUSDT"


class World:
    """One account, one coin worth trading, and everything the agents need."""

    def __init__(
        self,
        *,
        db: Database,
        dispatcher: RecordingDispatcher,
        settings: Settings,
        clock: ManualClock,
        client: redis.Redis,
        port: ExchangePort | None = None,
        wall_ms: Callable[[], int] | None = None,
    ) -> None:
        self.db, self.dispatcher, self.settings, self.clock = db, dispatcher, settings, clock
        self.redis = client
        self.exchange = FakeExchange(clock)
        self.port: ExchangePort = port or self.exchange
        self.wall_ms = wall_ms or (lambda: to_ms(clock.now()))
        self.live = LiveMarket(client)
        self.agents = self.restart()

    def restart(self, settings: Settings | None = None) -> TradingAgents:
        """New agents on the same stores, as after a crash: nothing is remembered in memory."""
        self.settings = settings or self.settings
        self.agents = build_trading(
            db=self.db,
            exchange=self.port,
            live=self.live,
            settings=self.settings,
            clock=self.clock,
            redis_client=self.redis,
            wall_ms=self.wall_ms,
            sleep=lambda _seconds: None,
        )
        return self.agents

    # --- making the scene ----------------------------------------------------------------

    def add_coin(self, symbol: str = SYMBOL, **changes: Any) -> None:
        now = self.clock.now()
        values: dict[str, Any] = {
            "symbol": symbol,
            "base_coin": symbol.removesuffix("USDT"),
            "coinglass_symbol": symbol.removesuffix("USDT"),
            "tick_size": Decimal("0.01"),
            "qty_step": Decimal("0.1"),
            "min_order_qty": Decimal("0.1"),
            "max_order_qty": Decimal(100_000),
            "max_market_order_qty": Decimal(50_000),
            "min_notional_usd": Decimal(5),
            "min_leverage": Decimal(1),
            "max_leverage": Decimal(25),
            "leverage_step": Decimal("0.01"),
            "funding_interval_min": 480,
            "launched_at": now - timedelta(days=100),
            "status": "Trading",
            "turnover_24h_usd": 50e6,
            "updated_at": now,
        }
        with self.db.begin() as work:
            work.session.add(Coin(**(values | changes)))

    def add_maps(self, symbol: str = SYMBOL, price: float = 100.0, age_s: float = 10) -> None:
        """A 7d map with a cluster of shorts ahead and one of longs far below."""
        seen_at = self.clock.now() - timedelta(seconds=age_s)
        with self.db.begin() as work:
            work.session.add(
                LiquidationSnapshot(
                    symbol=symbol,
                    timeframe="7d",
                    fetched_at=seen_at,
                    price=price,
                    prices=[],
                    values=[],
                    source="t",
                )
            )
            put_heads(work.session, [Head(symbol, "7d", seen_at, seen_at, None, price, "")])
            for side, low, high in (("short", 1.10, 1.12), ("long", 0.70, 0.72)):
                work.session.add(
                    LiquidationCluster(
                        symbol=symbol,
                        timeframe="7d",
                        side=side,
                        price_low=price * low,
                        price_high=price * high,
                        price_center=price * (low + high) / 2,
                        leverage=1e6,
                        detected_price=price,
                        distance_pct=10.0,
                        detected_at=seen_at,
                        last_seen_at=seen_at,
                        horizon_at=seen_at + timedelta(days=7),
                    )
                )

    def add_maps_again(self) -> None:
        """The next refresh: the same clusters, seen now."""
        now = self.clock.now()
        with self.db.begin() as work:
            for cluster in work.session.scalars(select(LiquidationCluster)):
                cluster.last_seen_at = now
            work.session.add(
                LiquidationSnapshot(
                    symbol=SYMBOL, timeframe="7d", fetched_at=now, price=100, prices=[], values=[], source="t"
                )
            )
            put_heads(work.session, [Head(SYMBOL, "7d", now, now, None, 100.0, "")])

    def add_cluster(self, side: str, low: float, high: float, timeframe: str = "7d", **changes: Any) -> int:
        """One more cluster that stands in the latest map of its range."""
        now = self.clock.now()
        values: dict[str, Any] = {
            "symbol": SYMBOL,
            "timeframe": timeframe,
            "side": side,
            "price_low": low,
            "price_high": high,
            "price_center": (low + high) / 2,
            "leverage": 1e6,
            "detected_price": 100.0,
            "distance_pct": 10.0,
            "detected_at": now,
            "last_seen_at": now,
            "horizon_at": now + timedelta(days=7),
        }
        with self.db.begin() as work:
            cluster = LiquidationCluster(**(values | changes))
            work.session.add(cluster)
            work.session.flush()
            return cluster.id

    def add_pattern(self, symbol: str = SYMBOL, **changes: Any) -> None:
        values: dict[str, Any] = {
            "symbol": symbol,
            "timeframe": "7d",
            "avg_cluster_size": 1e6,
            "success_rate": 0.7,
            "hits": 70,
            "observations": 100,
            "max_wick_up_pct": 6.0,
            "max_wick_down_pct": 6.0,
            "updated_at": self.clock.now(),
        }
        with self.db.begin() as work:
            work.session.add(CoinLiquidationPattern(**(values | changes)))

    def add_map_of(self, timeframe: str) -> None:
        """The latest map of one more range, without clusters."""
        now = self.clock.now()
        with self.db.begin() as work:
            put_heads(work.session, [Head(SYMBOL, timeframe, now, now, None, 100.0, "")])
            work.session.add(
                LiquidationSnapshot(
                    symbol=SYMBOL,
                    timeframe=timeframe,
                    fetched_at=now,
                    price=100.0,
                    prices=[],
                    values=[],
                    source="t",
                )
            )

    def add_threshold(self, least_usd: float, **changes: Any) -> None:
        values: dict[str, Any] = {
            "symbol": SYMBOL,
            "min_cluster_threshold": least_usd,
            "avg_cluster_size": least_usd * 10,
            "last_updated": self.clock.now(),
        }
        with self.db.begin() as work:
            work.session.add(CoinThreshold(**(values | changes)))

    def add_ranking(self, direction: str) -> None:
        with self.db.begin() as work:
            work.session.add(
                CoinRanking(
                    symbol=SYMBOL, created_at=self.clock.now(), rank=1, direction=direction, score=60.0
                )
            )

    def add_candles(self, low: float, interval: str = "60") -> None:
        """Fifty hours of candles whose lows run down to `low`, one an hour."""
        with self.db.begin() as work:
            for hour in range(50):
                work.session.add(
                    Candle(
                        symbol=SYMBOL,
                        interval=interval,
                        start_at=self.clock.now() - timedelta(hours=hour + 1),
                        open=100.0,
                        high=100.5,
                        low=low,
                        close=100.0,
                        volume=1.0,
                        turnover_usd=100.0,
                    )
                )

    def add_signal(self, symbol: str = SYMBOL, direction: str = "LONG", occasion: str = "") -> int:
        now = self.clock.now()
        signal = Signal(
            symbol=symbol,
            direction=direction,
            occasion=occasion or f"{symbol}:{direction}:{to_ms(now)}",
            scanner="signals",
            triggered_at=now,
            price=100.0,
            oi_change_pct=4.0,
            volume_spike_ratio=2.0,
            price_change_pct=1.5,
            rank=1,
            score=60.0,
            ranked_at=now,
            updated_at=now,
        )
        with self.db.begin() as work:
            work.session.add(signal)
            work.session.flush()
            return signal.id

    def set_price(self, price: float | str, symbol: str = SYMBOL) -> None:
        """Move the market, on the exchange and in the live store."""
        self.exchange.set_price(symbol, Decimal(str(price)))
        self.set_tick(price, symbol)

    def set_tick(self, price: float | str, symbol: str = SYMBOL) -> None:
        last = float(price)
        self.live.put_many([LiveTick(symbol, self.clock.now_ms(), last, last, last, last, 1e6, 50e6, 0.01)])

    def ready(self, price: float = 100.0, symbol: str = SYMBOL) -> int:
        """Everything in place for an entry at `price`; returns the signal."""
        self.add_coin(symbol)
        self.add_maps(symbol, price)
        self.add_pattern(symbol)
        self.set_price(price, symbol)
        self.agents.reconciler.run()
        return self.add_signal(symbol)

    def act(self, signal_id: int) -> Any:
        return self.agents.autotrader.act_on_signal(signal_id)

    def deliver_stream(self) -> None:
        """Hand everything the exchange ever did to the keeper, as the private stream would."""
        keeper, now_ms = self.agents.order_keeper, self.clock.now_ms()
        orders = [order_row(each.state) for each in self.exchange.orders.values()]
        keeper.apply_event("order", orders, now_ms)
        keeper.apply_event("execution", [execution_row(each) for each in self.exchange.fills], now_ms)

    # --- looking at it -----------------------------------------------------------------------

    def _all(self, model: Any, *order_by: Any) -> list[Any]:
        with self.db.begin() as work:
            return list(work.session.scalars(select(model).order_by(*order_by)).all())

    @property
    def orders(self) -> list[Order]:
        return self._all(Order, Order.created_at, Order.order_link_id)

    @property
    def plans(self) -> list[TradePlan]:
        return self._all(TradePlan, TradePlan.id)

    @property
    def trades(self) -> list[Trade]:
        return self._all(Trade, Trade.id)

    @property
    def fills(self) -> list[Fill]:
        return self._all(Fill, Fill.executed_at, Fill.exec_id)

    @property
    def clusters(self) -> list[LiquidationCluster]:
        return self._all(LiquidationCluster, LiquidationCluster.id)

    @property
    def patterns(self) -> list[CoinLiquidationPattern]:
        return self._all(CoinLiquidationPattern, CoinLiquidationPattern.symbol)

    @property
    def signals(self) -> list[Signal]:
        return self._all(Signal, Signal.id)

    @property
    def messages(self) -> list[OutboxMessage]:
        return self._all(OutboxMessage, OutboxMessage.id)

    @property
    def stop_moves(self) -> list[PositionMonitorLog]:
        return self._all(PositionMonitorLog, PositionMonitorLog.id)

    @property
    def log(self) -> list[AgentLog]:
        return self._all(AgentLog, AgentLog.id)

    def told(self, kind: str) -> list[str]:
        """The text of each message of a kind, once, however many channels hear it."""
        by_event = {message.event_key: message.text for message in self.messages if message.kind == kind}
        return list(by_event.values())

    def jobs(self, task: str) -> list[dict[str, object]]:
        return [job.kwargs for job in self.dispatcher.jobs if job.task == task]


def order_row(state: OrderState) -> dict[str, Any]:
    """An order as the private stream tells it."""
    return {
        "symbol": state.symbol,
        "orderId": state.exchange_order_id,
        "orderLinkId": state.order_link_id,
        "side": state.side.value,
        "orderType": state.order_type,
        "orderStatus": state.status,
        "price": str(state.price),
        "qty": str(state.qty),
        "cumExecQty": str(state.filled_qty),
        "avgPrice": str(state.avg_fill_price or ""),
        "reduceOnly": state.reduce_only,
        "stopOrderType": state.stop_order_type,
        "stopLoss": str(state.stop_loss or ""),
        "takeProfit": str(state.take_profit or ""),
        "rejectReason": "EC_NoError",
        "createdTime": str(to_ms(state.created_at)),
        "updatedTime": str(to_ms(state.updated_at)),
    }


def execution_row(execution: Execution) -> dict[str, Any]:
    """A fill as the private stream tells it."""
    return {
        "execId": execution.exec_id,
        "symbol": execution.symbol,
        "orderId": execution.exchange_order_id,
        "orderLinkId": execution.order_link_id,
        "side": execution.side.value,
        "execPrice": str(execution.price),
        "execQty": str(execution.qty),
        "execFee": str(execution.fee_usd),
        "isMaker": execution.is_maker,
        "execType": execution.exec_type,
        "stopOrderType": execution.stop_order_type or "UNKNOWN",
        "closedSize": str(execution.closed_qty),
        "leavesQty": str(execution.leaves_qty),
        "execTime": str(to_ms(execution.executed_at)),
    }
