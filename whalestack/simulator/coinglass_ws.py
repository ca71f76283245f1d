"""CoinGlass's WebSocket: realised liquidations under both spellings of the channel.

The key is in the query string. Text `ping` is answered by text `pong`. How CoinGlass
acknowledges a subscription is not documented; here it is not acknowledged.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from whalestack.simulator.coin_names import coin_of
from whalestack.simulator.market.base import Liquidation, Tick
from whalestack.simulator.socket_queue import SocketQueue
from whalestack.simulator.world import World

PATH = "/ws-api"
_ENDPOINT = f"WS {PATH}"
_CHANNELS = ("liquidationOrders", "liquidation_orders")


@dataclass(eq=False)
class Subscriber:
    """One connection: what it wants and what waits to be sent."""

    queue: SocketQueue
    channels: set[str] = field(default_factory=set)


class LiquidationHub:
    """Sends new liquidations to those who subscribed.

    Args:
        world: whose market is watched.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._seq = 0
        self._subscribers: set[Subscriber] = set()
        world.listeners.append(self.on_step)

    def on_step(self, _now_ms: int, _ticks: list[Tick]) -> None:
        """Publish what has been liquidated since the last step."""
        fresh = self._world.market.liquidations(self._seq)
        if not fresh:
            return
        self._seq = fresh[-1].seq
        for channel in _CHANNELS:
            listeners = [one for one in self._subscribers if channel in one.channels]
            if listeners:
                text = frame(channel, fresh)
                for listener in listeners:
                    listener.queue.put(text)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One connection until it ends."""
        key = self._world.settings.coinglass_api_key.get_secret_value()
        given = request.query.get("cg-api-key", "")
        if not given or (key and given != key):
            return web.Response(status=401, text="API key missing or invalid")
        socket = web.WebSocketResponse(heartbeat=None)
        await socket.prepare(request)
        subscriber = Subscriber(SocketQueue(socket, self._world.faults, _ENDPOINT, request.transport))
        self._subscribers.add(subscriber)
        try:
            await self._listen(socket, subscriber)
        finally:
            self._subscribers.discard(subscriber)
            await subscriber.queue.close()
        return socket

    async def _listen(self, socket: web.WebSocketResponse, subscriber: Subscriber) -> None:
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            if message.data == "ping":
                subscriber.queue.put("pong")
            else:
                _subscribe(subscriber, message.data)


def _subscribe(subscriber: Subscriber, text: str) -> None:
    """Follow a subscribe or unsubscribe message; anything else is ignored."""
    try:
        order: Any = json.loads(text)
        wanted = {str(channel) for channel in order["channels"]} & set(_CHANNELS)
        method = order["method"]
    except (ValueError, KeyError, TypeError):
        return
    if method == "subscribe":
        subscriber.channels |= wanted
    elif method == "unsubscribe":
        subscriber.channels -= wanted


def frame(channel: str, events: list[Liquidation]) -> str:
    """A message of a channel; side 1 is a liquidated long, 2 a short."""
    is_old = channel == "liquidationOrders"
    names = ("baseAsset", "exName", "volUsd") if is_old else ("base_asset", "exchange", "volume_usd")
    rows = []
    for event in events:
        coin = coin_of(event.symbol)
        rows.append(
            {
                names[0]: coin.name,
                names[1]: "Bybit",
                "price": event.price / coin.contract_size,
                "side": 1 if event.side == "long" else 2,
                "symbol": event.symbol,
                "time": event.ts_ms,
                names[2]: round(event.turnover_usd, 5),
            }
        )
    return orjson.dumps({"channel": channel, "data": rows}).decode()


def routes(world: World) -> list[web.RouteDef]:
    """The socket."""
    return [web.get(PATH, LiquidationHub(world).serve)]
