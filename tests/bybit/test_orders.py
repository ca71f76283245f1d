"""What is sent to Bybit, byte by byte, and what is never sent."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bybit.loopback import Loopback, reply
from tests.bybit.test_outcomes import CREATE, DONE, ORDER
from whalestack.clients.bybit.batch import read_batch
from whalestack.clients.bybit.client import BybitClient
from whalestack.clients.bybit.errors import (
    BybitOutcomeUnknown,
    BybitRateLimited,
    BybitRefused,
    DuplicateOrder,
    OrderNotFound,
)
from whalestack.clients.bybit.payloads import order_fields, plain
from whalestack.clients.bybit.transport import Reply
from whalestack.clients.bybit.types import OrderAck, OrderName

BATCH = "/v5/order/create-batch"
CANCEL_BATCH = "/v5/order/cancel-batch"
STOPS = "/v5/position/trading-stop"
LEVERAGE = "/v5/position/set-leverage"


def test_a_limit_order_carries_its_stop_and_target(client: BybitClient, server: Loopback) -> None:
    server.on(CREATE, reply(DONE))

    client.place(ORDER)

    assert {
        "category": "linear",
        "symbol": "EVAAUSDT",
        "side": "Buy",
        "orderType": "Limit",
        "qty": "12.5",
        "price": "7.1",
        "timeInForce": "GTC",
        "orderLinkId": "conservative-1-s42-e0",
        "positionIdx": 0,
        "reduceOnly": False,
        "stopLoss": "6.7",
        "slTriggerBy": "LastPrice",
        "takeProfit": "8.0",
        "tpTriggerBy": "LastPrice",
        "tpslMode": "Full",
    } == server.seen[0].fields


def test_a_market_close_is_reduce_only_without_stops(client: BybitClient, server: Loopback) -> None:
    server.on(CREATE, reply(DONE))

    client.place(replace(ORDER, price=None, stop_loss=None, take_profit=None, reduce_only=True))

    fields = server.seen[0].fields
    assert ("Market", "IOC", True) == (fields["orderType"], fields["timeInForce"], fields["reduceOnly"])
    assert not {"price", "stopLoss", "takeProfit", "tpslMode"} & set(fields)


@pytest.mark.parametrize(
    "order",
    [
        pytest.param(replace(ORDER, stop_loss=None), id="opens without a stop"),
        pytest.param(replace(ORDER, reduce_only=True), id="reduces with a stop"),
        pytest.param(replace(ORDER, order_link_id="x" * 37), id="id too long"),
        pytest.param(replace(ORDER, order_link_id="a b"), id="id with a space"),
        pytest.param(replace(ORDER, order_link_id="abc\n"), id="id with a line end"),
        pytest.param(replace(ORDER, order_link_id=""), id="no id"),
        pytest.param(replace(ORDER, qty=Decimal(0)), id="no quantity"),
        pytest.param(replace(ORDER, price=Decimal("NaN")), id="no price"),
        pytest.param(replace(ORDER, stop_loss=Decimal(0)), id="a stop of zero means none"),
    ],
)
def test_a_bad_order_is_refused_and_not_sent(client: BybitClient, server: Loopback, order: Any) -> None:
    with pytest.raises(BybitRefused):
        client.place(order)

    assert [] == server.seen


@given(st.decimals(min_value="1e-18", max_value="1e12", allow_nan=False, allow_infinity=False))
def test_numbers_leave_without_an_exponent_and_unchanged(number: Decimal) -> None:
    text = plain(number)

    assert "e" not in text.lower()
    assert number == Decimal(text)


def test_numbers_inside_a_batch_are_strings_too(client: BybitClient, server: Loopback) -> None:
    tiny = replace(ORDER, price=Decimal("1E-5"), stop_loss=Decimal("9E-6"), take_profit=None)
    server.on(BATCH, reply({"list": [DONE]}, ext={"list": [{"code": 0, "msg": "OK"}]}))

    client.place_batch([tiny])

    sent = server.seen[0].fields["request"][0]
    assert ("0.00001", "0.000009", "12.5") == (sent["price"], sent["stopLoss"], sent["qty"])
    assert "category" not in sent


def test_each_member_of_a_batch_has_its_own_outcome(client: BybitClient, server: Loopback) -> None:
    orders = [replace(ORDER, order_link_id=f"leg-{place}") for place in range(7)]
    orders[3] = replace(orders[3], stop_loss=None)
    taken = {"symbol": ORDER.symbol, "orderId": "id", "orderLinkId": "leg-0"}
    nothing = {"orderId": "", "orderLinkId": ""}
    server.on(
        BATCH,
        reply(
            {
                "list": [
                    taken,
                    nothing,
                    nothing | {"orderLinkId": "leg-2"},
                    nothing,
                    {**taken, "orderLinkId": "leg-5"},
                    nothing,
                ]
            },
            ext={"list": [{"code": code, "msg": ""} for code in (0, 110007, 110072, 10006, 0, 10016)]},
        ),
    )

    results = client.place_batch(orders)

    kinds = [
        OrderAck, BybitRefused, DuplicateOrder, BybitRefused, BybitRateLimited, OrderAck, BybitOutcomeUnknown,
    ]  # fmt: skip
    assert kinds == [type(result) for result in results]
    assert 6 == len(server.seen[0].fields["request"])


def test_a_batch_of_more_than_twenty_is_refused_and_not_sent(client: BybitClient, server: Loopback) -> None:
    with pytest.raises(BybitRefused):
        client.place_batch([ORDER] * 21)

    assert [] == server.seen


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3)
    ),
    max_leaves=8,
)
members = st.one_of(
    json_values,
    st.fixed_dictionaries(
        {},
        optional={
            "orderId": st.sampled_from(["", "id", 7]),
            "orderLinkId": st.sampled_from(["", ORDER.order_link_id, "other"]),
        },
    ),
)
verdicts = st.one_of(
    json_values, st.fixed_dictionaries({"code": st.sampled_from([0, 10006, 110007, "0", None])})
)


@given(
    orders=st.one_of(json_values, st.lists(members, max_size=3)),
    codes=st.one_of(json_values, st.lists(verdicts, max_size=3)),
    n=st.integers(1, 3),
)
def test_whatever_a_batch_answers_each_order_has_one_outcome(orders: Any, codes: Any, n: int) -> None:
    """An order counts as taken only with code 0, an order id, and no other order's link id."""
    results = read_batch(Reply({"list": orders}, {"list": codes}, 0), [ORDER] * n, "place_batch_order")

    assert n == len(results)
    for place, result in enumerate(results):
        if isinstance(result, OrderAck):
            assert 0 == codes[place]["code"]
            assert orders[place]["orderId"]
            assert orders[place].get("orderLinkId") in (None, "", ORDER.order_link_id)


