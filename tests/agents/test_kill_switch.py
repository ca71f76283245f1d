"""The kill switch, from every door it has, with stores away and workers dead."""

from __future__ import annotations

from decimal import Decimal

import pytest
import redis
from pydantic import SecretStr
from sqlalchemy import event, text

from tests.agents.world import SYMBOL, World
from whalestack.agents.kill_switch import KILL_KEY, KillSwitch
from whalestack.clients.bybit.types import Side
from whalestack.config import Settings
from whalestack.db.state_redis import state_client
from whalestack.errors import TryAgain


def away() -> redis.Redis:
    """A Redis that is not there."""
    nowhere = Settings(_env_file=None, redis_state_url=SecretStr("redis://127.0.0.1:1/1"))
    return state_client(nowhere, timeout_s=0.2)


def test_it_stops_entries_and_releases_them(world: World) -> None:
    signal_id = world.ready()
    world.agents.kill_switch.engage(reason="fear", set_by="owner")
    report = world.act(signal_id)
    assert report.reasons == ("kill_switch",)
    world.agents.kill_switch.release(set_by="owner")
    assert world.act(world.add_signal(occasion="after")).outcome == "sent"


def test_it_stops_an_order_in_the_last_moment_before_it_is_sent(world: World) -> None:
    """Thrown as the intent is written: it is refused, not sent."""
    signal_id = world.ready()

    def throw(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "insert into orders" in statement:
            world.agents.kill_switch.engage(reason="x", set_by="o")

    event.listen(world.db.engine, "after_cursor_execute", throw)
    try:
        world.act(signal_id)
    finally:
        event.remove(world.db.engine, "after_cursor_execute", throw)
    assert [(order.status, order.reason) for order in world.orders] == [("refused", "kill_switch")]
    assert world.exchange.accepted == {}


@pytest.mark.parametrize("value", ["1", "", "{}", "true", '{"reason": "cli", "set_by": "me"}', "[", "\xff"])
def test_whatever_stands_in_the_key_stops_trading(world: World, value: str) -> None:
    """Somebody in a hurry writes what he likes."""
    signal_id = world.ready()
    world.redis.set(KILL_KEY, value)
    assert world.act(signal_id).reasons == ("kill_switch",)


def test_it_outlives_a_restart_of_redis(world: World) -> None:
    """The row says on, the key is gone: it is on."""
    world.agents.kill_switch.engage(reason="fear", set_by="owner")
    world.redis.flushdb()
    assert world.agents.kill_switch.state().is_on


def test_a_key_set_by_hand_is_mirrored_before_redis_can_forget_it(world: World) -> None:
    world.redis.set(KILL_KEY, "1")
    world.agents.reconciler.run()
    world.redis.flushdb()
    assert world.agents.kill_switch.state().is_on


def test_it_works_without_redis(world: World) -> None:
    switch = KillSwitch(db=world.db, client=away(), clock=world.clock)
    switch.engage(reason="fear", set_by="owner")
    assert switch.state().is_on
    with pytest.raises(TryAgain):
        switch.release(set_by="owner")
    assert switch.state().is_on


def test_it_works_without_the_database(world: World) -> None:
    """Redis alone stops trading; the row follows when the database is back."""
    with world.db.begin() as work:
        work.session.execute(text("alter table switches rename to gone"))
    world.agents.kill_switch.engage(reason="fear", set_by="owner")
    with world.db.begin() as work:
        work.session.execute(text("alter table gone rename to switches"))
    assert world.agents.kill_switch.state().is_on
    world.agents.kill_switch.mirror()
    world.redis.flushdb()
    assert world.agents.kill_switch.state().is_on


def test_without_either_store_it_says_so(world: World) -> None:
    with world.db.begin() as work:
        work.session.execute(text("alter table switches rename to gone"))
    with pytest.raises(TryAgain):
        KillSwitch(db=world.db, client=away(), clock=world.clock).engage(reason="fear", set_by="owner")


def test_carried_out_it_cancels_entries_and_leaves_stops_alone(world: World) -> None:
    """A position keeps its protection; what could still open is cancelled."""
    signal_id = world.ready()
    world.set_price("109.5")
    world.act(signal_id)
    world.exchange.fill(world.orders[0].order_link_id, Decimal(3))
    world.deliver_stream()
    world.agents.kill_switch.engage(reason="fear", set_by="owner")
    report = world.agents.kill_enforcer.run()
    world.agents.order_keeper.poll()

    assert (report.was_on, report.plans_ended) == (True, 1)
    assert [order.status for order in world.orders] == ["cancelled"]
    assert world.exchange.held[SYMBOL].stop_loss is not None


def test_an_order_that_was_on_its_way_is_cancelled_by_the_next_minute(world: World) -> None:
    """It left before the switch was thrown and arrived after the cancels."""
    signal_id = world.ready()
    world.set_price("109.5")
    world.exchange.hooks["place"] = lambda: world.agents.kill_switch.engage(reason="x", set_by="o")
    world.act(signal_id)
    assert [order.status for order in world.orders] == ["new"]
    world.agents.reconciler.run()
    world.agents.order_keeper.poll()
    assert [order.status for order in world.orders] == ["cancelled"]


def test_on_request_it_closes_everything_once(world: World) -> None:
    """Reduce-only, at the market, under its own name; run again it finds nothing to do."""
    world.act(world.ready())
    world.deliver_stream()
    world.agents.kill_switch.engage(reason="fear", set_by="owner", close_positions=True)
    for _ in range(3):
        report = world.agents.kill_enforcer.run()
    world.agents.order_keeper.poll()

    assert report.open_positions is None or report.open_positions == 0
    assert world.exchange.held == {}
    exits = [order for order in world.orders if order.reduce_only]
    assert [(order.agent_name, order.status) for order in exits] == [("kill-switch", "filled")]
    assert [trade.exit_reason for trade in world.trades] == ["kill-switch"]
    state = world.agents.kill_switch.state()
    assert (state.is_on, state.close_positions) == (True, False)


def test_a_position_larger_than_one_market_order_is_closed_in_parts(world: World) -> None:
    world.add_coin(max_market_order_qty=Decimal(4))
    world.exchange.open_by_hand(SYMBOL, Side.BUY, Decimal(10), Decimal(100), Decimal(90))
    world.agents.kill_switch.engage(reason="fear", set_by="owner", close_positions=True)
    for _ in range(3):
        world.agents.kill_enforcer.run()
        world.agents.order_keeper.poll()
    assert world.exchange.held == {}
    assert [order.qty for order in world.orders] == [Decimal(4), Decimal(4), Decimal(2)]


@pytest.mark.parametrize("arrived", [True, False])
def test_a_close_without_an_answer_is_not_repeated_blindly(world: World, arrived: bool) -> None:
    """It is asked about; only one that is known to have failed is followed by another."""
    world.act(world.ready())
    world.deliver_stream()
    world.agents.kill_switch.engage(reason="fear", set_by="owner", close_positions=True)
    world.exchange.lose_answer(arrived=arrived)
    world.agents.kill_enforcer.run()
    world.agents.kill_enforcer.run()
    assert len([order for order in world.orders if order.reduce_only]) == 1
    for _ in range(3):
        world.clock.advance(20)
        world.agents.order_keeper.poll()
        world.agents.kill_enforcer.run()
    assert world.exchange.held == {}
    assert all(count == 1 for count in world.exchange.accepted.values())
