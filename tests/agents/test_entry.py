"""From a signal to one protected position, to its end, with everything written on the way."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import event

from tests.agents.world import SYMBOL, World
from whalestack.clients.bybit.types import Side
from whalestack.scanners.coin_history import CoinHistoryScanner
from whalestack.scanners.thresholds import ThresholdScanner


def test_a_signal_becomes_one_order_that_carries_its_stop_and_target(world: World) -> None:
    """CONSERVATIVE with shorts at 110 to 112 and price at 100: the limit 107.80 lies beyond the market,
    so it is capped at 100.10 (slippage 0.1 %) and everything is computed from 100: stop 6 % below
    (the coin's wicks), target 111, size 1 % of 10,000 over 6.3008 a coin (from the limit) = 15.8, leverage
    1 / (0.06 * 1.25 + 0.02) = 10.52, capped at 10."""
    report = world.act(world.ready(price=100.0))

    assert report.outcome == "sent"
    [order] = world.orders
    assert order.side == "Buy"
    assert order.price == Decimal("100.10")
    assert order.stop_loss == Decimal("94.00")
    assert order.take_profit == Decimal("111.00")
    assert order.qty == Decimal("15.8")
    assert world.exchange.leverages[SYMBOL] == Decimal(10)
    [plan] = world.plans
    assert plan.expected_entry_price == Decimal(100)
    assert plan.worst_loss_usd <= Decimal(100)
    assert plan.inputs["map_7d"] == 10
    assert order.order_link_id.startswith("conservative-1_")


def test_a_fill_opens_the_trade_and_tells_of_it_once(world: World) -> None:
    """However often the stream and the poll tell of the same fill."""
    world.act(world.ready())
    for _ in range(3):
        world.deliver_stream()
        world.agents.order_keeper.poll()

    [trade] = world.trades
    assert (trade.status, trade.side, trade.agent_name) == ("open", "LONG", "conservative-1")
    assert trade.entry_price == Decimal(100)
    assert trade.stop_loss == trade.initial_stop_loss == Decimal("94.00")
    assert [plan.status for plan in world.plans] == ["open"]
    assert [order.status for order in world.orders] == ["filled"]
    assert len(world.fills) == 1
    assert len(world.told("entry")) == 1
    assert "conservative-1" in world.told("entry")[0]
    assert "signals" in world.told("entry")[0]
    assert world.jobs("trailing.check_symbol") == [{"symbol": SYMBOL}]


def test_the_target_ends_the_trade_with_its_profit_after_fees(world: World) -> None:
    """15.8 coins from 100 to 111: 173.80 less the fees of 0.32 (maker in) and 0.96 (taker out)."""
    world.act(world.ready())
    world.deliver_stream()
    world.clock.advance(600)
    world.set_price("111.5")
    world.deliver_stream()

    [trade] = world.trades
    fees = Decimal("15.8") * (100 * Decimal("0.0002") + 111 * Decimal("0.00055"))
    assert trade.status == "closed"
    assert trade.exit_reason == "take_profit"
    assert trade.exit_price == Decimal(111)
    assert trade.pnl_usd == Decimal("173.8") - fees
    assert round(trade.pnl_pct or 0, 4) == round(float((Decimal("173.8") - fees) / 1580 * 100), 4)
    assert [plan.status for plan in world.plans] == ["closed"]
    assert len(world.told("close")) == 1


def test_a_stop_ends_the_trade_as_stopped_out_and_the_record_counts_it(world: World) -> None:
    """The cluster and the coin's pattern learn the outcome in the same transaction, once."""
    world.act(world.ready())
    world.deliver_stream()
    world.clock.advance(60)
    world.set_price("93.00")
    for _ in range(2):
        world.deliver_stream()
        world.agents.order_keeper.poll()

    [trade] = world.trades
    assert (trade.status, trade.exit_reason) == ("stopped_out", "stop_loss")
    assert (trade.pnl_usd or 0) < 0
    traded = [cluster for cluster in world.clusters if cluster.traded]
    assert [cluster.side for cluster in traded] == ["short"]
    assert traded[0].trade_outcome is not None
    assert traded[0].trade_outcome.startswith("stop_loss -6.")
    [pattern] = world.patterns
    assert (pattern.trades, pattern.trade_wins) == (1, 0)
    assert len(world.told("close")) == 1


def test_partial_fills_are_one_trade_whose_stop_covers_what_is_filled(world: World) -> None:
    """A fill of a part opens the trade; the rest makes it larger."""
    signal_id = world.ready()
    world.exchange.auto_fill = False
    world.act(signal_id)
    [order] = world.orders
    world.exchange.fill(order.order_link_id, Decimal(5))
    world.deliver_stream()
    assert [trade.open_qty for trade in world.trades] == [Decimal(5)]
    assert [each.status for each in world.orders] == ["partially_filled"]

    world.exchange.fill(order.order_link_id)
    world.deliver_stream()
    assert [trade.open_qty for trade in world.trades] == [order.qty]
    assert world.exchange.naked == []


def test_an_exit_that_arrives_before_its_entry_still_ends_the_trade(world: World) -> None:
    """The private stream may swap messages: the set of fills decides, not their order."""
    world.act(world.ready())
    world.clock.advance(60)
    world.set_price("93.00")
    entry, exit_ = world.exchange.fills
    keeper = world.agents.order_keeper
    assert keeper.apply_executions([exit_], "stream").stray == 1
    keeper.apply_executions([entry], "stream")

    [trade] = world.trades
    assert trade.status == "stopped_out"
    assert trade.open_qty == 0


def test_funding_counts_into_the_result(world: World) -> None:
    """A payment of 3 USD makes the trade 3 USD worse."""
    world.act(world.ready())
    world.deliver_stream()
    world.clock.advance(60)
    world.exchange.charge_funding(SYMBOL, Decimal(3))
    world.clock.advance(60)
    world.set_price("111.5")
    world.deliver_stream()

    [trade] = world.trades
    trading_fees = Decimal("15.8") * (100 * Decimal("0.0002") + 111 * Decimal("0.00055"))
    assert trade.fees_usd == trading_fees + 3
    assert trade.pnl_usd == Decimal("173.8") - trading_fees - 3


def test_a_short_is_the_mirror_of_a_long(world: World) -> None:
    """Ranked SHORT with longs at 88 to 90: sold at the market, stop above, target below."""
    world.ready()
    world.add_cluster("long", 88.0, 90.0)
    report = world.act(world.add_signal(direction="SHORT", occasion="short"))

    assert report.outcome == "sent"
    [order] = world.orders
    assert Side(order.side) is Side.SELL
    assert order.stop_loss is not None
    assert order.take_profit is not None
    assert order.stop_loss > Decimal(100) > order.take_profit


def test_old_maps_are_fetched_again_before_the_plan_is_made(world: World) -> None:
    """A map older than five minutes is asked for on the refetch queue; then the signal comes back."""
    world.add_coin()
    world.add_maps(age_s=301)
    world.add_pattern()
    world.set_price(100)
    world.agents.reconciler.run()
    signal_id = world.add_signal()

    assert world.act(signal_id).outcome == "refetching"
    assert world.jobs("refetch.coin") == [{"symbol": SYMBOL, "reason": "pre-trade", "signal_id": signal_id}]
    assert world.orders == []

    world.add_maps(age_s=0)
    assert world.act(signal_id).outcome == "sent"


def test_maps_that_stay_old_end_in_a_refusal(world: World) -> None:
    """A refetch that brings nothing new is not asked for without end."""
    world.add_coin()
    world.add_maps(age_s=301)
    world.add_pattern()
    world.set_price(100)
    world.agents.reconciler.run()
    signal_id = world.add_signal()

    outcomes = []
    for _ in range(4):
        outcomes.append(world.act(signal_id).outcome)
        world.clock.advance(21)
        world.set_tick(100)
    assert outcomes == ["refetching", "refetching", "refetching", "refused"]
    assert [plan.reasons[0]["code"] for plan in world.plans] == ["stale_inputs"]


@pytest.mark.parametrize("old", ["record", "threshold"])
def test_what_was_learned_of_the_coin_more_than_a_day_ago_is_learned_again_before_the_plan(
    world: World, old: str
) -> None:
    """An old record or threshold sends the signal through the refetch, and the plan says the new age."""
    world.add_coin()
    world.add_maps()
    day_old = world.clock.now() - timedelta(seconds=world.settings.pattern_max_age_s + 1)
    world.add_pattern(**({"updated_at": day_old} if old == "record" else {}))
    world.add_threshold(1.0, **({"last_updated": day_old} if old == "threshold" else {}))
    world.set_price(100)
    world.agents.reconciler.run()
    signal_id = world.add_signal()

    report = world.act(signal_id)
    assert (report.outcome, report.reasons) == ("refetching", (old,))

    CoinHistoryScanner(db=world.db, settings=world.settings, clock=world.clock).refresh(SYMBOL)
    ThresholdScanner(db=world.db, settings=world.settings, clock=world.clock).refresh(SYMBOL)
    assert world.act(signal_id).outcome == "sent"
    assert world.plans[0].inputs == {"refetches": 1, "map_7d": 10, "price": 0, "record": 0, "threshold": 0}


def test_a_coin_without_a_record_gets_one_before_its_first_plan(world: World) -> None:
    """It has clusters, so it can have one, even if nothing was ever observed."""
    world.add_coin()
    world.add_maps()
    world.set_price(100)
    world.agents.reconciler.run()
    signal_id = world.add_signal()
    assert world.act(signal_id).reasons == ("record",)

    CoinHistoryScanner(db=world.db, settings=world.settings, clock=world.clock).refresh(SYMBOL)
    assert world.act(signal_id).outcome == "sent"


def test_a_refetch_that_is_under_way_is_not_asked_for_again(world: World) -> None:
    """The sweep delivers the signal meanwhile; that must not use up the askings."""
    world.add_coin()
    world.add_maps(age_s=301)
    world.set_price(100)
    world.agents.reconciler.run()
    signal_id = world.add_signal()
    for _ in range(6):
        assert world.act(signal_id).outcome == "refetching"
    assert len(world.jobs("refetch.coin")) == 1


def test_a_signal_that_is_too_old_expires(world: World) -> None:
    """The move it spoke of is over."""
    signal_id = world.ready()
    world.clock.advance(world.settings.signal_max_age_s + 1)

    assert world.act(signal_id).outcome == "expired"
    assert [signal.status for signal in world.signals] == ["expired"]
    assert world.orders == []


def test_an_unknown_signal_is_no_crash(world: World) -> None:
    assert world.act(12345).outcome == "unknown_signal"


def test_a_pullback_that_does_not_come_ends_the_plan(world: World) -> None:
    """The limit waits below the market for an hour; then it is cancelled, and the symbol is free again."""
    signal_id = world.ready()
    world.set_price("109.5")
    world.act(signal_id)
    assert [order.status for order in world.orders] == ["new"]
    assert world.agents.autotrader.expire_plans().plans == 0

    world.clock.advance(world.settings.entry_wait_s)
    assert world.agents.autotrader.expire_plans().cancelled == 1
    world.agents.order_keeper.poll()

    assert [order.status for order in world.orders] == ["cancelled"]
    assert [plan.status for plan in world.plans] == ["expired"]
    assert world.trades == []


def test_an_expired_plan_keeps_what_has_filled(world: World) -> None:
    """Only the rest is cancelled; the filled part is a trade with its stop."""
    signal_id = world.ready()
    world.set_price("109.5")
    world.act(signal_id)
    [order] = world.orders
    world.exchange.fill(order.order_link_id, Decimal(2))
    world.deliver_stream()
    world.clock.advance(world.settings.entry_wait_s)
    world.agents.autotrader.expire_plans()
    world.agents.order_keeper.poll()

    assert [each.status for each in world.orders] == ["cancelled"]
    assert [(trade.status, trade.open_qty) for trade in world.trades] == [("open", Decimal(2))]
    assert [plan.status for plan in world.plans] == ["open"]


def test_a_plan_ends_when_its_target_is_reached_without_it(world: World) -> None:
    """What it waited for has happened; filling afterwards would buy the way back."""
    signal_id = world.ready()
    world.set_price("109.5")
    world.act(signal_id)
    world.set_price("111.2")

    assert world.agents.autotrader.expire_plans().cancelled == 1


def test_what_is_left_of_an_entry_is_cancelled_when_its_trade_ends(world: World) -> None:
    """A rest that filled after the stop would open a new position that nobody wants."""
    signal_id = world.ready()
    world.set_price("109.5")
    world.act(signal_id)
    [order] = world.orders
    world.exchange.fill(order.order_link_id, Decimal(2))
    world.deliver_stream()
    world.exchange.auto_fill = False
    world.clock.advance(60)
    world.exchange.liquidate(SYMBOL, Decimal(90))
    world.deliver_stream()
    assert [plan.status for plan in world.plans] == ["entering"]
    assert world.jobs("trade.expire_plans") != []

    world.agents.autotrader.expire_plans()
    world.agents.order_keeper.poll()
    assert [plan.status for plan in world.plans] == ["closed"]
    assert [trade.exit_reason for trade in world.trades] == ["liquidation"]


def test_the_second_signal_of_a_symbol_finds_it_taken(world: World) -> None:
    """Bybit nets a symbol into one position: two plans would share one stop."""
    world.act(world.ready())
    report = world.act(world.add_signal(occasion="second"))

    assert report.outcome == "refused"
    assert "symbol_taken" in report.reasons
    assert len(world.orders) == 1


def test_the_sweep_enqueues_what_a_lost_message_left_lying(world: World) -> None:
    """A signal that nobody was told of is acted on by the next sweep, and given up when too old."""
    signal_id = world.ready()
    world.agents.autotrader.sweep()
    assert world.jobs("trade.act_on_signal") == []

    world.clock.advance(31)
    assert world.agents.autotrader.sweep().enqueued == 1
    assert world.jobs("trade.act_on_signal") == [{"signal_id": signal_id}]

    world.clock.advance(world.settings.signal_max_age_s)
    assert world.agents.autotrader.sweep().expired == 1
    assert [signal.status for signal in world.signals] == ["expired"]


def test_refusals_of_the_same_kind_are_told_once_an_hour(world: World) -> None:
    """Every one is in the database; people hear of the first."""
    world.ready()
    world.agents.kill_switch.engage(reason="test", set_by="owner")
    for number in range(3):
        world.act(world.add_signal(occasion=f"again-{number}"))
    assert len(world.told("refusal")) == 1

    world.clock.advance(timedelta(hours=1, seconds=1).total_seconds())
    world.act(world.add_signal(occasion="later"))
    assert len(world.told("refusal")) == 2
    assert [signal.status for signal in world.signals if signal.occasion != world.signals[0].occasion] == [
        "refused"
    ] * 4


def test_an_order_waits_for_nine_statements_of_the_database(world: World) -> None:
    """Each is an answer that an order waits for; there were thirty-nine."""
    signal_id = world.ready()
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    event.listen(world.db.engine, "before_cursor_execute", note)
    try:
        assert world.act(signal_id).outcome == "sent"
    finally:
        event.remove(world.db.engine, "before_cursor_execute", note)
    assert len(asked) == 9
