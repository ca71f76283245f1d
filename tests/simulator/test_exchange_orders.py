"""What the exchange takes, what it refuses, and how orders meet the market."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.simulator.exchange_desk import COIN, Desk
from whalestack.simulator.exchange.order import Status, TimeInForce
from whalestack.simulator.exchange.refusals import Refused


def refusal(desk: Desk, *order: object, **more: object) -> int:
    """The code with which an order is refused."""
    with pytest.raises(Refused) as refused:
        desk.order(*order, **more)  # type: ignore[arg-type]
    return refused.value.code


def test_a_limit_away_from_the_market_waits_and_fills_at_its_own_price_as_maker() -> None:
    desk = Desk()
    order = desk.order("Buy", 10, 98)
    assert Status.NEW == order.status
    desk.move(98.5)
    assert Status.NEW == order.status
    desk.move(97.9)
    assert (Status.FILLED, Decimal(98)) == (order.status, order.average_price)
    # 10 * 98 * 0.02 % maker
    assert Decimal("0.196") == order.fee


def test_a_limit_on_the_far_side_fills_at_once_at_the_market_as_taker() -> None:
    desk = Desk()
    order = desk.order("Buy", 10, 104)
    assert (Status.FILLED, Decimal("100.01")) == (order.status, order.average_price)
    # 10 * 100.01 * 0.055 % taker
    assert Decimal("0.550055") == order.fee


def test_a_market_order_fills_at_the_touch() -> None:
    desk = Desk()
    assert Decimal("99.99") == desk.order("Sell", 1).average_price


def test_a_post_only_order_that_would_take_is_accepted_and_then_cancelled() -> None:
    order = Desk().order("Buy", 1, 101, tif=TimeInForce.POST_ONLY)
    assert (Status.CANCELLED, "EC_PostOnlyWillTakeLiquidity") == (order.status, order.reject_reason)


def test_an_ioc_order_keeps_what_filled_and_cancels_the_rest() -> None:
    desk = Desk(depth_share=0.5)
    order = desk.order("Buy", 100, "100.01", tif=TimeInForce.IOC)
    assert Status.CANCELLED == order.status
    assert 0 < order.filled_qty < 100
    assert order.filled_qty == desk.position.signed


def test_a_fok_order_fills_whole_or_not_at_all() -> None:
    desk = Desk(depth_share=0.5)
    order = desk.order("Buy", 100, "100.01", tif=TimeInForce.FOK)
    assert (Status.CANCELLED, 0) == (order.status, order.filled_qty)


def test_an_order_large_beside_its_market_fills_in_parts() -> None:
    desk = Desk(depth_share=0.5)
    order = desk.order("Buy", 30, 99, stop=95)
    desk.move(98.9)
    assert Status.PARTIALLY_FILLED == order.status
    assert Decimal(95) == desk.position.protection.stop_loss
    for _ in range(20):
        desk.move(98.9)
    assert (Status.FILLED, Decimal(30)) == (order.status, desk.position.signed)


def test_a_large_market_order_pays_worse_and_worse_prices() -> None:
    desk = Desk(depth_share=0.5)
    order = desk.order("Buy", 50)
    prices = [execution.price for execution in desk.exchange.state.executions]
    assert sorted(prices) == prices
    assert len(prices) > 1
    assert order.average_price is not None
    assert order.average_price > Decimal("100.01")


def test_a_price_point_from_before_an_order_does_not_fill_it() -> None:
    desk = Desk()
    old = desk.market.push_price(COIN, 97.0)
    desk.market.push_price(COIN, 100.0)
    desk.clock.advance(5)
    order = desk.order("Buy", 1, 98, stop=95)
    desk.exchange.on_ticks([old])
    assert Status.NEW == order.status


@pytest.mark.parametrize(
    ("order", "code"),
    [
        ({"qty": 1, "symbol": "NOPEUSDT"}, 10001),
        ({"qty": "0.05"}, 10001),
        ({"qty": "0.15"}, 10001),
        ({"qty": 20_000, "limit": 100}, 10001),
        ({"qty": 6_000}, 10001),
        ({"qty": 1, "limit": "100.005"}, 10001),
        ({"qty": 1, "limit": 106}, 110003),
        ({"qty": 1, "limit": 98, "stop": 98}, 10001),
        ({"qty": 1, "limit": 98, "stop": 99}, 10001),
        ({"qty": 1, "limit": 98, "target": 97}, 10001),
        ({"qty": 1, "limit": 98, "stop": "95.001"}, 10001),
        ({"qty": 1, "reduce_only": True}, 110017),
        ({"qty": 1, "reduce_only": True, "stop": 95}, 10001),
        ({"qty": "0.1", "limit": 40}, 110094),
        ({"qty": 2_000}, 110007),
        ({"qty": 1, "link_id": "x" * 37}, 10001),
        ({"qty": 1, "link_id": "a b"}, 10001),
        ({"qty": 1, "trigger": 99, "direction": 1}, 110092),
        ({"qty": 1, "trigger": 101, "direction": 2}, 110093),
    ],
)
def test_an_order_that_breaks_a_rule_is_refused_by_its_code(order: dict[str, object], code: int) -> None:
    desk = Desk()
    assert code == refusal(desk, "Buy", **order)
    assert [] == desk.exchange.state.book.open_orders()


def test_a_sell_far_below_the_market_is_refused() -> None:
    assert 110003 == refusal(Desk(), "Sell", 1, 94)


def test_a_contract_that_is_not_live_takes_no_orders() -> None:
    desk = Desk()
    desk.market.rows[COIN]["status"] = "PreLaunch"
    assert 110074 == refusal(desk, "Buy", 1)


@pytest.mark.parametrize("end", ["open", "filled", "cancelled"])
def test_a_link_id_is_reserved_for_ever(end: str) -> None:
    desk = Desk()
    order = desk.order("Buy", 1, 104 if end == "filled" else 98, link_id="agent_1_x_e0")
    if end == "cancelled":
        desk.exchange.cancel(COIN, link_id=order.link_id)
    assert 110072 == refusal(desk, "Buy", 1, 98, link_id="agent_1_x_e0")
    assert {"agent_1_x_e0": 1} == desk.stats()["accepted_by_link_id"]


def test_a_refused_order_does_not_use_up_its_link_id() -> None:
    desk = Desk()
    assert 10001 == refusal(desk, "Buy", "0.05", link_id="a_1_x_e0")
    assert Status.FILLED == desk.order("Buy", 1, link_id="a_1_x_e0").status


def test_open_orders_bind_margin_until_they_are_cancelled() -> None:
    desk = Desk(equity=1000)
    first = desk.order("Buy", 90, 99)  # 90 * 99 / 10 = 891
    assert 110007 == refusal(desk, "Buy", 20, 99)
    desk.exchange.cancel(COIN, order_id=first.order_id)
    assert Status.NEW == desk.order("Buy", 20, 99).status


def test_a_cancel_of_an_unknown_or_finished_order_is_refused_by_its_code() -> None:
    desk = Desk()
    done = desk.order("Buy", 1)
    with pytest.raises(Refused, match="110001"):
        desk.exchange.cancel(COIN, link_id="never")
    with pytest.raises(Refused, match="110008"):
        desk.exchange.cancel(COIN, order_id=done.order_id)


def test_an_order_can_be_amended_in_place() -> None:
    desk = Desk()
    order = desk.order("Buy", 1, 98, stop=95)
    desk.exchange.amend(COIN, order_id=order.order_id, price=Decimal(97), qty=Decimal(2))
    assert (Decimal(97), Decimal(2)) == (order.price, order.qty)
    desk.move(96.9)
    assert (Status.FILLED, Decimal(97)) == (order.status, order.average_price)


def test_a_reduce_only_order_is_cut_to_the_position_and_goes_when_there_is_none() -> None:
    desk = Desk()
    desk.order("Buy", 3, stop=95)
    exit_order = desk.order("Sell", 5, 105, reduce_only=True)
    assert Decimal(3) == exit_order.qty
    desk.order("Sell", 1, reduce_only=True)
    assert Decimal(2) == exit_order.qty
    desk.order("Sell", 2, reduce_only=True)
    assert (Status.CANCELLED, "CancelByReduceOnly") == (exit_order.status, exit_order.cancel_type)


def test_a_conditional_order_waits_for_its_trigger() -> None:
    desk = Desk()
    order = desk.order("Buy", 1, trigger=102, direction=1)
    assert Status.UNTRIGGERED == order.status
    desk.move(101.5)
    assert Status.UNTRIGGERED == order.status
    desk.move(102)
    assert Status.FILLED == order.status


def test_the_same_seed_gives_the_same_ids_and_fills() -> None:
    runs = []
    for _ in range(2):
        desk = Desk(depth_share=0.5)
        desk.order("Buy", 40)
        runs.append([(x.exec_id, x.price, x.qty) for x in desk.exchange.state.executions])
    assert runs[0] == runs[1]
