"""Ladders: every rung once, each with the stop, and nothing left behind.

A rung is known by its leg, e0 nearest to the market; `exchange.accepted` counts what was taken.
"""

from __future__ import annotations

from collections import Counter, deque
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as example_settings
from hypothesis import strategies as st

from tests.agents.fake_exchange import WorkerKilled
from tests.agents.test_never_doubled import kill_at_commit, recover, run_killed
from tests.agents.world import SYMBOL, World
from whalestack.clients.bybit.errors import (
    BybitOutcomeUnknown,
    BybitRateLimited,
    BybitRefused,
    BybitUnavailable,
)

D = Decimal


def ladder_ready(world: World, rungs: int = 5, equity_usd: int = 50_000, **changes: Any) -> int:
    """Everything in place for a ladder that waits below the market at 107.80, 2 % deep."""
    scaled = {"ladder_rungs": rungs, "ladder_coins": ("COAI",), **changes}
    world.restart(world.settings.model_copy(update=scaled))
    world.exchange.equity_usd = D(equity_usd)
    signal_id = world.ready()
    world.set_price("109.5")
    return signal_id


def legs(world: World, *statuses: str) -> list[str]:
    found = {order.leg for order in world.orders if order.status in statuses}
    return sorted(found, key=lambda leg: int(leg[1:]))


def link_id(world: World, leg: str) -> str:
    [found] = [order.order_link_id for order in world.orders if order.leg == leg]
    return str(found)


def assert_each_once(world: World, rungs: int) -> None:
    assert all(count == 1 for count in world.exchange.accepted.values())
    assert len(world.exchange.accepted) <= rungs
    assert world.exchange.naked == []
    held = {symbol: each.size for symbol, each in world.exchange.held.items()}
    assert held == {trade.symbol: trade.open_qty for trade in world.trades if trade.status == "open"}


# --- what is planned ---------------------------------------------------------------------------


def test_a_ladder_is_known_before_anything_is_sent(world: World) -> None:
    """Five flat rungs from 107.80 to 105.64: 107.80, 107.26, 106.72, 106.18, 105.64, average 106.72.

    The stop 6 % below the average is 100.3168, 100.32 after rounding up. One coin loses at it
    6.40 from the average, 0.0550 % of 207.04 in fees (0.1139) and 0.1 % of 100.32 in slippage
    (0.1003): 6.6142. 1 % of 50,000 buys 75.59 coins, 15.1 a rung, 75.5 in all: 499.37 USD.
    """
    world.act(ladder_ready(world))
    [plan] = world.plans
    assert [(order.leg, order.price, order.qty) for order in world.orders] == [
        ("e0", D("107.80"), D("15.1")),
        ("e1", D("107.26"), D("15.1")),
        ("e2", D("106.72"), D("15.1")),
        ("e3", D("106.18"), D("15.1")),
        ("e4", D("105.64"), D("15.1")),
    ]
    assert (plan.expected_entry_price, plan.stop_loss, plan.qty) == (D("106.72"), D("100.32"), D("75.5"))
    assert float(plan.worst_loss_usd) == pytest.approx(499.37, abs=0.01)
    assert plan.worst_loss_usd <= plan.equity_usd / 100


def test_every_rung_carries_the_stop_and_the_target_of_the_whole(world: World) -> None:
    world.act(ladder_ready(world))
    [plan] = world.plans
    carried = {(each.request.stop_loss, each.request.take_profit) for each in world.exchange.orders.values()}
    assert carried == {(plan.stop_loss, plan.take_profit)}
    assert world.exchange.leverages[SYMBOL] == plan.leverage


