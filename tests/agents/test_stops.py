"""Stops move with profit and never back; no position stays without one."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.agents.fake_exchange import WorkerKilled
from tests.agents.world import SYMBOL, World
from whalestack.agents.stop_mover import StopMove
from whalestack.clients.bybit.errors import (
    BybitOutcomeUnknown,
    BybitRateLimited,
    BybitRefused,
    BybitUnavailable,
)
from whalestack.clients.bybit.types import Side
from whalestack.db import trading_store
from whalestack.db.live import PriceWatch, SeenPrice


def open_position(world: World) -> None:
    """A LONG of 15.8 coins from 100, stop at 94, its target out of the way at 300."""
    world.act(world.ready())
    world.deliver_stream()
    world.exchange.held[SYMBOL].take_profit = Decimal(300)


def stop_on_exchange(world: World) -> Decimal | None:
    return world.exchange.held[SYMBOL].stop_loss


@pytest.mark.parametrize(
    ("price", "stop"),
    [("109.99", "94.00"), ("110", "100.00"), ("120", "110.00"), ("149", "110.00"), ("150", "130.00")],
)
def test_the_stop_follows_the_steps_of_the_setting(world: World, price: str, stop: str) -> None:
    """+10 to breakeven, +20 to +10, +50 to +30; the highest step that applies wins."""
    open_position(world)
    world.set_price(price)
    world.agents.position_monitor.check_symbol(SYMBOL)

    assert stop_on_exchange(world) == Decimal(stop)
    assert [trade.stop_loss for trade in world.trades] == [Decimal(stop)]


def test_a_moved_stop_is_written_before_and_after_and_told_once(world: World) -> None:
    """The row is there first, then the move, then the trade and the message."""
    open_position(world)
    world.set_price(112)
    statuses: list[str] = []
    world.exchange.hooks["set_stops"] = lambda: statuses.extend(each.status for each in world.stop_moves)
    for _ in range(3):
        world.agents.position_monitor.check_symbol(SYMBOL)

    assert statuses == ["intent"]
    [row] = world.stop_moves
    assert (row.action, row.status, row.old_stop_loss, row.new_stop_loss) == (
        "trail",
        "done",
        Decimal(94),
        Decimal(100),
    )
    assert row.profit_pct_at_action == pytest.approx(12.0)
    assert len(world.told("stop_moved")) == 1


def test_the_next_steps_price_is_left_for_the_streams(world: World) -> None:
    """So a tick calls the monitor at once; when the trade is over nobody is called."""
    open_position(world)
    world.agents.position_monitor.check_symbol(SYMBOL)
    assert world.live.watches()[SYMBOL].above == pytest.approx(110.0)
    world.set_price(111)
    world.agents.position_monitor.check_symbol(SYMBOL)
    assert world.live.watches()[SYMBOL].above == pytest.approx(120.0)
    world.set_price(99)
    world.deliver_stream()
    world.agents.position_monitor.check_symbol(SYMBOL)
    assert SYMBOL not in world.live.watches()


def test_where_targets_are_pushed_on_the_streams_call_before_the_target_is_reached(world: World) -> None:
    """At four fifths of the way from 100 to the target, which lies before the first step at 110
    or after it; the sweep alone may come when the target has been hit."""
    world.restart(world.settings.model_copy(update={"extend_take_profit": True}))
    open_position(world)
    world.agents.position_monitor.check_symbol(SYMBOL)
    [trade] = world.trades
    assert trade.take_profit is not None
    nearly_there = 100 + (float(trade.take_profit) - 100) * 0.8
    assert world.live.watches()[SYMBOL].above == pytest.approx(min(110.0, nearly_there))


@pytest.mark.parametrize("moved", [True, False])
def test_a_lost_answer_is_settled_by_asking_the_position(world: World, moved: bool) -> None:
    """Whether the stop moved is a fact that can be looked up."""
    open_position(world)
    world.set_price(112)
    world.exchange.lose_answer("set_stops", arrived=moved)
    report = world.agents.position_monitor.check_symbol(SYMBOL)
    assert report.outcome == ("done" if moved else "refused")

    world.agents.position_monitor.check_symbol(SYMBOL)
    assert stop_on_exchange(world) == Decimal(100)
    assert len(world.told("stop_moved")) == 1


@pytest.mark.parametrize("after", [False, True])
def test_a_worker_killed_while_moving_a_stop_leaves_a_row_that_the_next_one_settles(
    world: World, after: bool
) -> None:
    open_position(world)
    world.set_price(112)
    world.exchange.fail("set_stops", WorkerKilled(), after=after)
    with pytest.raises(WorkerKilled):
        world.agents.position_monitor.check_symbol(SYMBOL)
    assert [row.status for row in world.stop_moves] == ["intent"]

    world.restart().position_monitor.check_symbol(SYMBOL)
    assert stop_on_exchange(world) == Decimal(100)
    assert [trade.stop_loss for trade in world.trades] == [Decimal(100)]
    assert all(row.status in ("done", "refused") for row in world.stop_moves)
    assert len(world.told("stop_moved")) == 1


def test_two_workers_do_not_move_the_same_stop_at_once(world: World) -> None:
    """The second finds the first at work and leaves; an older stop can never arrive after a newer one."""
    open_position(world)
    world.set_price(112)
    with trading_store.action_lock(world.db.engine, SYMBOL) as alone:
        assert alone
        assert world.agents.position_monitor.check_symbol(SYMBOL).outcome == "busy"
    assert world.agents.position_monitor.check_symbol(SYMBOL).outcome == "done"


def test_an_old_live_price_is_replaced_by_the_exchanges(world: World) -> None:
    """A stream that has died must not keep a stop from moving."""
    open_position(world)
    world.exchange.set_price(SYMBOL, Decimal(112))
    world.clock.advance(world.settings.stale_tick_s + 1)
    world.agents.position_monitor.check_symbol(SYMBOL)
    assert stop_on_exchange(world) == Decimal(100)


def open_two(world: World) -> None:
    """Two positions of which the second has more at risk at its next step."""
    open_position(world)
    world.add_coin("EVAAUSDT")
    world.add_maps("EVAAUSDT")
    world.add_pattern("EVAAUSDT")
    world.set_price(100, "EVAAUSDT")
    world.act(world.add_signal("EVAAUSDT"))
    world.deliver_stream()
    world.exchange.held["EVAAUSDT"].take_profit = Decimal(300)
    world.live.set_watches(
        {
            SYMBOL: PriceWatch(above=110.0, at_risk_usd=20.0),
            "EVAAUSDT": PriceWatch(above=110.0, at_risk_usd=500.0),
        }
    )


def test_where_several_steps_are_reached_the_most_at_risk_comes_first(world: World) -> None:
    """Whichever message comes first; and each message moves one stop, so that none is left."""
    open_two(world)
    world.set_price(112)
    world.set_price(112, "EVAAUSDT")

    seen = SeenPrice(112.0, world.clock.now_ms())
    world.agents.position_monitor.check_reached(SYMBOL, seen)
    assert (Decimal(94), Decimal(100)) == (stop_on_exchange(world), world.exchange.held["EVAAUSDT"].stop_loss)

    world.agents.position_monitor.check_reached("EVAAUSDT", seen)
    assert stop_on_exchange(world) == Decimal(100)
    assert world.agents.position_monitor.check_reached(SYMBOL, seen).looked == 0


def test_a_message_without_a_price_is_about_its_own_symbol(world: World) -> None:
    """It tells of a trade that is new or over; its watch must not wait until the steps of others are done."""
    open_two(world)
    world.set_price(112, "EVAAUSDT")
    world.live.set_watches({SYMBOL: PriceWatch()})

    assert world.agents.position_monitor.check_reached(SYMBOL).outcome == "unchanged"
    assert world.live.watches()[SYMBOL].above == pytest.approx(110.0)


def test_a_move_refused_for_its_rate_is_made_again_at_once(world: World) -> None:
    """Bybit's refusal changed nothing, and the next telling of the streams may be a second away."""
    open_position(world)
    world.agents.position_monitor.check_symbol(SYMBOL)
    world.set_price(112)
    world.exchange.fail("set_stops", BybitRateLimited("10006"), times=2)

    seen = SeenPrice(112.0, world.clock.now_ms())
    assert world.agents.position_monitor.check_reached(SYMBOL, seen).outcome == "done"
    assert stop_on_exchange(world) == Decimal(100)
    assert [row.status for row in world.stop_moves] == ["refused", "refused", "done"]


