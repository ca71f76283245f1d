"""Many open positions soon: the rows of signals, plans and orders written together, and the rest real.

The rows are those that the automatic traders write up to the moment before an order is sent; then the
orders leave by the client's batches, and everything after that is the system's own: the private
stream, the `trade` workers, fills, trades, their news, and the monitor's first look at each.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from decimal import ROUND_UP, Decimal

from sqlalchemy import insert, text
from sqlalchemy.orm import Session

from latency_runs.system import System
from whalestack.clients.bybit.types import OrderAck, OrderRequest, Side
from whalestack.db.models import Coin, Order, Signal, TradePlan

AGENT_NAME = "benchmark"
LEAST_USD, MOST_USD = 20.0, 400.0
STOP_SHARE, TARGET_SHARE = 0.7, 3.0
# Bybit takes ten orders a second by batches.
IN_A_BATCH, BATCH_EVERY_S = 10, 1.1
OPEN_WITHIN_S = 90.0
LOOK_EVERY_S = 0.5


def open_positions(
    system: System, coins: Sequence[Coin], rng: random.Random
) -> dict[str, tuple[float, float]]:
    """LONG positions of different sizes at the market, each with its stop and a target far away.

    Args:
        system: running, its streams tell prices.
        coins: to open one position each.
        rng: of the sizes.

    Returns:
        Entry price and size by symbol, as the exchange holds them.

    Raises:
        TimeoutError: some are not open, known as trades and watched in time; says what is missing.
    """
    prices = {symbol: tick.last for symbol, tick in system.runtime.live.all().items()}
    orders = [_order(coin, prices[coin.symbol], rng) for coin in coins if coin.symbol in prices]
    with system.runtime.db.begin() as work:
        _write(work.session, system, orders, prices)
    _send(system, orders)
    _await_watched(system, {order.symbol for order in orders})
    held = {each.symbol: each for each in system.runtime.bybit.positions()}
    return {symbol: (float(each.avg_price), float(each.size)) for symbol, each in held.items()}


def _order(coin: Coin, price: float, rng: random.Random) -> OrderRequest:
    usd = Decimal(str(rng.uniform(LEAST_USD, MOST_USD)))
    wanted = max(usd / Decimal(str(price)), coin.min_order_qty)
    return OrderRequest(
        symbol=coin.symbol,
        side=Side.BUY,
        qty=(wanted / coin.qty_step).to_integral_value(ROUND_UP) * coin.qty_step,
        order_link_id=f"bench-{coin.symbol}",
        stop_loss=_on_tick(price * STOP_SHARE, coin),
        take_profit=_on_tick(price * TARGET_SHARE, coin),
    )


def _on_tick(price: float, coin: Coin) -> Decimal:
    return (Decimal(str(price)) / coin.tick_size).to_integral_value() * coin.tick_size


def _write(
    session: Session, system: System, orders: Sequence[OrderRequest], prices: Mapping[str, float]
) -> None:
    now = system.runtime.clock.now()
    # Signals that are long over: the other traders must not be asked about them.
    triggered_at = now - timedelta(hours=2)
    signals = session.scalars(
        insert(Signal).returning(Signal.id, sort_by_parameter_order=True),
        [
            {
                "symbol": order.symbol,
                "direction": "LONG",
                "occasion": f"{AGENT_NAME}:{order.symbol}",
                "scanner": AGENT_NAME,
                "triggered_at": triggered_at,
                "price": prices[order.symbol],
                "oi_change_pct": 4.0,
                "volume_spike_ratio": 2.0,
                "price_change_pct": 1.5,
                "rank": 1,
                "score": 60.0,
                "ranked_at": triggered_at,
                "status": "acted",
                "updated_at": now,
            }
            for order in orders
        ],
    ).all()
    plans = session.scalars(
        insert(TradePlan).returning(TradePlan.id, sort_by_parameter_order=True),
        [
            {
                "signal_id": signal_id,
                "agent_name": AGENT_NAME,
                "strategy": "CONSERVATIVE",
                "symbol": order.symbol,
                "direction": "LONG",
                "status": "entering",
                "stop_loss": order.stop_loss,
                "take_profit": order.take_profit,
                "qty": order.qty,
                "leverage": Decimal(1),
                "created_at": now,
                "expires_at": now + timedelta(days=1),
                "updated_at": now,
            }
            for signal_id, order in zip(signals, orders, strict=True)
        ],
    ).all()
    session.execute(
        insert(Order),
        [
            {
                "order_link_id": order.order_link_id,
                "agent_name": AGENT_NAME,
                "plan_id": plan_id,
                "symbol": order.symbol,
                "leg": "e0",
                "side": "Buy",
                "order_type": "Market",
                "time_in_force": "IOC",
                "qty": order.qty,
                "stop_loss": order.stop_loss,
                "take_profit": order.take_profit,
                "status": "sent",
                "attempts": 1,
                "created_at": now,
                "sent_at": now,
                "updated_at": now,
            }
            for plan_id, order in zip(plans, orders, strict=True)
        ],
    )


def _send(system: System, orders: Sequence[OrderRequest]) -> None:
    for first in range(0, len(orders), IN_A_BATCH):
        answers = system.runtime.bybit.place_batch(orders[first : first + IN_A_BATCH])
        bad = [answer for answer in answers if not isinstance(answer, OrderAck)]
        if bad:
            raise bad[0]
        system.supervisor.watch()
        time.sleep(BATCH_EVERY_S)


def _await_watched(system: System, symbols: Iterable[str]) -> None:
    """Until each is a trade whose next step the streams watch, and nothing of it is under way."""
    wanted = set(symbols)
    deadline = time.monotonic() + OPEN_WITHIN_S
    while True:
        with system.runtime.db.begin() as work:
            trades = set(work.session.scalars(text("select symbol from trades where status = 'open'")))
        watched = set(system.runtime.live.watches())
        if wanted <= trades & watched:
            return
        if time.monotonic() > deadline:
            known = f"{len(wanted & trades)} are trades and {len(wanted & watched)} watched"
            raise TimeoutError(f"of {len(wanted)} positions {known}")
        system.supervisor.watch()
        time.sleep(LOOK_EVERY_S)
