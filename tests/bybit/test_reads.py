"""What Bybit says is read whole, in order, and as it was meant."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.bybit.loopback import Loopback, reply
from whalestack.clients.bybit import rows
from whalestack.clients.bybit.client import BybitClient
from whalestack.clients.bybit.errors import BybitUnavailable
from whalestack.clients.bybit.market import bar_end_ms
from whalestack.clients.bybit.paging import WEEK_MS, weeks
from whalestack.clients.bybit.types import Side
from whalestack.clock import ManualClock

EXAMPLES = Path(__file__).resolve().parents[3] / "shared" / "contracts" / "bybit_examples"
REALTIME, HISTORY = "/v5/order/realtime", "/v5/order/history"
EXECUTIONS, POSITIONS = "/v5/execution/list", "/v5/position/list"


def order_row(**change: Any) -> dict[str, Any]:
    row = {
        "symbol": "EVAAUSDT", "orderId": "o1", "orderLinkId": "leg-1", "side": "Buy", "orderType": "Limit",
        "orderStatus": "New", "price": "7.10", "qty": "12.5", "cumExecQty": "0.00", "avgPrice": "0",
        "reduceOnly": False, "stopOrderType": "UNKNOWN", "stopLoss": "6.70", "takeProfit": "0.00",
        "rejectReason": "EC_NoError", "createdTime": "1684738540559", "updatedTime": "1684738540561",
    }  # fmt: skip
    return row | change


def execution_row(exec_id: str, ms: int, **change: Any) -> dict[str, Any]:
    row = {
        "symbol": "EVAAUSDT", "execId": exec_id, "orderId": "o1", "orderLinkId": "leg-1", "side": "Buy",
        "execPrice": "7.1", "execQty": "5", "execFee": "0.02", "isMaker": True, "execType": "Trade",
        "stopOrderType": "", "closedSize": "", "leavesQty": "7.5", "execTime": str(ms),
    }  # fmt: skip
    return row | change


def position_row(**change: Any) -> dict[str, Any]:
    row = {
        "symbol": "EVAAUSDT", "side": "Sell", "size": "12.5", "avgPrice": "7.1", "markPrice": "7.0",
        "leverage": "5", "liqPrice": "", "stopLoss": "7.5", "takeProfit": "0.00", "unrealisedPnl": "1.25",
        "createdTime": "1676538056258", "updatedTime": "1697673600012", "positionIdx": 0,
    }  # fmt: skip
    return row | change


def instrument_row(symbol: str, **change: Any) -> dict[str, Any]:
    row = {
        "symbol": symbol, "contractType": "LinearPerpetual", "status": "Trading", "baseCoin": symbol[:-4],
        "quoteCoin": "USDT", "launchTime": "1735032510000", "deliveryTime": "0", "isPreListing": False,
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "25.00", "leverageStep": "0.01"},
        "priceFilter": {"minPrice": "0.0001", "maxPrice": "1999.9998", "tickSize": "0.0001"},
        "lotSizeFilter": {
            "maxOrderQty": "70000", "minOrderQty": "1", "qtyStep": "1", "maxMktOrderQty": "14000",
            "minNotionalValue": "5",
        },
        "fundingInterval": 240, "riskParameters": {"priceLimitRatioX": "0.05"},
    }  # fmt: skip
    return row | change


class TestPages:
    def test_the_cursor_goes_back_exactly_as_it_came(self, client: BybitClient, server: Loopback) -> None:
        cursor = "page_args%3Dfd4300ae%26symbol%3D6%26"
        server.on(
            REALTIME,
            reply({"list": [order_row()], "nextPageCursor": cursor}),
            reply({"list": [order_row(orderId="o2", orderLinkId="")], "nextPageCursor": ""}),
        )

        orders = client.open_orders()

        assert ["o1", "o2"] == [order.exchange_order_id for order in orders]
        assert f"cursor={cursor}&" in server.seen[1].raw_query

    def test_pages_that_repeat_their_cursor_end(self, client: BybitClient, server: Loopback) -> None:
        server.on(REALTIME, reply({"list": [order_row()], "nextPageCursor": "same"}))

        assert ["o1"] == [order.exchange_order_id for order in client.open_orders("EVAAUSDT")]
        assert 2 == len(server.seen)

    def test_a_reply_without_a_list_is_not_an_empty_list(self, client: BybitClient, server: Loopback) -> None:
        server.on(POSITIONS, reply({"nextPageCursor": ""}))

        with pytest.raises(BybitUnavailable):
            client.positions()

    def test_one_unreadable_position_fails_the_list(self, client: BybitClient, server: Loopback) -> None:
        server.on(POSITIONS, reply({"list": [position_row(), position_row(side="?")], "nextPageCursor": ""}))

        with pytest.raises(BybitUnavailable, match="EVAAUSDT"):
            client.positions()

    def test_weeks_cover_the_span_without_gap_or_overlap(self) -> None:
        spans = list(weeks(1_000, 1_000 + 2 * WEEK_MS + 5))

        assert 1_000 == spans[0]["startTime"]
        assert all(earlier["endTime"] + 1 == later["startTime"] for earlier, later in pairwise(spans))
        assert spans[-1]["endTime"] >= 1_000 + 2 * WEEK_MS + 5
        assert all(span["endTime"] - span["startTime"] < WEEK_MS for span in spans)

    def test_a_history_since_the_epoch_asks_for_two_years_at_most(self) -> None:
        assert 106 > len(list(weeks(0, 1_760_875_200_000)))


class TestOrders:
    def test_words_and_zeros_that_mean_nothing_are_none(self, client: BybitClient, server: Loopback) -> None:
        server.on(REALTIME, reply({"list": [order_row()]}))

        order = client.open_orders("EVAAUSDT")[0]

        assert (Decimal("6.70"), None, None) == (order.stop_loss, order.take_profit, order.avg_fill_price)
        assert ("", "") == (order.stop_order_type, order.reject_reason)
        assert datetime(2023, 5, 22, 6, 55, 40, 559000, UTC) == order.created_at

    def test_an_order_is_looked_for_open_then_closed_then_in_the_history(
        self, client: BybitClient, server: Loopback
    ) -> None:
        server.on(REALTIME, reply({"list": []}))
        server.on(HISTORY, reply({"list": [order_row(orderStatus="Cancelled")]}))

        order = client.find_order("EVAAUSDT", "leg-1")

        assert order is not None
        assert "Cancelled" == order.status
        assert ["0", "1", None] == [seen.query.get("openOnly") for seen in server.seen]

    def test_an_order_that_is_nowhere_is_none(self, client: BybitClient, server: Loopback) -> None:
        server.on(REALTIME, reply({"list": []}))
        server.on(HISTORY, reply({}, code=110001, text="order not exists"))

        assert client.find_order("EVAAUSDT", "leg-1") is None

    def test_another_order_is_never_taken_for_ours(self, client: BybitClient, server: Loopback) -> None:
        server.on(REALTIME, reply({"list": [order_row(orderLinkId="leg-2"), order_row(symbol="AIAUSDT")]}))
        server.on(HISTORY, reply({"list": []}))

        assert client.find_order("EVAAUSDT", "leg-1") is None

    def test_an_order_is_not_nowhere_when_one_place_did_not_answer(
        self, client: BybitClient, server: Loopback
    ) -> None:
        server.on(REALTIME, reply({"list": []}))
        server.on(HISTORY, reply({}, code=10016, text="server error"))

        with pytest.raises(BybitUnavailable):
            client.find_order("EVAAUSDT", "leg-1")


class TestFillsAndPositions:
    def test_fills_come_oldest_first_and_once(self, client: BybitClient, server: Loopback) -> None:
        newest_first = [execution_row("c", 30), execution_row("b", 20), execution_row("a", 20)]
        server.on(
            EXECUTIONS,
            reply({"list": newest_first, "nextPageCursor": "2"}),
            reply({"list": [execution_row("a", 20), execution_row("z", 10)], "nextPageCursor": ""}),
        )

        fills = client.executions("EVAAUSDT")

        assert ["z", "a", "b", "c"] == [fill.exec_id for fill in fills]
        assert Decimal(0) == fills[0].closed_qty

    def test_fills_of_one_order_are_asked_for_in_weeks(self, client: BybitClient, server: Loopback) -> None:
        server.on(EXECUTIONS, reply({"list": [execution_row("a", 20, orderLinkId="other")]}))
        now_ms = ManualClock().now_ms()

        fills = client.executions("EVAAUSDT", order_link_id="leg-1", since_ms=now_ms - 8 * 86_400_000)

        assert [] == fills
        assert 2 == len(server.seen)
        assert {"leg-1"} == {seen.query["orderLinkId"] for seen in server.seen}

    def test_a_coin_without_a_position_has_none(self, client: BybitClient, server: Loopback) -> None:
        server.on(POSITIONS, reply({"list": [position_row(side="", size="0", avgPrice="")]}))

        assert client.position("EVAAUSDT") is None

    def test_a_position_without_a_stop_says_so(self, client: BybitClient, server: Loopback) -> None:
        server.on(POSITIONS, reply({"list": [position_row(stopLoss="0.00")]}))

        position = client.position("EVAAUSDT")

        assert position is not None
        assert (Side.SELL, None, None) == (position.side, position.stop_loss, position.liquidation_price)

    def test_the_streams_name_for_the_average_price_is_read_too(self) -> None:
        row = position_row(entryPrice="7.3")
        del row["avgPrice"]

        position = rows.position(row)

        assert position is not None
        assert Decimal("7.3") == position.avg_price


class TestAccount:
    def test_an_isolated_account_has_its_figures_from_the_usdt_row(
        self, client: BybitClient, server: Loopback
    ) -> None:
        usdt = {"coin": "USDT", "walletBalance": "1000", "equity": "990", "totalPositionIM": "100",
                "totalOrderIM": "50", "locked": "0"}  # fmt: skip
        account = {"totalEquity": "", "totalWalletBalance": "", "totalAvailableBalance": "", "coin": [usdt]}
        server.on("/v5/account/wallet-balance", reply({"list": [account]}))

        wallet = client.wallet()

        assert Decimal(990) == wallet.equity_usd
        assert Decimal(1000 - 100 - 50) == wallet.available_usd

    def test_a_key_that_may_withdraw_is_told(self, client: BybitClient, server: Loopback) -> None:
        permissions = {"ContractTrade": ["Order", "Position"], "Wallet": ["AccountTransfer", "Withdraw"]}
        server.on("/v5/user/query-api", reply({"readOnly": 0, "ips": ["*"], "permissions": permissions}))

        info = client.key_info()

        assert (True, True, False) == (info.may_trade, info.may_withdraw, info.is_bound_to_address)


class TestMarket:
    def test_bars_come_oldest_first_and_the_open_one_says_so(
        self, client: BybitClient, server: Loopback
    ) -> None:
        bars = [[str(minute * 60_000), "1", "2", "0.5", "1.5", "10", "15"] for minute in (3, 2, 1)]
        server.on("/v5/market/kline", reply({"list": bars}, time_ms=3 * 60_000 + 5))

        found = client.klines("EVAAUSDT", "1", limit=3)

        assert [60_000, 120_000, 180_000] == [bar.start_ms for bar in found]
        assert [True, True, False] == [bar.is_closed for bar in found]

    def test_more_than_a_thousand_bars_take_several_calls(
        self, client: BybitClient, server: Loopback
    ) -> None:
        def page(newest: int, count: int) -> Any:
            return reply({"list": [[str((newest - n) * 60_000), *"123456"] for n in range(count)]})

        server.on("/v5/market/kline", page(5000, 1000), page(4000, 200))

        found = client.klines("EVAAUSDT", "1", limit=1200)

        assert list(range(3801, 5001)) == [bar.start_ms // 60_000 for bar in found]
        assert str(4001 * 60_000 - 1) == server.seen[1].query["end"]

    def test_a_month_ends_with_the_month(self) -> None:
        start = datetime(2025, 12, 1, tzinfo=UTC).timestamp() * 1000

        assert datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000 == bar_end_ms(int(start), "M")
        assert 7 * 86_400_000 == bar_end_ms(0, "W")
        assert 300_000 == bar_end_ms(0, "5")

    def test_a_malformed_coin_is_left_out_and_the_others_are_unharmed(
        self, client: BybitClient, server: Loopback
    ) -> None:
        listing = [
            instrument_row("AIAUSDT"),
            instrument_row("BADUSDT", priceFilter={"tickSize": "0"}),
            instrument_row("BTC-26DEC25", contractType="LinearFutures"),
            "not an object",
        ]
        early = instrument_row("NEWUSDT", status="PreLaunch", isPreListing=True)
        path = "/v5/market/instruments-info"
        server.on(path, reply({"list": listing}), reply({"list": [listing[0], early]}))

        found = client.instruments()

        assert ["AIAUSDT", "NEWUSDT"] == [one.symbol for one in found]
        assert [False, True] == [one.is_prelisting for one in found]
        assert ["Trading", "PreLaunch"] == [seen.query["status"] for seen in server.calls(path)]

    def test_open_interest_comes_oldest_first(self, client: BybitClient, server: Loopback) -> None:
        points = [{"openInterest": str(n), "timestamp": str(n * 300_000)} for n in (3, 2, 1)]
        server.on("/v5/market/open-interest", reply({"list": points, "nextPageCursor": "more"}))

        found = client.open_interest("EVAAUSDT", limit=3)

        assert [1.0, 2.0, 3.0] == [point.open_interest for point in found]
        assert 1 == len(server.seen)

    def test_the_server_time_is_real_milliseconds(self, client: BybitClient, server: Loopback) -> None:
        server.on("/v5/market/time", reply({"timeSecond": "1688639403", "timeNano": "1688639403423213947"}))

        assert 1688639403423 == client.server_time_ms()

    def test_each_thread_has_its_own_connection(self, client: BybitClient, server: Loopback) -> None:
        server.on("/v5/market/tickers", reply({"list": []}))

        for _ in range(2):
            client.tickers()
        other = threading.Thread(target=client.tickers)
        other.start()
        other.join()

        first, second, third = (seen.thread_port for seen in server.seen)
        assert first == second != third


@pytest.mark.parametrize(
    ("name", "parse"),
    [
        ("market__instrument", rows.instrument),
        ("market__instrument_1", rows.instrument),
        ("market__tickers", rows.ticker),
        ("market__tickers_1", rows.ticker),
        ("market__tickers_2", rows.ticker),
        ("market__open-interest", rows.open_interest_point),
        ("order__open-order", rows.order_state),
        ("order__order-list", rows.order_state),
        ("order__execution", rows.execution),
        ("position__position", rows.position),
        ("position__close-pnl", rows.closed_pnl),
        ("account__wallet-balance", rows.wallet),
        ("account__fee-rate", rows.fee_rates),
        ("websocket__private__order", rows.order_state),
        ("websocket__private__execution", rows.execution),
        ("websocket__private__position", rows.position),
    ],
)
def test_the_documented_examples_can_be_read(name: str, parse: Any) -> None:
    if not EXAMPLES.is_dir():
        pytest.skip("the recorded examples (../shared/contracts/bybit_examples) are not beside this checkout")
    document = json.loads((EXAMPLES / f"{name}.json").read_text())
    found = document["result"]["list"] if "result" in document else document["data"]

    assert found
    for row in found:
        rows.read_row(parse, row)