def test_a_price_that_fell_back_is_looked_at_with_what_was_seen(world: World) -> None:
    """It stands in no row of reached ones, and its message must not be spent on another."""
    open_two(world)
    world.set_price(105)
    world.set_price(112, "EVAAUSDT")

    world.agents.position_monitor.check_reached(SYMBOL, SeenPrice(111.0, world.clock.now_ms()))
    assert stop_on_exchange(world) == Decimal(100)


def test_a_watch_tells_what_is_at_risk(world: World) -> None:
    """15.8 coins from a stop at 94 to the step at 110."""
    open_position(world)
    world.agents.position_monitor.check_symbol(SYMBOL)
    assert world.live.watches()[SYMBOL].at_risk_usd == pytest.approx(15.8 * 16, rel=0.01)


def test_one_position_that_fails_does_not_hold_up_the_others(world: World) -> None:
    open_two(world)
    world.set_price(112)
    world.set_price(112, "EVAAUSDT")
    world.exchange.fail("set_stops", BybitUnavailable("busy"))

    report = world.agents.position_monitor.check_all()
    assert report.looked == 2
    assert stop_on_exchange(world) == Decimal(94)
    assert world.exchange.held["EVAAUSDT"].stop_loss == Decimal(100)


def test_the_target_moves_on_to_a_larger_cluster_beyond(world: World) -> None:
    """Only where the setting allows it, and only when the present target is nearly reached."""
    world.restart(world.settings.model_copy(update={"extend_take_profit": True}))
    open_position(world)
    world.exchange.held[SYMBOL].take_profit = Decimal(111)
    world.add_cluster("short", 118.0, 120.0, leverage=5e6)
    world.add_maps_again()
    world.set_price("108.5")
    world.agents.position_monitor.check_symbol(SYMBOL)
    assert world.exchange.held[SYMBOL].take_profit == Decimal(111)
    world.set_price("109.5")
    world.agents.position_monitor.check_symbol(SYMBOL)
    assert world.exchange.held[SYMBOL].take_profit == Decimal(119)
    assert [trade.take_profit for trade in world.trades] == [Decimal(119)]


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    moves=st.lists(
        st.tuples(st.integers(95, 290), st.sampled_from(["", "lose", "lost", "kill", "killed", "refuse"])),
        min_size=1,
        max_size=8,
    )
)
def test_for_any_prices_and_faults_the_stop_only_moves_toward_profit(
    fresh_world: Callable[[], World], moves: list[tuple[int, str]]
) -> None:
    """Never away from profit, never on the wrong side of the price, and never absent."""
    world = fresh_world()
    open_position(world)
    best = Decimal(94)
    for price, fault in moves:
        if SYMBOL not in world.exchange.held:
            break
        world.clock.advance(1)
        world.set_price(price)
        inject(world, fault)
        try:
            world.agents.position_monitor.check_symbol(SYMBOL)
        except WorkerKilled:
            world.restart()
        if SYMBOL not in world.exchange.held:
            break
        stop = stop_on_exchange(world)
        assert stop is not None
        assert best <= stop < price
        best = stop
    on_record = [trade.stop_loss for trade in world.trades]
    world.exchange.faults.clear()
    world.deliver_stream()
    assert all(stop is not None and stop <= best for stop in on_record)


