"""An order's outcome is never misread: refused, unknown and not sent are told apart."""

from __future__ import annotations

import socket
from dataclasses import replace
from decimal import Decimal

import pytest

from tests.bybit.loopback import RESET, Answer, Loopback, reply
from whalestack.clients.bybit.client import BybitClient
from whalestack.clients.bybit.errors import (
    BybitClockSkew,
    BybitKeyRefused,
    BybitOutcomeUnknown,
    BybitRateLimited,
    BybitRefused,
    BybitUnavailable,
    DuplicateOrder,
    OrderNotFound,
)
from whalestack.clients.bybit.transport import BybitTransport
from whalestack.clients.bybit.types import OrderAck, OrderRequest, Side
from whalestack.clock import ManualClock

CREATE = "/v5/order/create"
TICKERS = "/v5/market/tickers"
ORDER = OrderRequest(
    symbol="EVAAUSDT",
    side=Side.BUY,
    qty=Decimal("12.5"),
    order_link_id="conservative-1-s42-e0",
    price=Decimal("7.1"),
    stop_loss=Decimal("6.7"),
    take_profit=Decimal("8.0"),
)
DONE = {"orderId": "abc", "orderLinkId": ORDER.order_link_id}

UNREADABLE = [
    pytest.param(Answer(b"<html>bad gateway</html>"), id="html"),
    pytest.param(Answer(b""), id="empty"),
    pytest.param(Answer(b"{}"), id="no retCode"),
    pytest.param(Answer(b'{"retCode": null, "result": {"orderId": "x"}}'), id="retCode null"),
    pytest.param(Answer(b'{"retCode": false, "result": {"orderId": "x"}}'), id="retCode false"),
    pytest.param(Answer(b'{"retCode": 110007}'), id="code without text"),
    pytest.param(Answer(b'{"retCode": "what", "retMsg": ""}'), id="retCode a word"),
    pytest.param(Answer(b"[1, 2]"), id="a list"),
    pytest.param(Answer(b'"retCode"'), id="a string"),
    pytest.param(Answer(b"null"), id="null"),
    pytest.param(Answer(b"7"), id="a number"),
    pytest.param(Answer(b"[" * 100_000), id="nested too deep"),
    pytest.param(Answer(b"\xff\xfe\x00"), id="not utf-8"),
    pytest.param(reply([]), id="result a list"),
    pytest.param(
        reply(DONE, code=0).__class__(b'{"retCode":0,"result":{"orderId":"ab', cut_short=True), id="cut"
    ),
    pytest.param(Answer(hang_up=True), id="hung up"),
    pytest.param(replace(reply(DONE), delay_s=0.6), id="too late"),
    pytest.param(Answer(status=500), id="500"),
    pytest.param(Answer(status=502), id="502"),
    pytest.param(Answer(status=504), id="504"),
    pytest.param(Answer(status=302, headers=(("Location", "/v5/elsewhere"),)), id="redirect"),
    pytest.param(Answer(status=202), id="202"),
    pytest.param(reply({}, code=10000, text="server timeout"), id="10000"),
    pytest.param(reply({}, code=10014, text="invalid duplicate request"), id="10014"),
    pytest.param(reply({}, code=10016, text="server error"), id="10016"),
    pytest.param(reply({}, code=1, text="?"), id="a code that is not Bybit's"),
]


@pytest.mark.parametrize("answer", UNREADABLE)
def test_an_order_without_a_clear_answer_is_unknown_and_was_sent_once(
    client: BybitClient, server: Loopback, answer: Answer
) -> None:
    server.on(CREATE, answer)

    with pytest.raises(BybitOutcomeUnknown):
        client.place(ORDER)

    assert 1 == len(server.seen)


@pytest.mark.parametrize("answer", UNREADABLE)
def test_a_read_without_a_clear_answer_is_repeated_three_times_and_then_unavailable(
    client: BybitClient, server: Loopback, answer: Answer
) -> None:
    server.on(TICKERS, answer)

    with pytest.raises(BybitUnavailable):
        client.tickers()

    assert 3 == len(server.calls(TICKERS))


