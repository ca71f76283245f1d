"""The unmodified pybit WebSocket against the simulator's sockets."""

from __future__ import annotations

import json
import queue
from collections.abc import Callable, Iterator
from typing import Any

import pybit.unified_trading
import pytest
import websocket
from pybit.unified_trading import WebSocket

from tests.simulator.bybit_loopback import KEY, SECRET, Loopback, loopback, wait_until
from whalestack.simulator.bybit_rest_auth import ApiKey
from whalestack.simulator.bybit_ws import silence_s
from whalestack.simulator.bybit_ws_public import PublicFeed
from whalestack.simulator.faults import FaultKind, FaultRule
from whalestack.simulator.market.base import Liquidation

COIN = "AAAUSDT"
Open = Callable[..., WebSocket]


@pytest.fixture
def server() -> Iterator[Loopback]:
    running = loopback()
    running.start()
    yield running
    running.stop()


@pytest.fixture
def open_socket(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens pybit sockets towards the server by the module's two URL templates."""
    base = server.url.replace("http://", "ws://")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(pybit.unified_trading, "PUBLIC_WSS", base + "/v5/public/{CHANNEL_TYPE}")
    monkeypatch.setattr(pybit.unified_trading, "PRIVATE_WSS", base + "/v5/private")
    opened: list[WebSocket] = []

    def opening(channel: str, **changes: Any) -> WebSocket:
        keys = {"api_key": KEY, "api_secret": SECRET} if channel == "private" else {}
        opened.append(WebSocket(testnet=False, channel_type=channel, **{**keys, **changes}))
        return opened[-1]

    yield opening
    for socket in opened:
        socket.exit()


def raw_socket(server: Loopback, path: str) -> websocket.WebSocket:
    """A bare WebSocket, to see the frames as they are."""
    url = server.url.replace("http://", "ws://") + path
    return websocket.create_connection(url, timeout=5, http_no_proxy=["127.0.0.1"])


def say(socket: websocket.WebSocket, **message: Any) -> dict[str, Any]:
    """Send a message and read the next frame."""
    socket.send(json.dumps(message))
    return dict(json.loads(socket.recv()))


class Heard:
    """Collects what a callback is handed."""

    def __init__(self) -> None:
        self.messages: queue.Queue[dict[str, Any]] = queue.Queue()

    def __call__(self, message: dict[str, Any]) -> None:
        self.messages.put(message)

    def next(self, seconds: float = 15) -> dict[str, Any]:
        return self.messages.get(timeout=seconds)

    def rows(self, count: int) -> list[dict[str, Any]]:
        """The next rows, over as many messages as it takes."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            found += self.next()["data"]
        return found


def test_tickers_begin_with_a_snapshot_and_pybit_merges_the_deltas(
    server: Loopback, open_socket: Open
) -> None:
    heard = Heard()
    open_socket("linear").ticker_stream(symbol=COIN, callback=heard)
    assert "100.00" == heard.next()["data"]["lastPrice"]
    server.move(COIN, 101.0)
    merged = heard.next()["data"]
    assert ("101.00", "100.99", "8") == (
        merged["lastPrice"],
        merged["bid1Price"],
        merged["fundingIntervalHour"],
    )


def test_a_delta_holds_only_what_has_changed(server: Loopback) -> None:
    socket = raw_socket(server, "/v5/public/linear")
    assert say(socket, op="subscribe", req_id="1", args=[f"tickers.{COIN}"])["success"]
    assert "snapshot" == json.loads(socket.recv())["type"]
    server.move(COIN, 101.0)
    delta = json.loads(socket.recv())
    assert "delta" == delta["type"]
    assert "101.00" == delta["data"]["lastPrice"]
    assert "highPrice24h" not in delta["data"]
    socket.close()


def test_a_pushed_price_is_told_at_once_after_its_volume(server: Loopback) -> None:
    """No turn of the tickers is waited for, and the market's own clock need not pass."""
    socket = raw_socket(server, "/v5/public/linear")
    say(socket, op="subscribe", req_id="one", args=[f"tickers.{COIN}", f"kline.1.{COIN}"])
    for _ in range(2):
        socket.recv()

    server.inside(lambda: server.world.push_price(COIN, 107.0))
    bar, ticker = (json.loads(socket.recv()) for _ in range(2))

    assert (f"kline.1.{COIN}", f"tickers.{COIN}") == (bar["topic"], ticker["topic"])
    assert 107.0 == float(ticker["data"]["lastPrice"])
    socket.close()


def test_a_kline_is_confirmed_when_its_time_is_over(server: Loopback, open_socket: Open) -> None:
    heard = Heard()
    open_socket("linear").kline_stream(interval=1, symbol=COIN, callback=heard)
    first = heard.next()["data"][0]
    assert (False, first["start"] + 59_999) == (first["confirm"], first["end"])
    server.move(COIN, 100.5, seconds=60)
    rows = [row for row in heard.rows(3) if row["confirm"]]
    assert [first["start"]] == [row["start"] for row in rows]


def test_liquidations_are_lists_and_buy_means_that_a_long_was_liquidated(
    server: Loopback, open_socket: Open
) -> None:
    heard = Heard()
    open_socket("linear").all_liquidation_stream(symbol=COIN, callback=heard)
    events = [
        Liquidation(seq, 1000 + seq, COIN, side, 99.5, 2.0, 199.0)
        for seq, side in ((1, "long"), (2, "short"))
    ]
    wait_until(lambda: server.inside(lambda: public_subscriptions(server)) == 1)
    server.inside(lambda: server.market.liquidated.extend(events))
    assert [("Buy", "2.0", "99.50"), ("Sell", "2.0", "99.50")] == [
        (row["S"], row["v"], row["p"]) for row in heard.next()["data"]
    ]


def public_subscriptions(server: Loopback) -> int:
    """How many topics the public feed has listeners for."""
    owners = (getattr(listener, "__self__", None) for listener in server.world.listeners)
    feed = next(owner for owner in owners if isinstance(owner, PublicFeed))
    return len(feed._subscribers)


def test_trades_follow_the_price_points(server: Loopback, open_socket: Open) -> None:
    heard = Heard()
    open_socket("linear").trade_stream(symbol=COIN, callback=heard)
    wait_until(lambda: server.inside(lambda: public_subscriptions(server)) == 1)
    server.move(COIN, 101.0)
    server.move(COIN, 100.0)
    rows = heard.rows(2)
    assert [("101.00", "ZeroPlusTick"), ("100.00", "MinusTick")] == [(row["p"], row["L"]) for row in rows]


def test_the_private_stream_tells_an_order_its_fill_and_its_position(
    server: Loopback, open_socket: Open
) -> None:
    socket, orders, fills, positions, wallets = open_socket("private"), Heard(), Heard(), Heard(), Heard()
    socket.order_stream(callback=orders)
    socket.execution_stream(callback=fills)
    socket.position_stream(callback=positions)
    socket.wallet_stream(callback=wallets)
    wait_until(lambda: server.inside(lambda: private_subscriptions(server)) == 4)
    order = {"category": "linear", "symbol": COIN, "side": "Buy", "orderType": "Market", "qty": "1"}
    server.client().place_order(**order, stopLoss="95", orderLinkId="a_1_x_e0")
    statuses = [(row["orderLinkId"], row["orderStatus"]) for row in orders.rows(3)]
    assert [("a_1_x_e0", "New"), ("a_1_x_e0", "Filled"), ("", "Untriggered")] == statuses
    fill, position = fills.rows(1)[0], positions.rows(1)[0]
    assert ("a_1_x_e0", "100.01") == (fill["orderLinkId"], fill["execPrice"])
    assert ("95.00", "100.01") == (position["stopLoss"], position["entryPrice"])
    assert "USDT" == wallets.rows(1)[0]["coin"][0]["coin"]


def private_subscriptions(server: Loopback) -> int:
    """How many topics of the account are listened to."""
    feed = server.world.exchange.state.listeners[-1].__self__
    return sum(len(connection.topics) for connection in feed._connections)


def test_a_dropped_socket_is_opened_again_by_pybit_and_hears_on(server: Loopback, open_socket: Open) -> None:
    heard = Heard()
    open_socket("linear").ticker_stream(symbol=COIN, callback=heard)
    heard.next()
    rule = FaultRule("WS /v5/public/linear", FaultKind.WS_DROP, times=1)
    server.inside(lambda: server.world.faults.add(rule))
    server.move(COIN, 101.0)
    assert "101.00" == heard.next()["data"]["lastPrice"]
    assert 1 == rule.injected


def test_private_messages_can_come_twice_or_be_lost(server: Loopback, open_socket: Open) -> None:
    heard = Heard()
    open_socket("private").execution_stream(callback=heard)
    wait_until(lambda: server.inside(lambda: private_subscriptions(server)) == 1)
    for kind in (FaultKind.WS_DUPLICATE, FaultKind.WS_SILENCE):
        rule = FaultRule("WS /v5/private", kind, times=1, contains='"topic":"execution"')
        server.inside(lambda rule=rule: server.world.faults.add(rule))
    order = {"category": "linear", "symbol": COIN, "side": "Buy", "orderType": "Market", "qty": "1"}
    for number in range(3):
        server.client().place_order(**order, orderLinkId=f"a_{number}_x_e0")
    ids = [row["orderLinkId"] for row in heard.rows(3)]
    assert ["a_0_x_e0", "a_0_x_e0", "a_2_x_e0"] == ids


def test_pings_are_answered_as_frames_and_as_text(server: Loopback) -> None:
    public, private = raw_socket(server, "/v5/public/linear"), raw_socket(server, "/v5/private")
    pong = say(public, op="ping", req_id="7")
    assert (True, "pong", "ping", "7") == tuple(pong[name] for name in ("success", "ret_msg", "op", "req_id"))
    assert "pong" == say(private, op="ping")["op"]
    public.ping("hello")
    opcode, data = public.recv_data(control_frame=True)
    assert (websocket.ABNF.OPCODE_PONG, b"hello") == (opcode, data)
    public.close()
    private.close()


def test_what_cannot_be_subscribed_to_is_refused_with_the_same_request_id(server: Loopback) -> None:
    socket = raw_socket(server, "/v5/public/linear")
    topic = f"kline.1.{COIN}"
    assert say(socket, op="subscribe", req_id="1", args=[topic])["success"]
    json.loads(socket.recv())
    for args in ([topic], ["tickers.NOPEUSDT"], ["kline.7.AAAUSDT"], ["nothing"], ["x" * 21_001]):
        answer = say(socket, op="subscribe", req_id="2", args=args)
        while "topic" in answer:  # the kline comes once a second in between
            answer = json.loads(socket.recv())
        assert (False, "2") == (answer["success"], answer["req_id"])
    socket.close()


def test_a_private_socket_says_nothing_before_a_right_signature(server: Loopback) -> None:
    socket = raw_socket(server, "/v5/private")
    assert not say(socket, op="subscribe", req_id="1", args=["order"])["success"]
    assert not say(socket, op="auth", args=[KEY, 4_000_000_000_000, "wrong"])["success"]
    past = ApiKey(KEY, SECRET).sign("GET/realtime1000")
    assert not say(socket, op="auth", args=[KEY, 1000, past])["success"]
    good = ApiKey(KEY, SECRET).sign("GET/realtime4000000000000")
    assert say(socket, op="auth", args=[KEY, 4_000_000_000_000, good])["success"]
    assert not say(socket, op="subscribe", req_id="2", args=["order", "order.linear"])["success"]
    assert say(socket, op="subscribe", req_id="3", args=["order.linear"])["success"]
    socket.close()


def test_after_unsubscribing_nothing_more_comes(server: Loopback) -> None:
    socket = raw_socket(server, "/v5/public/linear")
    say(socket, op="subscribe", req_id="1", args=[f"tickers.{COIN}"])
    socket.recv()
    assert "unsubscribe" == say(socket, op="unsubscribe", req_id="2", args=[f"tickers.{COIN}"])["op"]
    server.move(COIN, 101.0)
    assert "ping" == say(socket, op="ping")["op"]
    socket.close()


@pytest.mark.parametrize(
    ("asked", "seconds"), [("", 600), ("45s", 45), ("5s", 30), ("9999s", 600), ("often", 600)]
)
def test_a_private_socket_may_be_silent_as_long_as_it_asked_for(asked: str, seconds: float) -> None:
    assert seconds == silence_s(asked)
