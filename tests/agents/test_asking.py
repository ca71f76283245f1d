"""How soon an order without an answer is resolved: by the poll, however long its queue is."""

from __future__ import annotations

import pytest

from tests.agents.test_ladders import ladder_ready
from tests.agents.world import World
from whalestack.clients.bybit.errors import BybitUnavailable


def lost_order(world: World) -> None:
    """One entry whose answer was lost; it never arrived, and that can be known by now."""
    signal_id = world.ready()
    world.exchange.lose_answer(arrived=False)
    world.act(signal_id)
    assert [order.status for order in world.orders] == ["unknown"]
    world.clock.advance(60)


def test_polls_that_have_waited_in_a_long_queue_are_one_poll(world: World) -> None:
    """They may wait as long as they must; the first asks, those right behind it cost no call."""
    lost_order(world)
    world.agents.order_keeper.poll(unless_within_s=7.5)
    assert [order.status for order in world.orders] == ["rejected"]
    world.exchange.calls.clear()
    for _ in range(5):
        world.clock.advance(1)
        world.agents.order_keeper.poll(unless_within_s=7.5)
    assert world.exchange.calls == []
    world.clock.advance(3)
    world.agents.order_keeper.poll(unless_within_s=7.5)
    assert world.exchange.calls != []


def test_a_poll_that_was_asked_for_is_made_at_once(world: World) -> None:
    """After the private stream came back nobody knows what it missed, however young the last poll."""
    world.agents.order_keeper.poll()
    world.exchange.calls.clear()
    world.agents.order_keeper.poll()
    assert "executions" in world.exchange.calls


def test_a_clock_that_was_set_back_does_not_stop_the_polls(world: World) -> None:
    world.clock.advance(600)
    world.agents.order_keeper.poll()
    world.clock.advance(-300)
    world.exchange.calls.clear()
    world.agents.order_keeper.poll(unless_within_s=7.5)
    assert world.exchange.calls != []


def test_an_order_is_resolved_though_fills_cannot_be_had(world: World) -> None:
    lost_order(world)
    world.exchange.fail("executions", BybitUnavailable("down"))
    with pytest.raises(BybitUnavailable):
        world.agents.order_keeper.poll()
    assert [order.status for order in world.orders] == ["rejected"]


def test_what_has_filled_nothing_is_not_asked_for_its_fills(world: World) -> None:
    """Five rungs that were cancelled: one question each."""
    world.act(ladder_ready(world))
    for order in world.orders:
        world.exchange.cancel("COAIUSDT", order.order_link_id)
    world.exchange.calls.clear()
    world.agents.order_keeper.poll()
    assert world.exchange.calls.count("find_order") == 5
    assert world.exchange.calls.count("executions") == 1


def test_comparisons_that_have_waited_in_a_long_queue_are_one(world: World) -> None:
    world.agents.reconciler.run()
    world.exchange.calls.clear()
    world.clock.advance(10)
    assert world.agents.reconciler.run(unless_within_s=30).passed
    assert world.exchange.calls == []
    world.agents.reconciler.require("the system starts")
    world.agents.reconciler.run(unless_within_s=30)
    assert world.exchange.calls != []
