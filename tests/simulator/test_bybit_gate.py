"""The gate before every endpoint: signature, time window, limits; with a wall clock that a test moves."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from tests.simulator.bybit_loopback import KEY, loopback
from whalestack.simulator.bybit_rest import BybitRest, Call, Reply
from whalestack.simulator.bybit_rest_auth import ApiKey
from whalestack.simulator.bybit_rest_limits import BybitLimits

ORDER = {
    "category": "linear",
    "symbol": "AAAUSDT",
    "side": "Buy",
    "orderType": "Limit",
    "qty": "1",
    "price": "98",
    "stopLoss": "95",
}
TICKERS = Call("GET", "/v5/market/tickers", "category=linear")


class Door:
    """The gate, with requests that are signed at a moment of the test's choice."""

    def __init__(self, limits: BybitLimits | None = None) -> None:
        self.now_ms = 1_000_000
        self.world = loopback().world
        self.gate = BybitRest(self.world, limits, real_ms=lambda: self.now_ms)

    def ask(self, path: str, query: str = "", body: Any = None, *, skew_ms: int = 0) -> Reply:
        """A GET with a raw query, or a POST with a body."""
        text = "" if body is None else json.dumps(body)
        stamp = str(self.now_ms + skew_ms)
        headers = {"X-BAPI-API-KEY": KEY, "X-BAPI-TIMESTAMP": stamp, "X-BAPI-RECV-WINDOW": "5000"}
        headers["X-BAPI-SIGN"] = self.gate.key.sign(f"{stamp}{KEY}5000{query or text}")
        return self.gate.answer(Call("GET" if body is None else "POST", path, query, text, headers))


def code(reply: Reply) -> int:
    """The retCode of a reply."""
    return int(orjson.loads(reply.body)["retCode"])


def test_a_raw_query_is_signed_as_sent() -> None:
    """A cursor holds percent signs; decoding and encoding it again would break the signature."""
    query = "category=linear&cursor=a%3Db%26&settleCoin=USDT"
    assert 0 == code(Door().ask("/v5/position/list", query))


@pytest.mark.parametrize(
    ("skew_ms", "expected"), [(0, 0), (-5000, 0), (-5001, 10002), (999, 0), (1000, 10002)]
)
def test_a_timestamp_may_be_old_by_the_window_and_early_by_less_than_a_second(
    skew_ms: int, expected: int
) -> None:
    reply = Door().ask("/v5/account/wallet-balance", "accountType=UNIFIED", skew_ms=skew_ms)
    assert expected == code(reply)


def test_times_are_market_time_and_only_the_server_time_is_the_wall_clock() -> None:
    door = Door()
    assert door.world.clock.now_ms() == orjson.loads(door.gate.answer(TICKERS).body)["time"]
    assert door.now_ms == orjson.loads(door.gate.answer(Call("GET", "/v5/market/time")).body)["time"]


def test_the_eleventh_order_of_a_second_is_refused_and_leaves_nothing_behind() -> None:
    door = Door()
    replies = [door.ask("/v5/order/create", body={**ORDER, "orderLinkId": f"a_{n}_x_e0"}) for n in range(11)]
    assert [0] * 10 + [10006] == [code(reply) for reply in replies]
    left = [int(reply.headers["X-Bapi-Limit-Status"]) for reply in replies]
    assert [*range(9, -1, -1), 0] == left
    assert {"10"} == {reply.headers["X-Bapi-Limit"] for reply in replies}
    assert 10 == len(door.world.exchange.state.book.open_orders())
    assert 0 == code(door.ask("/v5/position/list", "category=linear&settleCoin=USDT"))


def test_the_limit_is_rolling_and_says_a_time_that_lies_ahead() -> None:
    door = Door()
    for _ in range(5):
        assert 0 == code(door.ask("/v5/account/fee-rate", "category=linear"))
        door.now_ms += 100
    refused = door.ask("/v5/account/fee-rate", "category=linear")
    reset_ms = int(refused.headers["X-Bapi-Limit-Reset-Timestamp"])
    assert (10006, True) == (code(refused), door.now_ms < reset_ms)
    door.now_ms = reset_ms
    assert 0 == code(door.ask("/v5/account/fee-rate", "category=linear"))


def test_batches_have_a_bucket_of_their_own_and_pay_for_each_order() -> None:
    door = Door()
    for number in range(10):
        assert 0 == code(door.ask("/v5/order/create", body={**ORDER, "orderLinkId": f"a_{number}_x_e0"}))
    members = [{**ORDER, "orderLinkId": f"b_{number}_x_e0"} for number in range(12)]
    batch = {"category": "linear", "request": members}
    codes = orjson.loads(door.ask("/v5/order/create-batch", body=batch).body)["retExtInfo"]["list"]
    assert [0] * 10 + [10006] * 2 == [row["code"] for row in codes]
    assert 10006 == code(door.ask("/v5/order/create-batch", body=batch))


def test_an_address_that_asks_too_often_is_shut_out() -> None:
    door = Door(BybitLimits(ip_requests=3, ip_window_s=5, ban_s=600))
    assert [200, 200, 200, 403] == [door.gate.answer(TICKERS).status for _ in range(4)]
    door.now_ms += 10_000
    assert 403 == door.gate.answer(TICKERS).status
    assert 200 == door.gate.answer(Call("GET", TICKERS.path, TICKERS.query, address="10.0.0.2")).status
    door.now_ms += 600_000
    assert 200 == door.gate.answer(TICKERS).status
    assert {"/v5/market/tickers 403": 2} == door.world.exchange.stats()["api_refusals"]


def test_a_key_does_not_print_its_secret() -> None:
    assert "hidden" not in repr(ApiKey("key", "hidden"))
