"""Cancelling what is left of a ladder: by batch, each rung with a fate of its own."""

from __future__ import annotations

from collections import deque

import pytest

from tests.agents.test_ladders import ladder_ready, legs, link_id
from tests.agents.world import SYMBOL, World
from whalestack.agents.order_canceller import OrderCanceller
from whalestack.clients.bybit.errors import (
    BybitKeyRefused,
    BybitOutcomeUnknown,
    BybitRateLimited,
    BybitRefused,
    BybitUnavailable,
)
from whalestack.clients.bybit.types import OrderName


def expire(world: World) -> None:
    world.clock.advance(world.settings.entry_wait_s)
    world.agents.autotrader.expire_plans()


def test_a_ladder_is_cancelled_in_one_call(world: World) -> None:
    world.act(ladder_ready(world))
    expire(world)
    assert [len(batch) for batch in world.exchange.cancel_batches] == [5]
    assert "cancel" not in world.exchange.calls
    world.agents.order_keeper.poll()
    assert [plan.status for plan in world.plans] == ["expired"]


def test_a_rung_that_filled_or_was_cancelled_meanwhile_is_no_error_and_holds_up_no_other(
    world: World,
) -> None:
    """The database has not heard of either when the batch leaves; both are asked about at once."""
    world.act(ladder_ready(world))
    world.exchange.fill(link_id(world, "e0"))
    world.exchange.cancel(SYMBOL, link_id(world, "e2"))
    expire(world)
    assert (legs(world, "filled"), legs(world, "cancelled")) == (["e0"], ["e2"])
    world.agents.order_keeper.poll()
    assert legs(world, "cancelled") == ["e1", "e2", "e3", "e4"]
    assert [trade.open_qty for trade in world.trades] == [world.exchange.held[SYMBOL].size]


def test_one_order_is_cancelled_by_itself(world: World) -> None:
    signal_id = world.ready()
    world.set_price("109.5")
    world.act(signal_id)
    expire(world)
    assert world.exchange.calls.count("cancel") == 1
    assert world.exchange.cancel_batches == []


def test_what_the_rate_limit_refuses_is_sent_again_and_the_rest_is_not(world: World) -> None:
    world.act(ladder_ready(world))
    world.exchange.cancel_faults["e3"] = deque([BybitRateLimited("10006")])
    expire(world)
    assert [len(batch) for batch in world.exchange.cancel_batches] == [5]
    assert world.exchange.calls.count("cancel") == 1
    assert all(not order.is_open for order in world.exchange.orders.values())


@pytest.mark.parametrize("code", [110017, 10016])
def test_a_rung_that_cannot_be_cancelled_now_is_cancelled_by_the_next_run(world: World, code: int) -> None:
    world.act(ladder_ready(world))
    trouble = BybitRefused("no", code=code) if code == 110017 else BybitOutcomeUnknown("no answer")
    world.exchange.cancel_faults["e1"] = deque([trouble])
    expire(world)
    world.agents.order_keeper.poll()
    assert legs(world, "new") == ["e1"]
    world.agents.autotrader.expire_plans()
    world.agents.order_keeper.poll()
    assert legs(world, "new") == []


def test_a_batch_that_is_refused_whole_is_cancelled_one_by_one(world: World) -> None:
    """For instance where an account may not use batches."""
    world.act(ladder_ready(world))
    world.exchange.fail("cancel_batch", BybitRefused("10001", code=10001))
    expire(world)
    world.agents.order_keeper.poll()
    assert len(legs(world, "cancelled")) == 5


@pytest.mark.parametrize(
    "error", [BybitUnavailable("away"), BybitOutcomeUnknown("lost"), BybitKeyRefused("x")]
)
def test_an_exchange_that_does_not_answer_fails_the_run_and_not_the_worker(
    world: World, error: Exception
) -> None:
    world.act(ladder_ready(world))
    world.exchange.fail("cancel_batch", error)
    expire(world)
    assert len(legs(world, "new")) == 5
    world.agents.autotrader.expire_plans()
    world.agents.order_keeper.poll()
    assert len(legs(world, "cancelled")) == 5


def test_twenty_rungs_are_cancelled_ten_a_second(world: World) -> None:
    """Each order of a batch counts against Bybit's ten a second."""
    waits: list[float] = []
    canceller = OrderCanceller(exchange=world.exchange, sleep=waits.append)
    ended = canceller.cancel([OrderName(SYMBOL, f"a_1_x_e{number}") for number in range(20)])
    assert [len(batch) for batch in world.exchange.cancel_batches] == [10, 10]
    assert waits == [1.0]
    assert len(ended.gone) == 20


def test_a_rate_limit_that_does_not_end_is_given_up_and_said(world: World) -> None:
    canceller = OrderCanceller(exchange=world.exchange, sleep=lambda _seconds: None)
    world.exchange.fail("cancel_batch", BybitRateLimited("10006"), times=99)
    ended = canceller.cancel([OrderName(SYMBOL, "a_1_x_e0"), OrderName(SYMBOL, "a_1_x_e1")])
    assert ended.failed == ["a_1_x_e0", "a_1_x_e1"]
    assert len(world.exchange.cancel_batches) == 4
