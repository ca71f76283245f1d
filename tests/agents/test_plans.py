"""Plans: which cluster, which entry, which stop, and every "no" by its name."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.agents.world import World
from whalestack.agents.patience import Patience
from whalestack.clock import MarketClock
from whalestack.config import Settings


def with_settings(world: World, **changes: Any) -> None:
    world.restart(world.settings.model_copy(update=changes))


def prepare(world: World, price: float = 100.0) -> None:
    world.add_coin()
    world.add_pattern()
    world.set_price(price)
    world.agents.reconciler.run()


def test_the_nearest_cluster_of_a_tradable_range_is_the_target(world: World) -> None:
    """A 24h cluster is nearer, but its range may not be traded without a record."""
    prepare(world)
    world.add_maps()
    world.add_map_of("24h")
    near = world.add_cluster("short", 104.0, 105.0, "24h")
    world.add_map_of("30d")
    wanted = world.add_cluster("short", 107.0, 108.0, "30d")
    world.add_maps_again()
    world.act(world.add_signal())
    assert [plan.cluster_id for plan in world.plans] == [wanted]
    assert near != wanted


def test_a_short_range_with_a_good_record_may_be_traded(world: World) -> None:
    """At least 75 % of at least 30 observations."""
    prepare(world)
    world.add_maps()
    world.add_map_of("24h")
    near = world.add_cluster("short", 104.0, 105.0, "24h")
    world.add_pattern(timeframe="24h", hits=30, observations=40)
    world.act(world.add_signal())
    assert [plan.cluster_id for plan in world.plans] == [near]


def test_a_cluster_that_has_left_its_map_is_no_target(world: World) -> None:
    """It was not in the latest map: whoever stood there is gone."""
    prepare(world)
    world.add_maps()
    world.add_cluster("short", 104.0, 105.0, last_seen_at=world.clock.now() - timedelta(hours=1))
    world.act(world.add_signal())
    assert [plan.take_profit for plan in world.plans] == [Decimal("111.00")]


def test_noise_is_no_target(world: World) -> None:
    """Smaller than what is large for this coin."""
    prepare(world)
    world.add_maps()
    world.add_cluster("short", 104.0, 105.0, leverage=10.0)
    world.add_threshold(1000.0)
    world.act(world.add_signal())
    assert [plan.take_profit for plan in world.plans] == [Decimal("111.00")]


def test_without_a_cluster_ahead_there_is_no_plan(world: World) -> None:
    prepare(world, price=130.0)
    world.add_maps(price=100.0)
    assert world.act(world.add_signal()).reasons == ("no_target",)


def test_aggressive_enters_at_the_near_edge_and_at_the_market_if_it_must(world: World) -> None:
    """The near edge at 110 is beyond the market at 100: it fills at once, capped at the slippage."""
    with_settings(world, autotrader_strategy="AGGRESSIVE")
    prepare(world)
    world.add_maps()
    world.act(world.add_signal())
    [plan] = world.plans
    assert (plan.limit_price, plan.expected_entry_price) == (Decimal("100.10"), Decimal(100))


def test_aggressive_puts_its_stop_beyond_the_cluster_behind_the_entry(world: World) -> None:
    """Longs at 93 to 95: beyond 93 by half a per cent, although the wicks alone would stop at 94."""
    with_settings(world, autotrader_strategy="AGGRESSIVE")
    prepare(world)
    world.add_maps()
    world.add_cluster("long", 93.0, 95.0)
    world.act(world.add_signal())
    assert [plan.stop_loss for plan in world.plans] == [Decimal("92.54")]


def test_a_reversal_fades_the_cluster_that_was_just_hit(world: World) -> None:
    """Shorts at 99 to 101 were hit: SHORT at 99.5 % of 101 toward the longs at 90 to 92."""
    with_settings(world, autotrader_strategy="REVERSAL")
    prepare(world)
    world.add_maps()
    world.add_cluster("long", 90.0, 92.0)
    world.add_cluster("short", 99.0, 101.0, hit_at=world.clock.now(), hit_target=True)
    world.act(world.add_signal(direction="LONG"))
    [plan] = world.plans
    assert (plan.direction, plan.limit_price, plan.take_profit) == (
        "SHORT",
        Decimal("100.50"),
        Decimal("91.00"),
    )
    assert [order.side for order in world.orders] == ["Sell"]


def test_a_reversal_without_a_hit_is_refused(world: World) -> None:
    with_settings(world, autotrader_strategy="REVERSAL")
    prepare(world)
    world.add_maps()
    world.add_cluster("long", 90.0, 92.0)
    assert world.act(world.add_signal()).reasons == ("no_hit_cluster",)


def test_liquidity_behind_the_stop_pushes_it_on_or_ends_the_plan(world: World) -> None:
    """Longs at 92 to 93 wait just behind the stop at 94: the stop goes to 91.54, half a per cent beyond."""
    prepare(world)
    world.add_maps()
    world.add_cluster("long", 92.0, 93.0)
    world.act(world.add_signal())
    assert [plan.stop_loss for plan in world.plans] == [Decimal("91.54")]


def test_a_stop_that_would_be_too_far_ends_the_plan(world: World) -> None:
    prepare(world)
    world.add_maps()
    world.add_cluster("long", 85.0, 93.0)
    assert world.act(world.add_signal()).reasons == ("stop_too_far",)


def test_an_expectation_below_zero_ends_the_plan(world: World) -> None:
    """A record of 20 % over 100 observations does not pay for a risk of 6 %."""
    world.add_coin()
    world.add_pattern(success_rate=0.2, hits=20)
    world.add_maps()
    world.set_price(100)
    world.agents.reconciler.run()
    assert world.act(world.add_signal()).reasons == ("negative_expectancy",)


def plan_with_wicks(world: World, **record: Any) -> list[float | None]:
    """The risk of the one plan, per cent, where hourly candles have wicks of 8 % down."""
    world.add_coin()
    world.add_pattern(**record)
    world.add_maps()
    world.set_price(100)
    world.agents.reconciler.run()
    world.act(world.add_signal())
    return [plan.risk_pct for plan in world.plans]


def test_the_wicks_of_the_traded_range_make_the_stop(world: World) -> None:
    """7 % on the 7d range, which is traded; the 30d record was written later and says 9 %."""
    world.add_candles(low=92.0)
    later = world.clock.now() + timedelta(seconds=1)
    world.add_pattern(timeframe="30d", max_wick_down_pct=9.0, updated_at=later)
    assert plan_with_wicks(world, max_wick_down_pct=7.0) == [pytest.approx(7.0, abs=0.01)]


@pytest.mark.parametrize("interval", ["60", "1"])
def test_a_side_that_the_record_does_not_tell_comes_from_the_candles(world: World, interval: str) -> None:
    """Only the other side was ever run against: the hours of the last week, of hourly or of minute bars."""
    world.add_candles(low=92.0, interval=interval)
    risk = plan_with_wicks(world, max_wick_up_pct=6.0, max_wick_down_pct=None)
    assert risk == [pytest.approx(8.0, abs=0.01)]


def test_each_side_has_its_own_wicks(world: World) -> None:
    """The record tells only how far price falls; that says nothing of how far it runs up."""
    world.add_candles(low=92.0)
    risk = plan_with_wicks(world, max_wick_up_pct=None, max_wick_down_pct=7.0)
    assert risk == [pytest.approx(7.0, abs=0.01)]


def test_the_room_that_other_positions_leave_bounds_the_size(world: World) -> None:
    """50 % of 10,000 in one coin at most, paid at the limit of 100.1: with a stop 1 % away, the risk
    alone would buy 71 %."""
    with_settings(world, stop_min_pct=1.0, stop_max_pct=1.2, max_coin_exposure_pct=50.0)
    prepare(world)
    world.add_maps()
    world.act(world.add_signal())
    assert [order.qty for order in world.orders] == [Decimal("49.9")]


def test_waits_that_sockets_need_do_not_shrink_when_the_market_plays_faster(settings: Settings) -> None:
    """At sixty times the speed a request still takes its real seconds."""
    usual = Patience.from_settings(settings, MarketClock())
    fast = Patience.from_settings(settings, MarketClock(speed=60.0))
    assert usual.in_flight == timedelta(seconds=10)
    assert fast.in_flight == timedelta(seconds=600)
    assert fast.absent_after == timedelta(seconds=900)
    assert usual.unknown_bound == timedelta(seconds=settings.unknown_order_bound_s)
    assert usual.place_within + timedelta(seconds=10) <= usual.absent_after


def test_why_tells_everything_that_speaks_against_a_coin(world: World) -> None:
    """Guards, maps and the plan itself, and what became of its last signals; nothing is sent."""
    prepare(world)
    world.add_maps(age_s=400)
    world.agents.kill_switch.engage(reason="test", set_by="owner")
    world.act(world.add_signal())
    report = world.agents.why.explain("COAIUSDT")

    assert {each.code for each in report.refusals} == {"not_ranked", "kill_switch", "stale_inputs"}
    assert [signal.status for signal in report.signals] == ["refused"]
    assert not report.would_trade
    assert world.exchange.accepted == {}


def test_why_says_that_nothing_speaks_against_a_coin(world: World) -> None:
    prepare(world)
    world.add_maps()
    world.add_ranking("LONG")
    report = world.agents.why.explain("COAIUSDT")
    assert report.refusals == ()
    assert report.would_trade


def test_why_of_a_symbol_that_nobody_knows_is_an_answer(world: World) -> None:
    codes = {each.code for each in world.agents.why.explain("NOPEUSDT").refusals}
    assert {"unknown_symbol", "not_ranked", "no_price"} <= codes
