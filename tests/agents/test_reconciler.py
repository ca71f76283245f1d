"""Both sides compared: whatever differs is repaired or told, and nothing trades before."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from tests.agents.fake_exchange import WorkerKilled
from tests.agents.world import SYMBOL, World
from whalestack.clients.bybit.errors import BybitUnavailable
from whalestack.clients.bybit.types import OrderRequest, Side


def test_nothing_is_traded_before_the_first_comparison(world: World) -> None:
    """A fresh database, or a system that has just been started."""
    world.add_coin()
    world.add_maps()
    world.add_pattern()
    world.set_price(100)
    assert world.act(world.add_signal()).reasons == ("not_reconciled",)

    assert world.agents.reconciler.run().passed
    assert world.act(world.add_signal(occasion="b")).outcome == "sent"


def test_a_start_shuts_the_gate_until_the_next_comparison(world: World) -> None:
    signal_id = world.ready()
    world.agents.reconciler.require("started")
    assert world.act(signal_id).reasons == ("not_reconciled",)


def test_trading_stops_when_the_reconciler_falls_silent(world: World) -> None:
    world.ready()
    world.clock.advance(world.settings.reconcile_max_age_s + 1)
    world.set_price(100)
    assert "not_reconciled" in world.act(world.add_signal(occasion="later")).reasons


@pytest.mark.parametrize("skew_ms", [1_500, -1_500])
def test_a_clock_that_is_off_stops_trading_and_tells(world: World, skew_ms: int) -> None:
    signal_id = world.ready()
    world.exchange.skew_ms = skew_ms
    report = world.agents.reconciler.run()
    assert (report.passed, report.skew_ms) == (False, skew_ms)
    assert world.act(signal_id).reasons == ("not_reconciled",)
    assert any("our clock" in text for text in world.told("alert"))


def test_an_exchange_that_cannot_be_asked_does_not_open_the_gate(world: World) -> None:
    world.exchange.fail("positions", BybitUnavailable("down"))
    with pytest.raises(BybitUnavailable):
        world.agents.reconciler.run()
    assert world.agents.reconciler.run().passed


def test_an_exchange_that_is_silent_for_long_is_told_of_while_something_is_held(world: World) -> None:
    """Stops are on the exchange, but nobody moves them: the owner hears of it once an hour."""
    world.act(world.ready())
    world.deliver_stream()
    world.exchange.fail("server_time_ms", BybitUnavailable("down"), times=3)
    for wait_s in (60, world.settings.reconcile_max_age_s, 60):
        world.clock.advance(wait_s)
        with pytest.raises(BybitUnavailable):
            world.agents.reconciler.run()
    [told] = world.told("alert")
    assert "since" in told
    assert "1 open trade" in told


def test_an_alert_outlives_a_channel_that_is_away_for_an_hour(world: World) -> None:
    """A message about a signal is stale by then; that a position has no stop is not."""
    world.ready()
    world.exchange.skew_ms = 1_500
    world.agents.reconciler.run()
    alerts = [message for message in world.messages if message.kind == "alert"]
    assert alerts
    assert all(message.expires_at >= world.clock.now() + timedelta(hours=1) for message in alerts)


def test_what_was_filled_while_we_were_away_is_asked_for_although_newer_fills_came_first(
    world: World,
) -> None:
    """The stream is up again before the poll: its fills must not hide the funding of the hours before."""
    world.act(world.ready())
    world.deliver_stream()
    world.agents.order_keeper.poll()
    world.clock.advance(3_600)
    world.exchange.charge_funding(SYMBOL, Decimal(3))
    world.clock.advance(7_200)
    newest = world.exchange.charge_funding(SYMBOL, Decimal(2))
    world.agents.order_keeper.apply_executions([newest], "stream")

    world.agents.order_keeper.poll()
    assert sum(fill.fee_usd for fill in world.fills if fill.exec_type == "Funding") == Decimal(5)


def test_two_sides_that_agree_are_left_alone(world: World) -> None:
    world.act(world.ready())
    world.deliver_stream()
    report = world.agents.reconciler.run()
    assert (report.positions, report.trades, report.differences) == (1, 1, ())


def test_a_fill_that_no_stream_told_is_found(world: World) -> None:
    world.act(world.ready())
    report = world.agents.reconciler.run()
    assert (report.fills, report.differences) == (1, ())
    assert [trade.status for trade in world.trades] == ["open"]


def test_a_position_that_nobody_knows_is_reported_once_and_left_alone(world: World) -> None:
    """Nothing is flattened by surprise."""
    world.add_coin()
    world.exchange.open_by_hand(SYMBOL, Side.BUY, Decimal(3), Decimal(100), Decimal(90))
    for _ in range(3):
        report = world.agents.reconciler.run()
    assert len(report.differences) == 1
    assert world.trades == []
    assert SYMBOL in world.exchange.held
    assert len(world.told("alert")) == 1


def test_a_position_that_nobody_knows_is_adopted_where_the_owner_wants_it(world: World) -> None:
    """It becomes a trade of the agent `manual`, and ends like any other."""
    world.restart(world.settings.model_copy(update={"adopt_unknown_positions": True}))
    world.add_coin()
    world.exchange.open_by_hand(SYMBOL, Side.BUY, Decimal(3), Decimal(100), Decimal(90))
    assert len(world.agents.reconciler.run().adopted) == 1
    assert world.agents.reconciler.run().adopted == ()
    [trade] = world.trades
    assert (trade.agent_name, trade.open_qty, trade.stop_loss) == ("manual", Decimal(3), Decimal(90))

    world.clock.advance(60)
    world.set_price(89)
    world.deliver_stream()
    [trade] = world.trades
    assert trade.status == "stopped_out"
    assert trade.pnl_usd == -30 - Decimal(3) * 90 * Decimal("0.00055")


def test_a_trade_whose_exit_was_never_told_is_closed_by_asking(world: World) -> None:
    world.act(world.ready())
    world.deliver_stream()
    world.clock.advance(7_200)
    world.exchange.close_by_hand(SYMBOL, Decimal(105))
    report = world.agents.reconciler.run()
    assert report.closed == ()
    assert [(trade.status, trade.exit_reason) for trade in world.trades] == [("closed", "manual")]


def test_a_trade_that_has_vanished_without_a_trace_is_closed_with_the_reason(world: World) -> None:
    """No fill, no result: missed twice, some time apart, it is closed at its entry price, with a note."""
    world.act(world.ready())
    world.deliver_stream()
    world.clock.advance(60)
    world.exchange.close_by_hand(SYMBOL, Decimal(105), leave_trace=False)
    assert world.agents.reconciler.run().closed == ()
    assert world.agents.reconciler.run().closed == ()
    world.clock.advance(60)
    report = world.agents.reconciler.run()

    assert len(report.closed) == 1
    [trade] = world.trades
    assert (trade.status, trade.exit_reason) == ("closed", "reconciled")
    assert trade.notes is not None
    assert [plan.status for plan in world.plans] == ["closed"]
    assert len(world.told("close")) == 1


def test_one_empty_answer_closes_nothing(world: World) -> None:
    """The exchange shows no position once, and shows it again a minute later."""
    world.act(world.ready())
    world.deliver_stream()
    world.clock.advance(60)
    held = world.exchange.held.pop(SYMBOL)
    assert len(world.agents.reconciler.run().differences) == 1
    world.exchange.held[SYMBOL] = held
    world.clock.advance(60)
    assert world.agents.reconciler.run().differences == ()
    assert [trade.status for trade in world.trades] == ["open"]


def test_a_position_of_our_own_order_is_not_taken_for_a_persons(world: World) -> None:
    """Bybit shows the position before it lists the fill: nobody adopts it meanwhile."""
    world.restart(world.settings.model_copy(update={"adopt_unknown_positions": True}))
    world.act(world.ready())
    fills, world.exchange.fills = world.exchange.fills, []
    report = world.agents.reconciler.run()
    assert (report.adopted, report.differences) == ((), ())
    world.exchange.fills = fills
    world.agents.reconciler.run()
    assert [(trade.agent_name, trade.open_qty) for trade in world.trades] == [
        ("conservative-1", Decimal("15.8"))
    ]


def test_an_order_that_fills_after_it_was_given_up_is_a_trade_all_the_same(world: World) -> None:
    """Whatever the order's row says, a fill is a fact: the position is known, protected and told."""
    signal_id = world.ready()
    world.exchange.fail("place", WorkerKilled(), after=False)
    with pytest.raises(WorkerKilled):
        world.act(signal_id)
    world.clock.advance(20)
    world.agents.order_keeper.poll()
    [order] = world.orders
    world.exchange._take(
        OrderRequest(
            SYMBOL, Side.BUY, order.qty, order.order_link_id, price=order.price, stop_loss=order.stop_loss
        )
    )
    world.agents.reconciler.run()
    assert [each.status for each in world.orders] == ["rejected"]
    assert [(trade.status, trade.agent_name) for trade in world.trades] == [("open", "conservative-1")]
    assert [plan.status for plan in world.plans] == ["open"]
    assert world.exchange.naked == []


