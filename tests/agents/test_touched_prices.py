"""A price that touched a trailing step and fell back still moves the stop, whoever saw it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.agents.test_ladders import ladder_ready
from tests.agents.test_stops import open_position, stop_on_exchange
from tests.agents.world import SYMBOL, World
from whalestack.clients.bybit.errors import BybitRefused
from whalestack.clock import to_ms
from whalestack.db.live import PriceWatch, SeenPrice
from whalestack.db.models import Candle, MarketTick
from whalestack.math.stops import trailing_stop

D = Decimal


def seen(world: World, price: float) -> SeenPrice:
    """What the streams would tell along with their call."""
    return SeenPrice(price, world.clock.now_ms())


def add_bar(world: World, low: float, high: float, start_s_ago: float = 60.0) -> None:
    """A minute bar of the database, as the streams or the filler of gaps write it."""
    with world.db.begin() as work:
        work.session.add(
            Candle(
                symbol=SYMBOL,
                interval="1",
                start_at=world.clock.now() - timedelta(seconds=start_s_ago),
                open=low,
                high=high,
                low=low,
                close=low,
                volume=1.0,
                turnover_usd=100.0,
            )
        )


def add_tick(world: World, price: float) -> None:
    with world.db.begin() as work:
        work.session.add(MarketTick(symbol=SYMBOL, ts=world.clock.now(), price=price))


def test_a_touched_step_moves_the_stop_after_the_price_has_fallen_back(world: World) -> None:
    """It touched 110.3 and stands at 104 when the worker looks: breakeven all the same."""
    open_position(world)
    world.clock.advance(5)
    touched = seen(world, 110.3)
    world.set_price(104)
    assert world.agents.position_monitor.check_symbol(SYMBOL, touched).outcome == "done"
    assert stop_on_exchange(world) == D(100)
    assert world.live.watches()[SYMBOL] == PriceWatch(above=120.0)


def test_a_step_that_nobody_told_of_is_found_in_the_bars(world: World) -> None:
    """The call was lost, or the streams were down and the gap was filled later: the sweep finds it."""
    open_position(world)
    world.clock.advance(120)
    add_bar(world, 99.0, 121.0)
    world.set_price(113)
    world.restart().position_monitor.check_all()
    assert stop_on_exchange(world) == D(110)


def test_a_plan_whose_target_was_touched_between_two_looks_is_over(world: World) -> None:
    """It waits for a pullback; the price was at the target of 111 and is back: the move has happened."""
    signal_id = world.ready()
    world.set_price("109.5")
    world.act(signal_id)
    world.agents.autotrader.expire_plans()
    assert [plan.status for plan in world.plans] == ["entering"]
    world.clock.advance(120)
    add_bar(world, 108.5, 111.2)
    world.set_price("109")
    world.agents.autotrader.expire_plans()
    world.agents.order_keeper.poll()
    assert [plan.status for plan in world.plans] == ["expired"]


def test_what_the_price_did_before_the_entry_earns_nothing(world: World) -> None:
    """Neither the bar in which the entry lies, nor a call from before it."""
    early = SeenPrice(125.0, to_ms(world.clock.now()) - 1)
    open_position(world)
    world.clock.advance(30)
    add_bar(world, 99.0, 125.0)
    monitor = world.agents.position_monitor
    assert monitor.check_symbol(SYMBOL).outcome == "unchanged"
    assert monitor.check_symbol(SYMBOL, early).outcome == "unchanged"

    add_tick(world, 110.5)
    world.set_price(104)
    assert monitor.check_symbol(SYMBOL).outcome == "done"
    assert stop_on_exchange(world) == D(100)


def test_a_price_from_before_the_last_rung_earns_nothing(world: World) -> None:
    """Measured at the average that the position has now it was a profit that nobody had."""
    world.act(ladder_ready(world, trailing_steps_pct=((1.2, 0.0),)))
    world.set_price("107.2")
    world.deliver_stream()
    world.clock.advance(5)
    before_the_rung = seen(world, 108.6)
    world.clock.advance(5)
    world.set_price("106.7")
    world.deliver_stream()
    [trade] = world.trades
    assert trade.entry_price == D("107.26")

    monitor = world.agents.position_monitor
    world.set_price("107.5")
    assert monitor.check_symbol(SYMBOL, before_the_rung).outcome == "unchanged"
    assert monitor.check_symbol(SYMBOL, seen(world, 108.6)).outcome == "done"


def test_a_stop_that_the_price_has_fallen_through_is_set_when_the_price_is_back(world: World) -> None:
    """Nothing is closed for a price that is over: the first stop stands until breakeven can."""
    open_position(world)
    world.clock.advance(5)
    touched = seen(world, 110.3)
    world.set_price(99)
    monitor = world.agents.position_monitor
    assert monitor.check_symbol(SYMBOL, touched).outcome == "unchanged"
    assert (stop_on_exchange(world), SYMBOL in world.exchange.held) == (D(94), True)
    assert world.live.watches()[SYMBOL] == PriceWatch(above=100.01)

    world.clock.advance(120)
    add_bar(world, 99.0, 110.3)
    world.set_price("100.01")
    assert monitor.check_symbol(SYMBOL, seen(world, 100.01)).outcome == "done"
    assert stop_on_exchange(world) == D(100)


def test_after_a_move_that_failed_the_watch_stays_so_that_the_streams_call_again(world: World) -> None:
    open_position(world)
    world.agents.position_monitor.check_symbol(SYMBOL)
    world.clock.advance(5)
    world.set_price(112)
    world.exchange.fail("set_stops", BybitRefused("10001", code=10001))
    assert world.agents.position_monitor.check_symbol(SYMBOL, seen(world, 112)).outcome == "refused"
    assert world.live.watches()[SYMBOL] == PriceWatch(above=110.0)


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    looks=st.lists(
        st.tuples(st.lists(st.integers(95, 180), min_size=1, max_size=4), st.sampled_from(["told", "bars"])),
        min_size=1,
        max_size=6,
    )
)
def test_for_any_prices_between_two_looks_the_stop_is_where_the_best_of_them_puts_it(
    fresh_world: Callable[[], World], looks: list[tuple[list[int], str]]
) -> None:
    """The monitor sees only the last price of each stretch, and hears of the others by the streams'
    call or by the bars. Its stop is that of somebody who looked at the end of each stretch and knew
    every price; it never moves back and is never past the price."""
    world = fresh_world()
    open_position(world)
    best, stop = D(100), D(94)
    for prices, how in looks:
        for price in prices:
            world.clock.advance(61)
            world.set_price(price)
        if SYMBOL not in world.exchange.held:
            break
        best = max(best, D(max(prices)))
        add_bar(world, float(min(prices)), float(max(prices)), 60.5)
        told = seen(world, float(best)) if how == "told" else None
        world.agents.position_monitor.check_symbol(SYMBOL, told)
        expected = trailing_stop(
            "LONG",
            D(100),
            D(prices[-1]),
            stop,
            world.settings.trailing_steps_pct,
            tick_size=D("0.01"),
            best_price=best,
        )
        stop = stop if expected is None else expected
        assert stop_on_exchange(world) == stop
        assert stop < prices[-1]
