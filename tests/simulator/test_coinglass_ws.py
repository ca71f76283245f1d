"""CoinGlass's socket of liquidations."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import websocket

from tests.simulator.served_world import KEY, Served, served, small_world
from whalestack.config import Settings
from whalestack.simulator.coinglass_ws import frame
from whalestack.simulator.market.base import Liquidation


@pytest.fixture
def simulator(settings: Settings) -> Iterator[Served]:
    with served(small_world(settings, coins=13)) as running:
        yield running


def connect(simulator: Served, key: str = KEY) -> websocket.WebSocket:
    url = f"{simulator.url.replace('http', 'ws')}/ws-api?cg-api-key={key}"
    return websocket.create_connection(url, timeout=10)


def crash(simulator: Served) -> None:
    """A cascade in one coin: what has been liquidated is told at the next step."""
    market = simulator.world.market

    def act() -> None:
        market._feed.add(market.now_ms, 0, fallen=True, price=90_000.0, turnover_usd=5_000.0)
        simulator.world.step()

    simulator.inside(act)


def test_ping_is_answered_by_pong(simulator: Served) -> None:
    socket = connect(simulator)
    socket.send("ping")
    assert "pong" == socket.recv()
    socket.close()


def test_a_wrong_key_is_not_let_in(simulator: Served) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException):
        connect(simulator, "wrong")


@pytest.mark.parametrize(
    ("channel", "names"),
    [
        ("liquidationOrders", ("baseAsset", "exName", "volUsd")),
        ("liquidation_orders", ("base_asset", "exchange", "volume_usd")),
    ],
)
def test_liquidations_come_under_both_spellings(
    simulator: Served, channel: str, names: tuple[str, ...]
) -> None:
    """Side 1 is a liquidated long."""
    socket = connect(simulator)
    socket.send(json.dumps({"method": "subscribe", "channels": [channel]}))
    socket.send("ping")
    assert "pong" == socket.recv()  # the subscription was read before the ping
    crash(simulator)
    message = json.loads(socket.recv())
    assert channel == message["channel"]
    row = message["data"][-1]
    assert ("BTC", "Bybit", 5_000.0) == tuple(row[name] for name in names)
    assert ("BTCUSDT", 1, 90_000.0) == (row["symbol"], row["side"], row["price"])
    socket.close()


def test_who_has_left_or_sent_nonsense_does_no_harm(simulator: Served) -> None:
    gone, odd = connect(simulator), connect(simulator)
    for socket in (gone, odd):
        socket.send(json.dumps({"method": "subscribe", "channels": ["liquidationOrders"]}))
    gone.shutdown()
    for text in ("{", "[]", '{"method": 5}', '{"method": "subscribe", "channels": 7}'):
        odd.send(text)
    odd.send("ping")
    assert "pong" == odd.recv()
    crash(simulator)
    assert "liquidationOrders" == json.loads(odd.recv())["channel"]
    odd.close()


def test_a_dropped_socket_is_broken_without_a_farewell(simulator: Served) -> None:
    simulator.post("/sim/faults", {"endpoint": "WS /ws-api", "kind": "ws_drop", "times": 1})
    socket = connect(simulator)
    socket.send("ping")
    with pytest.raises((websocket.WebSocketException, ConnectionError)):
        socket.recv()
    again = connect(simulator)
    again.send("ping")
    assert "pong" == again.recv()
    again.close()


def test_a_coin_of_thousands_is_told_in_its_own_price() -> None:
    event = Liquidation(1, 5, "1000PEPEUSDT", "short", 0.007, 1000.0, 7.0)
    row = json.loads(frame("liquidationOrders", [event]))["data"][0]
    assert ("PEPE", 2, pytest.approx(0.000007)) == (row["baseAsset"], row["side"], row["price"])