def test_a_vanished_trade_is_closed_at_the_price_of_the_exchanges_own_result(world: World) -> None:
    """The fills are gone, the closed profit is still told: its exit price is taken."""
    world.act(world.ready())
    world.deliver_stream()
    world.clock.advance(60)
    world.exchange.close_by_hand(SYMBOL, Decimal(105))
    world.exchange.fills = [each for each in world.exchange.fills if each.order_link_id]
    world.agents.reconciler.run()
    assert [trade.exit_price for trade in world.trades] == [Decimal(105)]


def test_real_fills_that_come_late_replace_the_stand_in(world: World) -> None:
    """Closed on paper first; when the true exit is told at last, it decides the result."""
    world.act(world.ready())
    world.deliver_stream()
    world.clock.advance(60)
    world.exchange.close_by_hand(SYMBOL, Decimal(105))
    late = [each for each in world.exchange.fills if not each.order_link_id]
    world.exchange.fills = [each for each in world.exchange.fills if each.order_link_id]
    world.exchange.closed.clear()
    for _ in range(2):
        world.clock.advance(60)
        world.agents.reconciler.run()
    assert [trade.exit_price for trade in world.trades] == [Decimal(100)]

    world.agents.order_keeper.apply_executions(late, "poll")
    [trade] = world.trades
    assert trade.exit_price == Decimal(105)
    assert trade.status == "closed"
    assert len(world.told("close")) == 1


