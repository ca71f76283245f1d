"""Positions: stops that exist with the first fill, profits worked out by hand, funding, liquidation."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.simulator.exchange_desk import COIN, Desk
from whalestack.simulator.exchange.order import Protection, Status
from whalestack.simulator.exchange.refusals import Refused


def stops_refused(desk: Desk, stop: float | None, target: float | None = None) -> int:
    """The code with which stops are refused."""
    with pytest.raises(Refused) as refused:
        desk.stops(stop, target)
    return refused.value.code


def test_stop_and_target_exist_with_the_first_fill() -> None:
    desk = Desk()
    desk.order("Buy", 1, 98, stop=95, target=110, link_id="a_1_x_e0")
    assert not desk.position.is_open
    desk.move(98)
    assert Protection(Decimal(95), Decimal(110)) == desk.position.protection
    waiting = {o.stop_order_type: o for o in desk.exchange.state.book.open_orders(COIN)}
    assert {"StopLoss", "TakeProfit"} == set(waiting)
    assert "a_1_x_e0" == waiting["StopLoss"].parent_link_id
    assert "" == waiting["StopLoss"].link_id
    assert 0 == desk.stats()["unprotected_spells"]


def test_a_stop_closes_at_the_market_and_takes_the_target_away() -> None:
    desk = Desk()
    desk.order("Buy", 10, stop=95, target=110)
    desk.move(94.5)
    assert not desk.position.is_open
    assert [] == desk.exchange.state.book.open_orders()
    execution = desk.exchange.state.executions[-1]
    assert ("StopLoss", Decimal("94.49")) == (execution.order.stop_order_type, execution.price)
    # in 10 * 100.01, out 10 * 94.49, fees 0.055 % of both
    profit = Decimal("944.9") - Decimal("1000.1") - Decimal("0.00055") * Decimal("1945.0")
    assert Decimal(10_000) + profit == desk.balance


def test_a_target_closes_a_short_below() -> None:
    desk = Desk()
    desk.order("Sell", 10, stop=105, target=90)
    desk.move(104.9)
    assert desk.position.is_open
    desk.move(89.9)
    assert not desk.position.is_open
    closed = next(iter(desk.exchange.state.closed_pnl.values()))
    # sold at 99.99, bought back at 89.91
    profit = Decimal("999.9") - Decimal("899.1") - Decimal("0.00055") * Decimal("1899.0")
    assert profit == closed.pnl


def test_a_partial_close_realises_its_share() -> None:
    desk = Desk()
    desk.order("Buy", 10, stop=90)
    desk.move(110)
    desk.order("Sell", 4, reduce_only=True)
    closed = next(iter(desk.exchange.state.closed_pnl.values()))
    # 4 * (109.99 - 100.01) less 4/10 of the entry fee and the exit fee
    fees = Decimal("0.00055") * (Decimal("400.04") + Decimal("439.96"))
    assert Decimal("39.92") - fees == closed.pnl
    assert (Decimal(6), Decimal("100.01")) == (desk.position.signed, desk.position.average_price)
    children = [o for o in desk.exchange.state.book.open_orders(COIN) if o.is_child]
    assert [Decimal(6)] == [child.qty for child in children]


def test_a_larger_order_the_other_way_turns_the_position_round() -> None:
    desk = Desk()
    desk.order("Buy", 2, stop=95)
    desk.order("Sell", 5, stop=106)
    assert (Decimal(-3), Decimal("99.99")) == (desk.position.signed, desk.position.average_price)
    assert Decimal(106) == desk.position.protection.stop_loss
    execution = desk.exchange.state.executions[-1]
    assert (Decimal(2), Decimal(5)) == (execution.closed_qty, execution.qty)
    assert 0 == desk.stats()["unprotected_spells"]


def test_adding_averages_the_entry() -> None:
    desk = Desk()
    desk.order("Buy", 1, 98, stop=90)
    desk.order("Buy", 3, 96, stop=90)
    desk.move(95)
    # (98 + 3 * 96) / 4
    assert Decimal("96.5") == desk.position.average_price


def test_a_moved_stop_survives_later_fills_of_the_same_order() -> None:
    desk = Desk(depth_share=0.5)
    order = desk.order("Buy", 30, 99, stop=90)
    desk.move(98.9)
    assert Status.PARTIALLY_FILLED == order.status
    desk.stops(95)
    desk.move(98.9)
    assert Decimal(95) == desk.position.protection.stop_loss


def test_stops_move_in_place_and_keep_their_order() -> None:
    desk = Desk()
    desk.order("Buy", 1, stop=95)
    before = desk.exchange.state.book.open_orders(COIN)[0]
    desk.stops(97)
    after = desk.exchange.state.book.open_orders(COIN)
    assert [before.order_id] == [order.order_id for order in after]
    assert Decimal(97) == after[0].spec.trigger_price
    assert 0 == desk.stats()["unprotected_spells"]
    assert 1 == desk.stats()["stops_moved"]


def test_stops_that_change_nothing_or_stand_on_the_wrong_side_are_refused() -> None:
    desk = Desk()
    assert 10001 == stops_refused(desk, 95)
    desk.order("Buy", 1, stop=95)
    assert 34040 == stops_refused(desk, 95)
    assert 10001 == stops_refused(desk, 100)
    assert 10001 == stops_refused(desk, 101)
    assert 10001 == stops_refused(desk, 95, 100)
    assert 10001 == stops_refused(desk, 95.001)
    assert Decimal(95) == desk.position.protection.stop_loss


def test_a_stop_by_mark_price_does_not_look_at_the_last_price() -> None:
    from whalestack.simulator.exchange.order import TriggerBy

    desk = Desk()
    desk.order("Buy", 1)
    desk.exchange.set_stops(COIN, Protection(Decimal(95), None, stop_by=TriggerBy.MARK))
    desk.clock.advance(60)
    tick = desk.market.push_price(COIN, 94.0)
    desk.market.change(COIN, mark=97.0)
    desk.exchange.on_ticks([tick])
    assert desk.position.is_open


def test_funding_is_charged_once_when_its_hour_passes() -> None:
    desk = Desk()
    desk.order("Buy", 10, stop=90)
    before = desk.balance
    desk.move(100, seconds=16 * 3600)
    desk.move(100, seconds=60)
    # 16 hours in one step: only one payment falls due, 10 * 100 * 0.01 %
    assert before - Decimal("0.1") == desk.balance
    assert ["Funding"] == [x.exec_type for x in desk.exchange.state.executions][1:]


def test_an_isolated_position_is_liquidated_at_its_bankruptcy_price() -> None:
    desk = Desk(mode="isolated")
    desk.exchange.set_leverage(COIN, Decimal(20))
    desk.order("Buy", 10)
    # 100.01 * (1 - (1/20 - 1/100)) = 96.0096, up to the tick
    assert Decimal("96.01") == desk.exchange.state.liquidation_price(desk.position)
    desk.move(96.5)
    assert desk.position.is_open
    desk.move(95.9)
    assert not desk.position.is_open
    last = desk.exchange.state.executions[-1]
    # 100.01 * (1 - 1/20) = 95.0095
    assert ("BustTrade", Decimal("95.01"), "CreateByLiq") == (
        last.exec_type,
        last.price,
        last.order.create_type,
    )
    assert 1 == desk.stats()["liquidations"]


def test_a_cross_account_is_liquidated_when_equity_falls_to_maintenance_margin() -> None:
    desk = Desk(equity=1000)
    desk.order("Buy", 90)
    price = desk.exchange.state.liquidation_price(desk.position)
    assert price is not None
    desk.move(float(price) + 0.5)
    assert desk.position.is_open
    desk.move(float(price) - 0.1)
    assert not desk.position.is_open


def test_a_small_cross_position_has_no_liquidation_price() -> None:
    desk = Desk()
    desk.order("Buy", 1)
    assert desk.exchange.state.liquidation_price(desk.position) is None


def test_leverage_has_its_own_refusals() -> None:
    desk = Desk()
    for leverage, code in ((Decimal(10), "110043"), (Decimal(51), "110013"), (Decimal("0.5"), "10001")):
        with pytest.raises(Refused, match=code):
            desk.exchange.set_leverage(COIN, leverage)
    desk.order("Buy", 900)
    with pytest.raises(Refused, match="110044"):
        desk.exchange.set_leverage(COIN, Decimal(2))


def test_the_private_stream_tells_the_fill_its_order_the_stops_and_the_wallet() -> None:
    desk = Desk()
    desk.order("Buy", 1, stop=95, link_id="a_1_x_e0")
    topics = [topic for topic, _ in desk.told]
    assert ["order", "execution", "order", "order", "position", "wallet"] == topics
    assert ["New", "Filled", "Untriggered"] == [r["orderStatus"] for t, r in desk.told if t == "order"]
    position = desk.told[4][1]
    assert ("Buy", "1.0", "95.00", "100.01") == tuple(
        position[name] for name in ("side", "size", "stopLoss", "entryPrice")
    )
