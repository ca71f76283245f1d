"""The official example replies against the simulator's own, field by field: names and JSON types.

Each field of an example must be in the simulator's answer with the same type. A field that the
simulator sends beyond the example must be on the list of fields that the documentation added later.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import websocket
from pybit.unified_trading import HTTP

from tests.simulator.bybit_loopback import KEY, SECRET, Loopback, loopback, wait_until
from whalestack.simulator.bybit_rest_auth import ApiKey
from whalestack.simulator.market.base import Liquidation

EXAMPLES = Path(__file__).resolve().parents[3] / "shared" / "contracts" / "bybit_examples"
COIN = "AAAUSDT"
LINEAR = {"category": "linear", "symbol": COIN}
BUY = {**LINEAR, "side": "Buy", "orderType": "Limit", "qty": "1", "positionIdx": 0, "tpslMode": "Full"}

ADDED_SINCE = {
    "displayName",
    "forbidUplWithdrawal",
    "symbolId",
    "singleOpenInterest",
    "singleOpenInterestValue",
    "parentOrderLinkId",
    "createType",
    "slippageToleranceType",
    "slippageTolerance",
    "extraFees",
    "rpiTakerAccess",
    "rpiMatchedQty",
    "openFee",
    "closeFee",
    "openTime",
    "nextPageCursor",
    "RPI",
    "retExtInfo",
    "time",
}
KEYED_BY_COIN = {"cumFeeDetail"}

pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="../shared/contracts is not there")


@pytest.fixture
def server() -> Iterator[Loopback]:
    running = loopback()
    running.start()
    yield running
    running.stop()


def example(name: str) -> Any:
    """An official example."""
    return json.loads((EXAMPLES / f"{name}.json").read_text())


def differences(theirs: Any, ours: Any, path: str = "") -> list[str]:
    """Every field that is missing, of another type, or not known to the documentation."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        if path.rpartition(".")[2] in KEYED_BY_COIN:
            return []
        found = [f"{path}.{name} is missing" for name in theirs if name not in ours]
        found += [
            f"{path}.{name} is extra" for name in ours if name not in theirs and name not in ADDED_SINCE
        ]
        for name in theirs.keys() & ours.keys():
            found += differences(theirs[name], ours[name], f"{path}.{name}")
        return found
    if isinstance(theirs, list) and isinstance(ours, list):
        if theirs and not ours and not path.endswith("extraFees"):
            return [f"{path} is empty"]
        return [line for item in ours for line in differences(theirs[0], item, f"{path}[]")]
    if type(theirs) is not type(ours):
        return [f"{path} is {type(ours).__name__}, not {type(theirs).__name__}"]
    return []


# --- REST -------------------------------------------------------------------------------------


def fresh(client: HTTP, number: int, **changes: Any) -> dict[str, Any]:
    """A waiting order of its own."""
    order = {**BUY, "price": "90", "orderLinkId": f"example_{number}_x_e0", **changes}
    return dict(client.place_order(**order))


def executed(client: HTTP) -> None:
    """A position opened and closed again."""
    client.place_order(**{**BUY, "orderType": "Market"})
    client.place_order(**{**BUY, "orderType": "Market", "side": "Sell"}, reduceOnly=True)


def answer_to(name: str, client: HTTP) -> Any:
    """The simulator's answer to what the example answers."""
    match name:
        case "account__account-info":
            return client.get_account_info()
        case "account__fee-rate":
            return client.get_fee_rates(**LINEAR)
        case "account__wallet-balance":
            return client.get_wallet_balance(accountType="UNIFIED")
        case "market__history-fund-rate":
            return client.get_funding_rate_history(**LINEAR)
        case "market__instrument":
            return client.get_instruments_info(**LINEAR)
        case "market__kline":
            return client.get_kline(**LINEAR, interval="60", limit=3)
        case "market__long-short-ratio":
            return client.get_long_short_ratio(**LINEAR, period="1h", limit=2)
        case "market__open-interest":
            return client.get_open_interest(**LINEAR, intervalTime="1d", limit=5)
        case "market__order-price-limit":
            return client.get_price_limit(**LINEAR)
        case "market__risk-limit":
            return client.get_risk_limit(**LINEAR)["result"]["list"][0]
        case "market__tickers":
            return client.get_tickers(**LINEAR)
        case "market__time":
            return client.get_server_time()
        case "order__batch-cancel":
            fresh(client, 1)
            ids = ("example_1_x_e0", "never")
            members = [{"symbol": COIN, "orderLinkId": link_id} for link_id in ids]
            return client.cancel_batch_order(category="linear", request=members)
        case "order__batch-place":
            members = [{**BUY, "price": "90"}, {**BUY, "price": "89"}]
            return client.place_batch_order(category="linear", request=members)
        case "order__cancel-all":
            fresh(client, 2)
            return client.cancel_all_orders(**LINEAR)
        case "order__cancel-order":
            fresh(client, 3)
            return client.cancel_order(**LINEAR, orderLinkId="example_3_x_e0")
        case "order__create-order":
            return fresh(client, 4)
        case "order__execution":
            executed(client)
            return client.get_executions(**LINEAR)
        case "order__open-order":
            fresh(client, 5, stopLoss="80", takeProfit="120")
            return client.get_open_orders(**LINEAR)
        case "order__order-list":
            fresh(client, 6, price="101", timeInForce="PostOnly")
            return client.get_order_history(**LINEAR)
        case "position__close-pnl":
            executed(client)
            return client.get_closed_pnl(**LINEAR)
        case "position__leverage":
            return client.set_leverage(**LINEAR, buyLeverage="7", sellLeverage="7")
        case "position__position":
            client.place_order(**{**BUY, "orderType": "Market"}, stopLoss="80")
            return client.get_positions(**LINEAR)
        case "position__trading-stop":
            client.place_order(**{**BUY, "orderType": "Market"}, stopLoss="80")
            return client.set_trading_stop(**LINEAR, tpslMode="Full", positionIdx=0, stopLoss="81")
    raise KeyError(name)