def inject(world: World, fault: str) -> None:
    errors = {
        "lose": (BybitOutcomeUnknown("timeout"), False),
        "lost": (BybitOutcomeUnknown("timeout"), True),
        "kill": (WorkerKilled(), False),
        "killed": (WorkerKilled(), True),
        "refuse": (BybitRefused("10001", code=10001), False),
    }
    if fault:
        error, after = errors[fault]
        world.exchange.fail("set_stops", error, after=after)


# --- the watchdog ------------------------------------------------------------------------


def test_a_position_without_its_stop_gets_the_trades_stop_at_once(world: World) -> None:
    """Whatever took it away. The owner hears of it."""
    open_position(world)
    world.exchange.held[SYMBOL].stop_loss = None
    report = world.agents.stop_watchdog.run()

    assert report.protected == (SYMBOL,)
    assert stop_on_exchange(world) == Decimal(94)
    assert any("had no sound stop" in text for text in world.told("alert"))
    assert [(row.action, row.status, row.agent_name) for row in world.stop_moves] == [
        ("protect", "done", "stop-watchdog")
    ]


def test_a_stop_that_was_loosened_is_put_back(world: World) -> None:
    """For instance an older move that arrived after a newer one."""
    open_position(world)
    world.set_price(112)
    world.agents.position_monitor.check_symbol(SYMBOL)
    world.exchange.held[SYMBOL].stop_loss = Decimal(90)

    assert world.agents.stop_watchdog.run().restored == (SYMBOL,)
    assert stop_on_exchange(world) == Decimal(100)