def test_a_size_that_differs_is_told(world: World) -> None:
    """A person has added to our position, and no fill of it can be had."""
    world.act(world.ready())
    world.deliver_stream()
    world.exchange.held[SYMBOL].size += 5
    report = world.agents.reconciler.run()
    assert len(report.differences) == 1
    assert "20.8" in report.differences[0]


def test_a_stop_that_a_person_tightened_is_the_trades_stop(world: World) -> None:
    """And the watchdog does not loosen it again."""
    world.act(world.ready())
    world.deliver_stream()
    world.exchange.held[SYMBOL].stop_loss = Decimal(97)
    world.agents.reconciler.run()
    world.agents.stop_watchdog.run()
    assert [trade.stop_loss for trade in world.trades] == [Decimal(97)]
    assert world.exchange.held[SYMBOL].stop_loss == Decimal(97)


def test_an_order_that_was_given_up_and_is_open_there_is_cancelled(world: World) -> None:
    """It arrived after all, too late: nobody waits for it any more."""
    signal_id = world.ready()
    world.exchange.fail("place", WorkerKilled(), after=False)
    with pytest.raises(WorkerKilled):
        world.act(signal_id)
    world.clock.advance(20)
    world.agents.order_keeper.poll()
    [order] = world.orders
    assert (order.status, order.reason) == ("rejected", "never_arrived")

    world.exchange.auto_fill = False
    world.exchange._take(
        OrderRequest(
            SYMBOL, Side.BUY, order.qty, order.order_link_id, price=order.price, stop_loss=order.stop_loss
        )
    )
    report = world.agents.reconciler.run()
    assert len(report.differences) == 1
    assert [each.state.status for each in world.exchange.orders.values()] == ["Cancelled"]