@pytest.mark.parametrize(
    ("equity_usd", "changes", "rungs"),
    [
        (9_999, {}, 1),
        (10_000, {}, 3),
        (99_000, {}, 4),
        (50_000, {"ladder_coins": ()}, 1),
        (100_000, {"ladder_coins": ()}, 5),
        (900_000, {"ladder_coins": ()}, 9),
        (10_000_000, {"ladder_coins": ()}, 20),
        (50_000, {"ladder_rungs": 1}, 1),
        (50_000, {"ladder_rungs": 20}, 5),
        (50_000, {"ladder_rungs": 2}, 3),
    ],
)
def test_capital_decides_who_may_scale_and_how_deep(
    world: World, equity_usd: int, changes: dict[str, Any], rungs: int
) -> None:
    """Under 10k never; to 100k listed coins, 3 to 5; to 1M 5 to 10; above to 20; within that, the setting."""
    signal_id = ladder_ready(world, equity_usd=equity_usd, **{"rungs": 0, **_renamed(changes)})
    world.act(signal_id)
    assert len(world.orders) == rungs
    assert sum(world.exchange.accepted.values()) == rungs


def _renamed(changes: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("ladder_rungs", "rungs"): value for name, value in changes.items()}


def test_rungs_that_would_be_too_small_become_fewer_then_one_order(world: World) -> None:
    """15 coins of at least 20 a rung: three rungs still work; of at least 40, not even those."""
    signal_id = ladder_ready(world)
    _set_least_order(world, D(20))
    world.act(signal_id)
    assert len(world.orders) == 3
    world.agents.kill_switch.engage(reason="test", set_by="owner")
    world.agents.kill_enforcer.run()
    world.agents.order_keeper.poll()
    world.agents.kill_switch.release(set_by="owner")
    world.agents.reconciler.run()
    _set_least_order(world, D(40))
    world.act(world.add_signal(occasion="second"))
    assert len(world.orders) == 4
    assert [log.details["no_ladder"] for log in world.log if log.action == "plan_entering"] == [
        None,
        "below_minimum_qty",
    ]


def _set_least_order(world: World, least: Decimal) -> None:
    from whalestack.db.models import Coin

    with world.db.begin() as work:
        work.session.get_one(Coin, SYMBOL).min_order_qty = least


# --- sending -------------------------------------------------------------------------------------


def test_twenty_rungs_leave_in_two_batches_of_what_the_quota_allows(world: World) -> None:
    """Ten orders a second: the second ten leave in the next one, nearest rungs first."""
    world.act(ladder_ready(world, 20, 10_000_000))
    sent = [[each.rpartition("_")[2] for each in batch] for batch in world.exchange.batches]
    assert sent == [[f"e{n}" for n in range(10)], [f"e{n}" for n in range(10, 20)]]
    assert legs(world, "new") == [f"e{n}" for n in range(20)]
    assert world.exchange.calls.count("place") == 0


def test_a_refused_rung_is_alone_in_being_refused(world: World) -> None:
    world.exchange.member_faults["e2"] = deque([BybitRefused("price", code=110003)])
    world.act(ladder_ready(world))
    assert legs(world, "new") == ["e0", "e1", "e3", "e4"]
    assert [(order.leg, order.reject_code) for order in world.orders if order.status == "rejected"] == [
        ("e2", 110003)
    ]
    assert [plan.status for plan in world.plans] == ["entering"]


def test_what_the_quota_does_not_allow_is_sent_in_the_next_second(world: World) -> None:
    """10006 for a member had no effect: sent again under the same id, and not refused."""
    for leg in ("e3", "e4"):
        world.exchange.member_faults[leg] = deque([BybitRateLimited("too many visits")])
    world.act(ladder_ready(world))
    assert legs(world, "new") == ["e0", "e1", "e2", "e3", "e4"]
    assert [len(batch) for batch in world.exchange.batches] == [5, 2]
    assert_each_once(world, 5)


def test_a_quota_that_never_returns_leaves_what_was_taken(world: World) -> None:
    world.exchange.member_faults["e4"] = deque([BybitRateLimited("too many visits")] * 50)
    world.act(ladder_ready(world))
    assert legs(world, "new") == ["e0", "e1", "e2", "e3"]
    assert legs(world, "rejected") == ["e4"]


def test_a_batch_that_found_no_connection_is_sent_again(world: World) -> None:
    world.exchange.fail("place_batch", BybitUnavailable("no connection"))
    world.act(ladder_ready(world))
    assert len(legs(world, "new")) == 5
    assert_each_once(world, 5)