@pytest.mark.parametrize(
    ("result", "why"),
    [
        ({}, "no order id"),
        ({"orderId": "", "orderLinkId": ORDER.order_link_id}, "an empty order id"),
        ({"orderId": "abc", "orderLinkId": "somebody-else"}, "another order's id"),
    ],
)
def test_a_success_that_is_not_about_our_order_is_unknown(
    client: BybitClient, server: Loopback, result: dict[str, str], why: str
) -> None:
    server.on(CREATE, reply(result))

    with pytest.raises(BybitOutcomeUnknown):
        client.place(ORDER)


REFUSALS = [
    (reply({}, code=110072), DuplicateOrder),
    (reply({}, code=110001), OrderNotFound),
    (reply({}, code=110007), BybitRefused),
    (reply({}, code=10001), BybitRefused),
    (reply({}, code=10006), BybitRateLimited),
    (reply({}, code=10002), BybitClockSkew),
    (reply({}, code=10003), BybitKeyRefused),
    (reply({}, code=10004), BybitKeyRefused),
    (reply({}, code=10010), BybitKeyRefused),
    (reply({}, code="110007"), BybitRefused),
    (Answer(status=429), BybitRateLimited),
    (Answer(status=403), BybitRateLimited),
    (Answer(status=401), BybitKeyRefused),
    (Answer(status=404), BybitRefused),
]


@pytest.mark.parametrize(("answer", "expected"), REFUSALS)
def test_a_clear_no_is_a_refusal_of_its_kind_and_was_sent_once(
    client: BybitClient, server: Loopback, answer: Answer, expected: type[Exception]
) -> None:
    server.on(CREATE, answer)

    with pytest.raises(expected) as caught:
        client.place(ORDER)

    assert expected is type(caught.value)
    assert 1 == len(server.seen)


def test_an_order_that_found_no_server_was_not_sent_and_says_so() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        client = BybitClient(
            BybitTransport(rest_url=url, api_key="k", api_secret="s", timeout_s=0.3), ManualClock()
        )

        with pytest.raises(BybitUnavailable, match="nothing was sent"):
            client.place(ORDER)


def test_a_call_without_keys_names_the_settings(server: Loopback) -> None:
    client = BybitClient(BybitTransport(rest_url=server.url), ManualClock())

    with pytest.raises(BybitKeyRefused, match="BYBIT_API_KEY"):
        client.place(ORDER)

    assert [] == server.seen


def test_a_rate_limit_whose_reset_lies_in_the_past_is_a_rate_limit(
    client: BybitClient, server: Loopback
) -> None:
    """pybit itself sleeps a negative time there and raises ValueError."""
    server.on(CREATE, reply({}, code=10006, headers=((RESET, "1600000000000"),)))

    with pytest.raises(BybitRateLimited) as caught:
        client.place(ORDER)

    assert 0.0 == caught.value.retry_after_s


def test_a_spent_endpoint_is_waited_for_at_most_a_second(
    client: BybitClient, server: Loopback, slept: list[float]
) -> None:
    spent = (("X-Bapi-Limit", "10"), ("X-Bapi-Limit-Status", "0"), (RESET, "99999999999999"))
    server.on(CREATE, reply({}, code=10006, headers=spent), reply(DONE))

    with pytest.raises(BybitRateLimited):
        client.place(ORDER)
    client.place(ORDER)

    assert [1.0] == slept
    assert 10 == client.rate_budget.known("place_order").limit


def test_a_read_succeeds_after_two_failures(client: BybitClient, server: Loopback) -> None:
    server.on(TICKERS, Answer(status=503), Answer(b"garbled"), reply({"list": []}))

    assert [] == client.tickers()
    assert 3 == len(server.seen)


def test_a_read_does_not_hang_on_the_ten_minutes_of_an_ip_limit(
    client: BybitClient, server: Loopback
) -> None:
    server.on(TICKERS, Answer(status=403))

    with pytest.raises(BybitRateLimited) as caught:
        client.tickers()

    assert (600.0, 1) == (caught.value.retry_after_s, len(server.seen))


def test_an_accepted_order_is_acknowledged_with_both_ids(client: BybitClient, server: Loopback) -> None:
    server.on(CREATE, reply(DONE))

    assert OrderAck(ORDER.order_link_id, "abc") == client.place(ORDER)
