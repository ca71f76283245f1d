"""A position outlives its coin's place in the universe."""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import update

from tests.agents.world import SYMBOL, World
from whalestack.db.models import Coin


def test_a_position_in_a_delisted_coin_is_managed_to_its_end(world: World) -> None:
    """The streams have let go of the coin: the monitor asks the exchange for its price, moves the
    stop, the watchdog protects it, and the close is booked. Nothing new is entered."""
    world.act(world.ready())
    world.deliver_stream()
    world.exchange.held[SYMBOL].take_profit = Decimal(300)
    with world.db.begin() as work:
        gone = {"status": "Gone", "skipped_reason": "no longer listed on Bybit"}
        work.session.execute(update(Coin).where(Coin.symbol == SYMBOL).values(**gone))
    world.set_price(112)
    world.live.forget([SYMBOL])

    assert world.agents.position_monitor.check_all().moved == 1
    assert world.exchange.held[SYMBOL].stop_loss == Decimal(100)
    world.exchange.held[SYMBOL].stop_loss = None
    world.agents.stop_watchdog.run()
    assert world.exchange.held[SYMBOL].stop_loss is not None

    signal = world.add_signal(occasion="after the delisting")
    assert world.act(signal).outcome == "refused"
    world.set_price(99)
    world.deliver_stream()
    assert [trade.status for trade in world.trades] == ["stopped_out"]