@pytest.mark.parametrize("arrived", [True, False])
def test_a_lost_batch_answer_makes_every_rung_unknown_and_each_is_asked(world: World, arrived: bool) -> None:
    signal_id = ladder_ready(world)
    world.exchange.lose_answer("place_batch", arrived=arrived)
    world.act(signal_id)
    assert legs(world, "new" if arrived else "unknown") == ["e0", "e1", "e2", "e3", "e4"]
    assert world.exchange.calls.count("find_order") == 5

    recover(world, signal_id)
    assert_each_once(world, 5)
    assert len(world.exchange.batches) == 1
    assert [plan.status for plan in world.plans] == ["entering" if arrived else "refused"]


def test_one_rung_without_a_clear_answer_is_asked_alone(world: World) -> None:
    world.exchange.member_faults["e1"] = deque([BybitOutcomeUnknown("its entry has no code")])
    signal_id = ladder_ready(world)
    world.act(signal_id)
    assert legs(world, "unknown") == ["e1"]
    recover(world, signal_id)
    assert legs(world, "rejected") == ["e1"]
    assert_each_once(world, 5)


def test_the_kill_switch_between_two_batches_stops_the_second(world: World) -> None:
    signal_id = ladder_ready(world, 20, 10_000_000)
    world.exchange.hooks["place_batch"] = lambda: world.agents.kill_switch.engage(
        reason="fear", set_by="owner"
    )
    world.act(signal_id)
    assert len(world.exchange.batches) == 1
    assert legs(world, "rejected") == [f"e{n}" for n in range(10, 20)]
    world.agents.kill_enforcer.run()
    world.agents.order_keeper.poll()
    assert legs(world, "new") == []


@pytest.mark.parametrize("number", range(1, 16))
def test_a_worker_killed_in_any_commit_leaves_each_rung_once(world: World, number: int) -> None:
    """From the claim of the plan to the last rung's answer: whoever comes next sends what was not sent."""
    signal_id = ladder_ready(world)
    undo = kill_at_commit(world, number)
    try:
        run_killed(world, signal_id)
    finally:
        undo()
    recover(world, signal_id)
    assert_each_once(world, 5)
    assert len(world.exchange.accepted) == 5 or len(legs(world, "rejected")) == 5


@pytest.mark.parametrize("after", [False, True], ids=["before-it-arrives", "after-it-arrives"])
def test_a_worker_killed_while_a_batch_is_under_way_sends_no_second_one(world: World, after: bool) -> None:
    signal_id = ladder_ready(world)
    world.exchange.fail("place_batch", WorkerKilled(), after=after)
    assert run_killed(world, signal_id)
    assert len(legs(world, "sent")) == 5
    recover(world, signal_id)
    assert_each_once(world, 5)
    assert len(world.exchange.batches) == 1
    assert len(legs(world, "new" if after else "rejected")) == 5


@example_settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.sampled_from(["act", "kill", "stream", "poll", "sweep", "fill"]), max_size=6))
def test_any_redelivery_is_each_rung_once(fresh_world: Any, steps: list[str]) -> None:
    world = fresh_world()
    signal_id = ladder_ready(world)
    for number, step in enumerate(steps):
        _take(world, signal_id, step, number)
    recover(world, signal_id)
    assert_each_once(world, 5)


def _take(world: World, signal_id: int, step: str, number: int) -> None:
    match step:
        case "act":
            run_killed(world, signal_id)
        case "kill":
            undo = kill_at_commit(world, 3 + number)
            try:
                run_killed(world, signal_id)
            finally:
                undo()
        case "stream":
            world.deliver_stream()
        case "poll":
            world.agents.order_keeper.poll()
        case "sweep":
            world.agents.autotrader.sweep()
        case _:
            world.set_price("107.5")


# --- living with what fills ------------------------------------------------------------------------


