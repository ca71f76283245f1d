"""The exchange over the market that the demo plays: nothing naked, nothing lost, no look back."""

from __future__ import annotations

import random
from decimal import Decimal

from whalestack.clock import ManualClock
from whalestack.config import Settings
from whalestack.simulator.exchange.engine import Exchange
from whalestack.simulator.exchange.order import OrderSpec, OrderType, Protection, Side
from whalestack.simulator.exchange.refusals import Refused
from whalestack.simulator.world import World, build_world


def opened(exchange: Exchange, symbol: str, number: int, rng: random.Random) -> bool:
    """Place one protected limit near the market; False when the exchange says no."""
    rules, quote = exchange.state.rules(symbol), exchange.state.quote(symbol)
    side = rng.choice([Side.BUY, Side.SELL])
    limit = rules.price(float(quote.last) * (1 + rng.uniform(-0.004, 0.004)))
    stop = rules.price(float(limit) * (1 - side.sign * 0.01))
    target = rules.price(float(limit) * (1 + side.sign * 0.012))
    qty = max(rules.qty_down(Decimal(200) / limit), rules.min_qty)
    protection = Protection(stop, target)
    spec = OrderSpec(symbol, side, OrderType.LIMIT, qty, limit, link_id=f"agent-{number}_1_x_e0")
    try:
        exchange.place(OrderSpec(**{**vars(spec), "protection": protection}))
    except Refused:
        return False
    return True


def played(seed: int) -> World:
    """Three market hours of random entries over the synthetic market."""
    clock, rng = ManualClock(), random.Random(seed)
    settings = Settings(_env_file=None, simulator_coins=12, simulator_seed=seed)  # type: ignore[call-arg]
    world = build_world(settings, clock)
    for minute in range(180):
        opened(world.exchange, rng.choice(list(world.market.symbols)), minute, rng)
        for _ in range(6):
            clock.advance(10)
            world.step()
    return world


def test_three_hours_of_trading_leave_no_naked_second_and_every_dollar_is_accounted_for() -> None:
    world = played(3)
    stats, state = world.exchange.stats(), world.exchange.state
    assert stats["positions_closed"] > 10
    assert (0, 0.0, 0) == (
        stats["unprotected_spells"],
        stats["unprotected_position_seconds"],
        stats["duplicated_orders"],
    )
    booked = sum((position.realised_ever for position in state.positions.values()), Decimal(0))
    assert abs(Decimal(str(world.settings.simulator_equity_usd)) + booked - state.account.balance) < 1
    held = {symbol: position.signed for symbol, position in state.positions.items()}
    net = dict.fromkeys(held, Decimal(0))
    for execution in state.executions:
        if execution.exec_type != "Funding":
            net[execution.symbol] += execution.qty * execution.side.sign
    assert held == net


def test_the_same_seed_plays_the_same_fills() -> None:
    runs = [[(x.exec_id, x.price, x.qty) for x in played(5).exchange.state.executions] for _ in range(2)]
    assert runs[0] == runs[1]
    assert runs[0]
