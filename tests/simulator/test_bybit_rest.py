"""The unmodified pybit client against the simulator's REST API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from pybit.exceptions import FailedRequestError, InvalidRequestError

from tests.simulator.bybit_loopback import Loopback, loopback, wait_until
from whalestack.simulator.faults import FaultKind, FaultRule

COIN = "AAAUSDT"
LINEAR = {"category": "linear", "symbol": COIN}
BUY = {**LINEAR, "side": "Buy", "orderType": "Limit", "positionIdx": 0, "tpslMode": "Full"}


@pytest.fixture
def server() -> Iterator[Loopback]:
    running = loopback()
    running.start()
    yield running
    running.stop()


def code_of(call: Any, **arguments: Any) -> int:
    """The retCode with which a call is refused."""
    with pytest.raises(InvalidRequestError) as refused:
        call(**arguments)
    return int(refused.value.status_code)


def test_an_order_lives_from_its_acceptance_to_its_profit(server: Loopback) -> None:
    client = server.client()
    ack = client.place_order(
        **BUY, qty="2", price="99", stopLoss="95", takeProfit="110", orderLinkId="a_1_x_e0"
    )
    assert "a_1_x_e0" == ack["result"]["orderLinkId"]
    assert ["New"] == [row["orderStatus"] for row in client.get_open_orders(**LINEAR)["result"]["list"]]
    server.move(COIN, 98.9)
    position = client.get_positions(category="linear", settleCoin="USDT")["result"]["list"][0]
    assert ("Buy", "2.0", "95.00", "110.00") == tuple(
        position[name] for name in ("side", "size", "stopLoss", "takeProfit")
    )
    found = client.get_open_orders(**LINEAR, orderLinkId="a_1_x_e0")["result"]["list"]
    assert ["Filled"] == [row["orderStatus"] for row in found]
    server.move(COIN, 110.5)
    closed = client.get_closed_pnl(**LINEAR)["result"]["list"]
    assert [("Sell", "2.0", "99", "110.49")] == [
        (row["side"], row["closedSize"], row["avgEntryPrice"], row["avgExitPrice"]) for row in closed
    ]
    executions = client.get_executions(**LINEAR)["result"]["list"]
    assert ["TakeProfit", "UNKNOWN"] == [row["stopOrderType"] for row in executions]
    assert [] == client.get_positions(category="linear", settleCoin="USDT")["result"]["list"]
    assert 0 == server.inside(server.world.exchange.stats)["unprotected_spells"]


def test_an_empty_position_has_a_row_when_asked_by_its_symbol(server: Loopback) -> None:
    rows = server.client().get_positions(**LINEAR)["result"]["list"]
    assert [("", "0")] == [(row["side"], row["size"]) for row in rows]


@pytest.mark.parametrize("qty", [0.5, 1])
def test_a_batch_with_numbers_instead_of_strings_is_refused_member_by_member(
    server: Loopback, qty: float
) -> None:
    member = {"symbol": COIN, "side": "Buy", "orderType": "Limit", "price": "98"}
    members = [{**member, "qty": "1", "orderLinkId": "a_1_x_e0"}, {**member, "qty": qty}]
    members.append({**member, "qty": "1", "orderLinkId": "a_1_x_e0"})
    reply = server.client().place_batch_order(category="linear", request=members)
    assert [0, 10001, 110072] == [row["code"] for row in reply["retExtInfo"]["list"]]
    assert [True, False, False] == [bool(row["orderId"]) for row in reply["result"]["list"]]
    assert 1 == len(server.client().get_open_orders(**LINEAR)["result"]["list"])


def test_a_batch_of_more_than_twenty_is_refused_whole(server: Loopback) -> None:
    member = {"symbol": COIN, "side": "Buy", "orderType": "Limit", "price": "98", "qty": "1"}
    client = server.client()
    assert 10001 == code_of(client.place_batch_order, category="linear", request=[member] * 21)


def test_orders_of_a_batch_beyond_the_limit_fail_alone(server: Loopback) -> None:
    member = {"symbol": COIN, "side": "Buy", "orderType": "Limit", "price": "98", "qty": "1"}
    reply = server.client().place_batch_order(category="linear", request=[member] * 12)
    assert [0] * 10 + [10006] * 2 == [row["code"] for row in reply["retExtInfo"]["list"]]


def test_stops_are_moved_and_what_changes_nothing_is_said_so(server: Loopback) -> None:
    client = server.client()
    stop = {**LINEAR, "tpslMode": "Full", "positionIdx": 0}
    assert 10001 == code_of(client.set_trading_stop, **stop, stopLoss="95")
    client.place_order(**{**BUY, "orderType": "Market"}, qty="1", stopLoss="95")
    client.set_trading_stop(**stop, stopLoss="97.5")
    assert 34040 == code_of(client.set_trading_stop, **stop, stopLoss="97.50")
    assert 10001 == code_of(client.set_trading_stop, **stop, stopLoss="101")
    assert 10001 == code_of(client.set_trading_stop, **LINEAR, tpslMode="Full", stopLoss="98")
    assert 10001 == code_of(client.set_trading_stop, **{**stop, "tpslMode": "Partial"}, stopLoss="98")
    row = client.get_positions(**LINEAR)["result"]["list"][0]
    assert ("97.50", "") == (row["stopLoss"], row["takeProfit"])
    ignoring = server.client(ignore_codes={34040, 110043})
    assert 34040 == ignoring.set_trading_stop(**stop, stopLoss="97.5")["retCode"]
    assert 110043 == ignoring.set_leverage(**LINEAR, buyLeverage="10", sellLeverage="10")["retCode"]


def test_leverage_is_set_for_both_sides_alike(server: Loopback) -> None:
    client = server.client()
    client.set_leverage(**LINEAR, buyLeverage="5", sellLeverage="5")
    assert 10001 == code_of(client.set_leverage, **LINEAR, buyLeverage="5", sellLeverage="6")
    assert 110013 == code_of(client.set_leverage, **LINEAR, buyLeverage="51", sellLeverage="51")
    assert "5" == client.get_positions(**LINEAR)["result"]["list"][0]["leverage"]


def test_a_cursor_passed_back_as_it_came_leads_to_the_next_page(server: Loopback) -> None:
    client = server.client()
    for number in range(5):
        client.place_order(**BUY, qty="1", price=str(90 + number), orderLinkId=f"a_{number}_x_e0")
    seen, cursor = [], None
    for _ in range(3):
        page = client.get_open_orders(**LINEAR, limit=2, cursor=cursor)["result"]
        seen += [row["orderLinkId"] for row in page["list"]]
        cursor = page["nextPageCursor"]
    assert {f"a_{number}_x_e0" for number in range(5)} == {*seen}
    assert 5 == len(seen)
    assert "" == cursor


def test_instruments_come_in_pages(server: Loopback) -> None:
    first = server.client().get_instruments_info(category="linear", limit=1)["result"]
    second = server.client().get_instruments_info(category="linear", limit=1, cursor=first["nextPageCursor"])[
        "result"
    ]
    assert [["AAAUSDT"], ["BBBUSDT"]] == [[row["symbol"] for row in page["list"]] for page in (first, second)]
    assert "" == second["nextPageCursor"]


def test_klines_come_newest_first_with_the_open_one(server: Loopback) -> None:
    rows = server.client().get_kline(**LINEAR, interval="5", limit=3)["result"]["list"]
    starts = [int(row[0]) for row in rows]
    assert sorted(starts, reverse=True) == starts
    assert server.clock.now_ms() // 300_000 * 300_000 == starts[0]
    assert {7} == {len(row) for row in rows}
    assert 10001 == code_of(server.client().get_kline, **LINEAR, interval="7")


def test_open_interest_pages_into_the_past(server: Loopback) -> None:
    query = {**LINEAR, "intervalTime": "5min", "limit": 2}
    first = server.client().get_open_interest(**query)["result"]
    second = server.client().get_open_interest(**query, cursor=first["nextPageCursor"])["result"]
    stamps = [int(row["timestamp"]) for page in (first, second) for row in page["list"]]
    assert [stamps[0] - 300_000 * number for number in range(4)] == stamps


def test_cancelling_all_by_filter_spares_the_stops(server: Loopback) -> None:
    client = server.client()
    client.place_order(**{**BUY, "orderType": "Market"}, qty="1", stopLoss="95")
    client.place_order(**BUY, qty="1", price="98", orderLinkId="a_1_x_e0")
    reply = client.cancel_all_orders(category="linear", settleCoin="USDT", orderFilter="Order")["result"]
    assert ["a_1_x_e0"] == [row["orderLinkId"] for row in reply["list"]]
    assert "95.00" == client.get_positions(**LINEAR)["result"]["list"][0]["stopLoss"]
    client.cancel_all_orders(category="linear", settleCoin="USDT")
    assert "" == client.get_positions(**LINEAR)["result"]["list"][0]["stopLoss"]


def test_history_needs_no_symbol_and_spans_at_most_seven_days(server: Loopback) -> None:
    client = server.client()
    client.place_order(**{**BUY, "orderType": "Market"}, qty="1", orderLinkId="a_1_x_e0")
    rows = client.get_order_history(category="linear")["result"]["list"]
    assert ["a_1_x_e0"] == [row["orderLinkId"] for row in rows]
    now = server.clock.now_ms()
    window = {"startTime": now - 8 * 86_400_000, "endTime": now}
    assert 10001 == code_of(client.get_order_history, category="linear", **window)
    assert 10001 == code_of(client.get_open_orders, category="linear")


def test_an_order_that_never_filled_leaves_the_history_after_a_day(server: Loopback) -> None:
    client = server.client()
    client.place_order(**BUY, qty="1", price="98", orderLinkId="a_1_x_e0")
    client.cancel_order(**LINEAR, orderLinkId="a_1_x_e0")
    assert 1 == len(client.get_order_history(category="linear")["result"]["list"])
    server.inside(lambda: server.clock.advance(90_000))
    assert [] == client.get_order_history(category="linear")["result"]["list"]
    assert 110072 == code_of(client.place_order, **BUY, qty="1", price="98", orderLinkId="a_1_x_e0")


# --- who is asking ---------------------------------------------------------------------------


def test_a_wrong_key_and_a_wrong_secret_are_refused_by_their_own_codes(server: Loopback) -> None:
    assert 10003 == code_of(server.client(api_key="other").get_positions, **LINEAR)
    assert 10004 == code_of(server.client(api_secret="other").get_positions, **LINEAR)


def test_the_key_may_trade_and_not_withdraw(server: Loopback) -> None:
    permissions = server.client().get_api_key_information()["result"]["permissions"]
    assert ["Order", "Position"] == permissions["ContractTrade"]
    assert [] == permissions["Wallet"]


# --- faults ----------------------------------------------------------------------------------------


def strike(server: Loopback, kind: FaultKind, path: str = "POST /v5/order/create") -> None:
    """Let the next call of an endpoint meet a fault."""
    rule = FaultRule(path, kind, times=1, delay_ms=2_000)
    server.inside(lambda: server.world.faults.add(rule))


@pytest.mark.parametrize(
    ("kind", "error", "is_there"),
    [
        (FaultKind.TIMEOUT_BEFORE, requests.exceptions.ReadTimeout, False),
        (FaultKind.TIMEOUT_AFTER, requests.exceptions.ReadTimeout, True),
        (FaultKind.HTTP_500, FailedRequestError, False),
        (FaultKind.HTTP_500_AFTER, FailedRequestError, True),
        (FaultKind.GARBLED, FailedRequestError, True),
        (FaultKind.DUPLICATE_REFUSAL, InvalidRequestError, True),
    ],
)
def test_a_lost_answer_is_resolved_by_asking_for_the_link_id(
    server: Loopback, kind: FaultKind, error: type[Exception], is_there: bool
) -> None:
    strike(server, kind)
    client = server.client()
    order = {**BUY, "qty": "1", "price": "98", "stopLoss": "95", "orderLinkId": "a_1_x_e0"}
    with pytest.raises(error):
        server.client(timeout=0.3).place_order(**order)
    found = client.get_open_orders(**LINEAR, orderLinkId="a_1_x_e0")["result"]["list"]
    assert is_there == bool(found)
    if is_there:
        assert 110072 == code_of(client.place_order, **order)
    assert 0 == server.inside(server.world.exchange.stats)["duplicated_orders"]


def test_an_order_may_arrive_after_it_was_asked_for_and_not_found(server: Loopback) -> None:
    """Not found is no proof until the request's time window is over: it may still be on its way."""
    rule = FaultRule("POST /v5/order/create", FaultKind.LATENCY, times=1, delay_ms=800)
    server.inside(lambda: server.world.faults.add(rule))
    order = {**BUY, "qty": "1", "price": "98", "stopLoss": "95", "orderLinkId": "a_1_x_e0"}
    with pytest.raises(requests.exceptions.ReadTimeout):
        server.client(timeout=0.2).place_order(**order)
    client = server.client()

    def found() -> list[Any]:
        rows: list[Any] = client.get_open_orders(**LINEAR, orderLinkId="a_1_x_e0")["result"]["list"]
        return rows

    assert [] == found()
    wait_until(found)
    assert 0 == server.inside(server.world.exchange.stats)["duplicated_orders"]


def test_every_refusal_is_on_record_also_of_what_cannot_be_read(server: Loopback) -> None:
    client = server.client()
    assert 10001 == code_of(client.place_order, **{**BUY, "side": "Up"}, qty="1", orderLinkId="a_1_x_e0")
    assert 110072 == _twice(client)
    stats = server.inside(server.world.exchange.stats)
    assert {"/v5/order/create 10001": 1, "/v5/order/create 110072": 1} == stats["api_refusals"]
    assert (1, 1) == (stats["orders_refused"], stats["duplicates_refused"])


def _twice(client: Any) -> int:
    order = {**BUY, "qty": "1", "price": "98", "orderLinkId": "a_2_x_e0"}
    client.place_order(**order)
    return code_of(client.place_order, **order)


def test_an_unknown_path_is_not_found(server: Loopback) -> None:
    session = requests.Session()
    session.trust_env = False
    assert 404 == session.get(f"{server.url}/v5/market/nothing", timeout=5).status_code