def test_rungs_fill_one_after_another_into_one_trade_with_one_stop(world: World) -> None:
    """Two of five: the average is theirs, and the trailing step counts from it."""
    world.act(ladder_ready(world))
    world.set_price("107.2")
    world.deliver_stream()
    [trade] = world.trades
    assert (trade.entry_price, trade.open_qty) == (D("107.53"), D("30.2"))
    assert world.exchange.held[SYMBOL].stop_loss == trade.stop_loss == D("100.32")

    world.set_price("106.7")
    world.deliver_stream()
    [trade] = world.trades
    assert (trade.entry_price, trade.open_qty) == (D("107.26"), D("45.3"))
    assert len(world.told("entry")) == 1
    assert len(world.jobs("trailing.check_symbol")) >= 2


def test_a_rung_that_fills_in_part_is_protected_for_what_filled(world: World) -> None:
    world.act(ladder_ready(world))
    world.exchange.fill(link_id(world, "e0"), D("1.5"))
    world.deliver_stream()
    held = world.exchange.held[SYMBOL]
    assert (held.size, held.stop_loss) == (D("1.5"), D("100.32"))
    assert world.exchange.naked == []


def test_an_expired_ladder_keeps_what_filled_and_cancels_the_rest(world: World) -> None:
    world.act(ladder_ready(world))
    world.set_price("107.5")
    world.deliver_stream()
    world.clock.advance(world.settings.entry_wait_s)
    world.agents.autotrader.expire_plans()
    world.agents.order_keeper.poll()
    assert (legs(world, "filled"), legs(world, "cancelled")) == (["e0"], ["e1", "e2", "e3", "e4"])
    assert [plan.status for plan in world.plans] == ["open"]


def test_a_ladder_whose_target_is_reached_is_cancelled(world: World) -> None:
    world.act(ladder_ready(world))
    world.set_price("111.2")
    world.agents.autotrader.expire_plans()
    world.agents.order_keeper.poll()
    assert len(legs(world, "cancelled")) == 5
    assert [plan.status for plan in world.plans] == ["expired"]


def test_rungs_that_are_left_are_cancelled_when_the_trade_ends(world: World) -> None:
    world.act(ladder_ready(world))
    world.set_price("107.5")
    world.deliver_stream()
    world.clock.advance(5)
    world.set_price("111.2")
    world.deliver_stream()
    assert [trade.exit_reason for trade in world.trades] == ["take_profit"]
    assert world.jobs("trade.expire_plans") != []
    world.agents.autotrader.expire_plans()
    world.agents.order_keeper.poll()
    assert legs(world, "new") == []
    assert [plan.status for plan in world.plans] == ["closed"]


def test_rungs_that_are_left_are_cancelled_when_the_stop_has_moved(world: World) -> None:
    """They carry the first stop, and would set it on the whole position again."""
    steps = ((2.0, 0.0),)
    world.act(ladder_ready(world, trailing_steps_pct=steps))
    world.set_price("107.5")
    world.deliver_stream()
    world.set_price("110.2")
    assert world.agents.position_monitor.check_symbol(SYMBOL).outcome == "done"
    assert world.jobs("trade.expire_plans") != []
    world.agents.autotrader.expire_plans()
    world.agents.order_keeper.poll()
    assert legs(world, "cancelled") == ["e1", "e2", "e3", "e4"]


def test_the_kill_switch_cancels_every_rung(world: World) -> None:
    world.act(ladder_ready(world))
    world.agents.kill_switch.engage(reason="fear", set_by="owner")
    world.agents.kill_enforcer.run()
    world.agents.order_keeper.poll()
    assert Counter(order.status for order in world.orders) == {"cancelled": 5}


def test_the_loss_with_every_rung_filled_is_what_was_written_down(world: World) -> None:
    """Makers' fees and no slippage here: the loss at the stop is smaller than the plan's, by little."""
    world.act(ladder_ready(world))
    world.set_price("105")
    world.deliver_stream()
    world.clock.advance(5)
    world.set_price("100.3")
    world.deliver_stream()
    [plan], [trade] = world.plans, world.trades
    assert trade.status == "stopped_out"
    assert trade.entry_price == plan.expected_entry_price
    assert plan.worst_loss_usd * D("0.97") < -trade.pnl_usd <= plan.worst_loss_usd