def test_a_position_past_its_missing_stop_is_closed_at_the_market(world: World) -> None:
    """It does what the stop would have done, by a reduce-only order of its own, once."""
    open_position(world)
    world.exchange.held[SYMBOL].stop_loss = None
    world.set_price(90)
    for _ in range(3):
        world.agents.stop_watchdog.run()
        world.agents.order_keeper.poll()

    assert SYMBOL not in world.exchange.held
    exits = [order for order in world.orders if order.reduce_only]
    assert [(order.leg, order.agent_name, order.status) for order in exits] == [
        ("x0", "stop-watchdog", "filled")
    ]
    assert [trade.exit_reason for trade in world.trades] == ["stop-watchdog"]


def test_a_position_that_nobody_knows_is_protected_too(world: World) -> None:
    """The farthest stop that the settings allow, counted from the price now."""
    world.add_coin()
    world.exchange.open_by_hand(SYMBOL, Side.SELL, Decimal(3), Decimal(100))
    assert world.agents.stop_watchdog.run().protected == (SYMBOL,)
    assert stop_on_exchange(world) == Decimal(110)


def test_a_position_that_cannot_be_protected_is_told_and_the_others_are_looked_at(world: World) -> None:
    world.add_coin()
    world.add_coin("EVAAUSDT")
    for symbol in (SYMBOL, "EVAAUSDT"):
        world.exchange.open_by_hand(symbol, Side.BUY, Decimal(3), Decimal(100))
    world.exchange.fail("set_stops", BybitRefused("10001", code=10001))
    report = world.agents.stop_watchdog.run()

    assert report.failed == (SYMBOL,)
    assert report.protected == ("EVAAUSDT",)
    assert any("refused" in text for text in world.told("alert"))


def test_a_position_told_without_a_stop_calls_the_watchdog(world: World) -> None:
    """The stream's position message is an alarm; what to do is asked of the exchange."""
    row = {"symbol": SYMBOL, "side": "Buy", "size": "3", "entryPrice": "100", "stopLoss": ""}
    report = world.agents.order_keeper.apply_event("position.linear", [row], 0)
    assert report.unprotected == (SYMBOL,)
    assert world.jobs("trailing.watchdog") == [{}]


def test_a_protected_position_is_left_alone(world: World) -> None:
    open_position(world)
    report = world.agents.stop_watchdog.run()
    assert (report.positions, report.protected, report.restored) == (1, (), ())
    assert "set_stops" not in world.exchange.calls


def test_an_older_move_does_not_loosen_the_record(world: World) -> None:
    """Even if one is carried out, the trade's stop on record only ratchets."""
    open_position(world)
    world.set_price(121)
    world.agents.position_monitor.check_symbol(SYMBOL)
    mover = world.agents.position_monitor._mover
    [trade] = world.trades
    older = StopMove(
        symbol=SYMBOL,
        direction="LONG",
        agent_name="position-monitor",
        action="trail",
        trade_id=trade.id,
        entry_price=Decimal(100),
        price=Decimal(121),
        old_stop=Decimal(94),
        new_stop=Decimal(100),
        profit_pct=21.0,
    )
    with trading_store.acting_alone(world.db.engine, SYMBOL) as alone:
        assert alone is not None
        assert mover.move(alone, older) == "done"
    assert [each.stop_loss for each in world.trades] == [Decimal(110)]
    assert world.agents.stop_watchdog.run().restored == (SYMBOL,)
    assert stop_on_exchange(world) == Decimal(110)