def test_an_order_of_ours_without_a_row_is_told_and_not_touched(world: World) -> None:
    """Another database trades this account under the same name."""
    world.add_coin()
    world.exchange.auto_fill = False
    world.exchange._take(
        OrderRequest(
            SYMBOL,
            Side.BUY,
            Decimal(1),
            "conservative-1_7_t4k2x9_e0",
            price=Decimal(90),
            stop_loss=Decimal(80),
        )
    )
    assert len(world.agents.reconciler.run().differences) == 1
    assert [each.is_open for each in world.exchange.orders.values()] == [True]


def test_an_order_of_a_person_is_not_spoken_of(world: World) -> None:
    world.add_coin()
    world.exchange.auto_fill = False
    world.exchange._take(
        OrderRequest(SYMBOL, Side.BUY, Decimal(1), "my-own-order", price=Decimal(90), stop_loss=Decimal(80))
    )
    assert world.agents.reconciler.run().differences == ()


def test_an_order_that_turns_a_position_round_ends_its_trade(world: World) -> None:
    """A person sells 20 where 15.8 are held: 15.8 of the fill, and its fee, close our trade at 105;
    15.8 * 5 = 79.00 less the entry's fee of 0.316 (maker) and 15.8/20 of the 1.155 of the fill."""
    world.act(world.ready())
    world.deliver_stream()
    world.clock.advance(60)
    world.exchange.close_by_hand(SYMBOL, Decimal(105))
    closing = replace(world.exchange.fills[-1], qty=Decimal(20), fee_usd=20 * 105 * Decimal("0.00055"))
    world.agents.order_keeper.apply_executions([closing], "stream")

    [trade] = world.trades
    assert (trade.status, trade.open_qty, trade.exit_reason) == ("closed", 0, "manual")
    expected = Decimal("79") - Decimal("0.316") - Decimal("1.155") * Decimal("15.8") / 20
    assert round(trade.pnl_usd or 0, 6) == round(expected, 6)


def test_an_adopted_position_begins_when_it_is_adopted(world: World) -> None:
    """Bybit dates a position by the first one the coin ever had: its results since then, and fills of
    this one that come late, are not the trade's."""
    world.restart(world.settings.model_copy(update={"adopt_unknown_positions": True}))
    world.add_coin()
    world.exchange.open_by_hand(SYMBOL, Side.BUY, Decimal(3), Decimal(100), Decimal(90))
    world.exchange.held[SYMBOL].created_at = world.clock.now() - timedelta(days=90)
    world.clock.advance(5)
    world.agents.reconciler.run()
    [trade] = world.trades
    assert trade.entry_time == world.clock.now()

    late = replace(
        world.exchange.charge_funding(SYMBOL, Decimal(0)),
        exec_type="Trade",
        executed_at=world.clock.now() - timedelta(seconds=5),
    )
    world.agents.order_keeper.apply_executions([late], "poll")
    assert [trade.open_qty for trade in world.trades] == [Decimal(3)]


def test_the_stop_of_a_position_on_the_other_side_is_not_followed(world: World) -> None:
    """Somebody turned the position round; a stop above the price is no stop of our LONG."""
    world.act(world.ready())
    world.deliver_stream()
    held = world.exchange.held[SYMBOL]
    held.side, held.stop_loss = Side.SELL, Decimal(106)
    world.agents.reconciler.run()
    assert [trade.stop_loss for trade in world.trades] == [Decimal(94)]