def test_moving_a_stop_leaves_the_target_as_it_is(client: BybitClient, server: Loopback) -> None:
    server.on(STOPS, reply({}))

    client.set_stops("EVAAUSDT", stop_loss=Decimal("7.1"), take_profit=None)

    assert {
        "category": "linear",
        "symbol": "EVAAUSDT",
        "positionIdx": 0,
        "stopLoss": "7.1",
        "slTriggerBy": "LastPrice",
        "tpslMode": "Full",
    } == server.seen[0].fields


def test_a_stop_that_stands_there_already_is_success(client: BybitClient, server: Loopback) -> None:
    server.on(STOPS, reply({}, code=34040, text="not modified"))

    client.set_stops("EVAAUSDT", stop_loss=Decimal("7.1"), take_profit=None)


def test_a_stop_on_the_wrong_side_is_refused_with_its_code(client: BybitClient, server: Loopback) -> None:
    server.on(STOPS, reply({}, code=10001, text="StopLoss is higher than price"))

    with pytest.raises(BybitRefused) as caught:
        client.set_stops("EVAAUSDT", stop_loss=Decimal("9"), take_profit=None)

    assert 10001 == caught.value.code


@pytest.mark.parametrize("stop", [None, Decimal(0), Decimal("-1")])
def test_a_stop_is_never_removed(client: BybitClient, server: Loopback, stop: Decimal | None) -> None:
    """Bybit takes "0" for "remove it"."""
    with pytest.raises(BybitRefused):
        client.set_stops("EVAAUSDT", stop_loss=stop, take_profit=None)

    assert [] == server.seen


def test_leverage_that_is_set_already_is_success(client: BybitClient, server: Loopback) -> None:
    server.on(LEVERAGE, reply({}, code=110043, text="leverage not modified"))

    client.set_leverage("EVAAUSDT", Decimal("5"))

    fields = server.seen[0].fields
    assert ("5", "5") == (fields["buyLeverage"], fields["sellLeverage"])


def test_cancel_all_leaves_the_stops_of_positions_alone(client: BybitClient, server: Loopback) -> None:
    server.on("/v5/order/cancel-all", reply({"list": [{"orderId": "1"}, {"orderId": "2"}], "success": "1"}))

    assert 2 == client.cancel_all()
    assert {"category": "linear", "orderFilter": "Order", "settleCoin": "USDT"} == server.seen[0].fields


def test_cancel_names_the_order_by_our_id(client: BybitClient, server: Loopback) -> None:
    server.on("/v5/order/cancel", reply({"orderId": "1"}))

    client.cancel("EVAAUSDT", "leg-1")

    assert "leg-1" == server.seen[0].fields["orderLinkId"]
    assert "orderId" not in server.seen[0].fields


def test_a_batch_of_cancels_has_one_answer_for_each(client: BybitClient, server: Loopback) -> None:
    """Taken, gone before (as Bybit's own example answers), cut off by the rate limit, and no answer."""
    names = [OrderName("EVAAUSDT", f"leg-{number}") for number in range(4)]
    server.on(
        CANCEL_BATCH,
        reply(
            {"list": [{"orderId": "1", "orderLinkId": "leg-0"}, *[{"orderId": ""}] * 3]},
            ext={"list": [{"code": code, "msg": ""} for code in (0, 170213, 10006, 10016)]},
        ),
    )

    results = client.cancel_batch(names)

    kinds = [OrderAck, OrderNotFound, BybitRateLimited, BybitOutcomeUnknown]
    assert kinds == [type(result) for result in results]
    assert {"symbol": "EVAAUSDT", "orderLinkId": "leg-3"} == server.seen[0].fields["request"][3]
    with pytest.raises(BybitRefused):
        client.cancel_batch([names[0]] * 21)
    assert 1 == len(server.seen)


def test_an_order_to_open_without_a_stop_has_no_payload() -> None:
    with pytest.raises(BybitRefused, match="no stop"):
        order_fields(replace(ORDER, stop_loss=None))
