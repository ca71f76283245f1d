"""The record that trading is judged by: naked positions and doubled orders."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulator.exchange_desk import COIN, Desk
from whalestack.simulator.exchange.order import Order, OrderSpec, OrderType, Side
from whalestack.simulator.exchange.refusals import Refused


def test_seconds_without_a_stop_are_counted_until_one_is_set() -> None:
    desk = Desk()
    desk.order("Buy", 1)
    desk.clock.advance(12.5)
    assert 12.5 == desk.stats()["unprotected_position_seconds"]
    assert [COIN] == desk.stats()["unprotected_now"]
    desk.stops(95)
    desk.clock.advance(100)
    assert 12.5 == desk.stats()["unprotected_position_seconds"]
    assert [] == desk.stats()["unprotected_now"]


def test_two_naked_positions_count_two_for_each_second() -> None:
    desk = Desk()
    desk.order("Buy", 1)
    desk.order("Buy", 1, symbol="BBBUSDT")
    desk.clock.advance(3)
    assert 6.0 == desk.stats()["unprotected_position_seconds"]


def test_a_gap_too_short_to_have_seconds_is_counted_as_a_spell() -> None:
    desk = Desk()
    desk.order("Buy", 1)
    desk.stops(95)
    assert (0.0, 1) == (
        desk.stats()["unprotected_position_seconds"],
        desk.stats()["unprotected_spells"],
    )
    assert "unprotected_from" in desk.kinds()


def test_a_stop_that_is_cancelled_and_made_anew_leaves_a_gap_in_the_record() -> None:
    desk = Desk()
    desk.order("Buy", 1, stop=95)
    desk.stops(None)
    desk.clock.advance(2)
    desk.stops(96)
    assert 2.0 == desk.stats()["unprotected_position_seconds"]


def test_cancelling_everything_without_a_filter_takes_the_stops_of_positions_away() -> None:
    desk = Desk()
    desk.order("Buy", 1, stop=95)
    waiting = desk.order("Buy", 1, 98, stop=95)
    desk.exchange.cancel_all(order_filter="Order")
    assert not waiting.is_open
    assert Decimal(95) == desk.position.protection.stop_loss
    desk.exchange.cancel_all()
    assert desk.position.protection.stop_loss is None
    assert 1 == desk.stats()["unprotected_spells"]


def test_the_record_answers_for_any_moment() -> None:
    desk = Desk()
    begin = desk.clock.now_ms()
    desk.clock.advance(1)
    desk.order("Buy", 1)
    desk.clock.advance(1)
    desk.stops(95)
    desk.clock.advance(1)
    desk.order("Sell", 1, reduce_only=True)
    ledger = desk.log.protection
    moments = [begin, begin + 1500, begin + 2500, begin + 3500]
    assert [None, False, True, None] == [ledger.had_stop(COIN, at) for at in moments]


def test_the_same_link_id_accepted_twice_would_be_seen() -> None:
    desk = Desk()
    order = desk.order("Buy", 1, 98, link_id="a_1_x_e0")
    with pytest.raises(Refused, match="110072"):
        desk.order("Buy", 1, 98, link_id="a_1_x_e0")
    assert (0, 1) == (desk.stats()["duplicated_orders"], desk.stats()["duplicates_refused"])
    desk.log.order_accepted(order, desk.clock.now_ms())
    assert 1 == desk.stats()["same_link_id_accepted_twice"]


@pytest.mark.parametrize(
    ("first", "second", "twins"),
    [
        ("agent_1_x_e0", "agent_1_y_e0", 1),
        ("agent_1_x_e0", "", 1),
        ("", "", 1),
        ("agent_1_x_e0", "other_1_x_e0", 0),
    ],
)
def test_one_intent_sent_again_under_another_id_is_seen(first: str, second: str, twins: int) -> None:
    desk = Desk()
    desk.order("Buy", 1, 98, link_id=first)
    desk.real_ms += 5_000
    desk.order("Buy", 1, 98, link_id=second)
    assert twins == desk.stats()["duplicated_orders"]


def test_equal_orders_long_apart_and_rungs_of_a_ladder_are_no_twins() -> None:
    desk = Desk()
    desk.order("Buy", 1, 98, link_id="a_1_x_e0")
    desk.order("Buy", 1, 97, link_id="a_1_x_e1")
    desk.real_ms += 61_000
    desk.order("Buy", 1, 98, link_id="a_2_x_e0")
    assert 0 == desk.stats()["duplicated_orders"]
    assert {"a_1_x": 2, "a_2_x": 1} == desk.stats()["entries_by_intent"]


@pytest.mark.parametrize("between", ["cancelled", "closed"])
def test_an_equal_order_after_the_first_is_gone_is_a_new_trade(between: str) -> None:
    desk = Desk()
    first = desk.order("Buy", 1, 98 if between == "cancelled" else 101, stop=90, link_id="a_1_x_e0")
    if between == "cancelled":
        desk.exchange.cancel(COIN, order_id=first.order_id)
    else:
        desk.order("Sell", 1, reduce_only=True, link_id="a_x1_x_x0")
    desk.order("Buy", 1, first.price, stop=90, link_id="a_2_y_e0")
    assert 0 == desk.stats()["duplicated_orders"]


def test_an_entry_on_top_of_another_occasion_is_counted_as_stacked() -> None:
    desk = Desk()
    desk.order("Buy", 1, 98, stop=95, link_id="a_1_x_e0")
    desk.order("Buy", 1, 97, stop=95, link_id="a_1_x_e1")
    assert 0 == desk.stats()["stacked_entries"]
    desk.order("Buy", 1, 97, stop=94, link_id="a_2_y_e0")
    assert (1, 0) == (desk.stats()["stacked_entries"], desk.stats()["duplicated_orders"])


def test_entries_that_come_without_a_stop_are_counted() -> None:
    desk = Desk()
    desk.order("Buy", 1, 98, stop=95)
    desk.order("Buy", 2, 98)
    assert 1 == desk.stats()["entries_without_stop"]


def test_events_can_be_asked_by_number_kind_and_symbol() -> None:
    desk = Desk()
    desk.order("Buy", 1, stop=95)
    kinds = desk.kinds()
    assert ["order_accepted", "fill", "position_opened", "stop_set", "order_filled"] == kinds
    later = desk.log.rows(after_seq=2, symbol=COIN, limit=2)
    assert [(3, "position_opened"), (4, "stop_set")] == [(row["seq"], row["kind"]) for row in later]
    assert [] == desk.log.events(symbol="BBBUSDT")


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["buy", "sell", "close", "stop", "move", "cancel"]),
        st.integers(min_value=-40, max_value=40),
    ),
    max_size=40,
)


def act(desk: Desk, action: str, number: int) -> None:
    """One step of a random trader; what is refused changes nothing."""
    here = desk.market.ticker(COIN).last
    if action == "move":
        desk.move(round(max(here * (1 + number / 1000), 1.0), 2))
    elif action in ("buy", "sell"):
        side, sign = ("Buy", 1) if action == "buy" else ("Sell", -1)
        limit = round(here * (1 + number / 2000), 2)
        desk.order(side, abs(number) + 1, limit, stop=round(limit * (1 - sign * 0.07), 2))
    elif action == "close":
        desk.order("Sell" if desk.position.signed > 0 else "Buy", abs(number) + 1, reduce_only=True)
    elif action == "stop":
        desk.stops(round(here * (1 + number / 1000), 2))
    else:
        desk.exchange.cancel_all(order_filter="Order")


@settings(max_examples=150, deadline=None)
@given(ACTIONS)
def test_whatever_a_trader_does_orders_with_stops_never_leave_a_naked_position(
    actions: list[tuple[str, int]],
) -> None:
    """And money is conserved: the balance is the start plus all realised profit, less all fees."""
    desk = Desk(depth_share=1.0)
    for action, number in actions:
        try:
            act(desk, action, number)
        except Refused:
            continue
    state = desk.exchange.state
    assert 0 == desk.stats()["unprotected_spells"]
    booked = sum((position.realised_ever for position in state.positions.values()), Decimal(0))
    assert abs(Decimal(10_000) + booked - desk.balance) < Decimal("1e-12")
    net = sum((x.qty * x.side.sign for x in state.executions), Decimal(0))
    assert net == desk.position.signed
    children = [order for order in state.book.open_orders(COIN) if order.is_child]
    assert len(children) == (1 if desk.position.is_open else 0)
    assert all(child.qty == desk.position.size for child in children)


def test_an_order_counts_as_an_entry_only_if_it_may_open() -> None:
    desk = Desk()
    spec = OrderSpec(COIN, Side.SELL, OrderType.MARKET, Decimal(1), link_id="a_x1_x_x0", reduce_only=True)
    desk.log.order_accepted(Order("id", spec, 0, 0, Decimal(100)), 0)
    assert {} == desk.stats()["entries_by_intent"]