REST = [
    "account__account-info",
    "account__fee-rate",
    "account__wallet-balance",
    "market__history-fund-rate",
    "market__instrument",
    "market__kline",
    "market__long-short-ratio",
    "market__open-interest",
    "market__order-price-limit",
    "market__risk-limit",
    "market__tickers",
    "market__time",
    "order__batch-cancel",
    "order__batch-place",
    "order__cancel-all",
    "order__cancel-order",
    "order__create-order",
    "order__execution",
    "order__open-order",
    "order__order-list",
    "position__close-pnl",
    "position__leverage",
    "position__position",
    "position__trading-stop",
]


@pytest.mark.parametrize("name", REST)
def test_a_rest_answer_has_the_fields_and_types_of_the_official_example(server: Loopback, name: str) -> None:
    assert [] == differences(example(name), answer_to(name, server.client()))


# --- sockets -----------------------------------------------------------------------------------------


@pytest.fixture
def frames(server: Loopback) -> Iterator[dict[str, dict[str, Any]]]:
    """One frame of each topic, and the answers to operations, by example."""
    seen: dict[str, dict[str, Any]] = {}
    base = server.url.replace("http://", "ws://")
    options: dict[str, Any] = {"timeout": 5, "http_no_proxy": ["127.0.0.1"]}
    public = websocket.create_connection(f"{base}/v5/public/linear", **options)
    private = websocket.create_connection(f"{base}/v5/private", **options)
    _ask_public(public, seen)
    _ask_private(private, seen)
    _let_things_happen(server)
    wanted = {"tickers": public, "kline": public, "allLiquidation": public, "publicTrade": public}
    wanted |= {"order": private, "execution": private, "position": private, "wallet": private}
    for topic, socket in wanted.items():
        while topic not in seen:
            frame = json.loads(socket.recv())
            seen.setdefault(frame.get("topic", "").partition(".")[0], frame)
    yield seen
    public.close()
    private.close()


def _ask_public(socket: websocket.WebSocket, seen: dict[str, dict[str, Any]]) -> None:
    topics = [f"{kind}.{COIN}" for kind in ("allLiquidation", "publicTrade", "tickers", "kline.5")]
    socket.send(json.dumps({"op": "ping", "req_id": ""}))
    seen["public pong"] = json.loads(socket.recv())
    socket.send(json.dumps({"op": "subscribe", "req_id": "10001", "args": topics}))
    seen["subscribed"] = json.loads(socket.recv())


def _ask_private(socket: websocket.WebSocket, seen: dict[str, dict[str, Any]]) -> None:
    signature = ApiKey(KEY, SECRET).sign("GET/realtime4000000000000")
    socket.send(json.dumps({"op": "auth", "args": [KEY, 4_000_000_000_000, signature]}))
    seen["auth"] = json.loads(socket.recv())
    socket.send(json.dumps({"op": "ping", "req_id": "test"}))
    seen["private pong"] = json.loads(socket.recv())
    args = ["order", "execution", "position", "wallet"]
    socket.send(json.dumps({"op": "subscribe", "req_id": "2", "args": args}))
    assert json.loads(socket.recv())["success"]


def _let_things_happen(server: Loopback) -> None:
    event = Liquidation(server.market.now_ms, 1000, COIN, "long", 99.5, 2.0, 199.0)
    server.inside(lambda: server.market.liquidated.append(event))
    server.move(COIN, 101.0)
    server.move(COIN, 100.0)
    executed(server.client())
    wait_until(lambda: server.inside(lambda: server.world.exchange.state.executions))


SOCKETS = {
    "websocket__public__ticker": "tickers",
    "websocket__public__kline": "kline",
    "websocket__public__all-liquidation": "allLiquidation",
    "websocket__public__trade": "publicTrade",
    "websocket__private__order": "order",
    "websocket__private__execution": "execution",
    "websocket__private__position": "position",
    "websocket__private__wallet": "wallet",
    "websocket__wss-authentication": "auth",
    "websocket__wss-authentication_2": "public pong",
    "websocket__wss-authentication_3": "private pong",
    "websocket__wss-authentication_6": "subscribed",
}


def test_every_frame_has_the_fields_and_types_of_the_official_example(
    frames: dict[str, dict[str, Any]],
) -> None:
    found = {name: differences(example(name), frames[topic]) for name, topic in SOCKETS.items()}
    assert {} == {name: lines for name, lines in found.items() if lines}


def test_each_example_is_compared_or_known_to_be_of_what_is_not_played() -> None:
    """Options, spot, pre-listing, order books and trading over a socket are not played."""
    not_played = {
        "market__instrument_1",
        "market__instrument_2",
        "market__instrument_3",
        "market__tickers_1",
        "market__tickers_2",
        "position__position-mode",
        "websocket__public__orderbook",
        "websocket__public__ticker_1",
        "websocket__public__ticker_2",
        "websocket__public__ticker_3",
        "websocket__wss-authentication_1",
        "websocket__wss-authentication_4",
        "websocket__wss-authentication_5",
    }
    there = {path.stem for path in EXAMPLES.glob("*.json") if not path.stem.startswith("websocket__trade")}
    assert there == not_played | {*REST} | {*SOCKETS}
