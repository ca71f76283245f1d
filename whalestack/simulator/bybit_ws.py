"""Bybit v5 WebSockets over the simulated exchange: `/v5/public/linear` and `/v5/private`.

Subscriptions, authentication, pings of both kinds, and the refusals a client has to survive: an
unknown topic, one subscribed to twice, too many characters of topics, a wrong or late signature.
Frames pass the faults of the world on their way out.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any, Protocol

import orjson
from aiohttp import WSMsgType, web

from whalestack.simulator.bybit_rest import api_key
from whalestack.simulator.bybit_rest_auth import ApiKey, check_socket
from whalestack.simulator.bybit_ws_connection import Connection
from whalestack.simulator.bybit_ws_private import CATEGORISED, TOPICS, PrivateFeed
from whalestack.simulator.bybit_ws_public import PublicFeed
from whalestack.simulator.socket_queue import SocketQueue
from whalestack.simulator.world import World

PUBLIC_PATH = "/v5/public/linear"
PRIVATE_PATH = "/v5/private"
LONGEST_ARGUMENTS = 21_000
SILENCE_S = 600.0
ANSWER_S = 0.05
"""Real seconds until a subscription is answered and begins. pybit notes what it has asked for only
after sending it, and an answer that is there before that closes its socket. A network takes longer
than that; a loopback does not."""

Row = dict[str, Any]


class Feed(Protocol):
    """Topics that can be subscribed to."""

    def is_topic(self, topic: str) -> bool: ...

    def subscribe(self, connection: Connection, topics: list[str]) -> None: ...

    def unsubscribe(self, connection: Connection, topics: list[str]) -> None: ...


class Conversation:
    """What a client asks on one socket, and the answers.

    Args:
        connection: the socket.
        feed: its topics.
        key: the key pair for private sockets, None on public ones.
    """

    def __init__(self, connection: Connection, feed: Feed, key: ApiKey | None) -> None:
        self._connection = connection
        self._feed = feed
        self._key = key
        self._is_closed = False

    def hear(self, text: str) -> None:
        """Answer one message."""
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError:
            message = None
        if not isinstance(message, dict):
            self._acknowledge("", "", error="Invalid JSON")
            return
        operation, request_id = str(message.get("op", "")), str(message.get("req_id", ""))
        arguments = message.get("args")
        arguments = arguments if isinstance(arguments, list) else []
        match operation:
            case "ping":
                self._pong(request_id)
            case "auth":
                self._authenticate(arguments)
            case "subscribe":
                self._soon(self._subscribe, [str(topic) for topic in arguments], request_id)
            case "unsubscribe":
                self._soon(self._unsubscribe, [str(topic) for topic in arguments], request_id)
            case _:
                self._acknowledge(operation, request_id, error="unknown op")

    def close(self) -> None:
        """The socket is gone."""
        self._is_closed = True
        self._feed.unsubscribe(self._connection, list(self._connection.topics))

    def _soon(self, act: Callable[[list[str], str], None], topics: list[str], request_id: str) -> None:
        def acting() -> None:
            if not self._is_closed:
                act(topics, request_id)

        asyncio.get_running_loop().call_later(ANSWER_S, acting)

    def _pong(self, request_id: str) -> None:
        if self._key is None:
            pong = {"success": True, "ret_msg": "pong", "conn_id": self._connection.id}
            self._connection.send({**pong, "req_id": request_id, "op": "ping"})
            return
        stamp = str(time.time_ns() // 1_000_000)
        pong = {"req_id": request_id, "op": "pong", "args": [stamp], "conn_id": self._connection.id}
        self._connection.send(pong)

    def _authenticate(self, arguments: list[Any]) -> None:
        real_ms = time.time_ns() // 1_000_000
        passed = self._key is not None and check_socket(self._key, arguments, real_ms)
        self._connection.is_authenticated = passed
        answer = {"success": passed, "ret_msg": "" if passed else "Params Error", "op": "auth"}
        self._connection.send({**answer, "conn_id": self._connection.id})

    def _subscribe(self, topics: list[str], request_id: str) -> None:
        error = self._refusal(topics)
        self._acknowledge("subscribe", request_id, error=error)
        if not error:
            self._connection.topics.update(topics)
            self._feed.subscribe(self._connection, topics)

    def _unsubscribe(self, topics: list[str], request_id: str) -> None:
        self._feed.unsubscribe(self._connection, topics)
        self._connection.topics.difference_update(topics)
        self._acknowledge("unsubscribe", request_id)

    def _refusal(self, topics: list[str]) -> str:
        """Why topics can't be subscribed to, empty when they can."""
        held = self._connection.topics
        if self._key is not None and not self._connection.is_authenticated:
            return "Request not authorized"
        for topic in topics:
            if not self._feed.is_topic(topic):
                return f"error:handler not found,topic:{topic}"
            if topic in held:
                return f"error:already subscribed,topic:{topic}"
        if self._key is not None and TOPICS & {*topics} and CATEGORISED & {*topics}:
            return "error:all-in-one and categorised topics cannot be mixed"
        if self._key is None and sum(map(len, (*held, *topics))) > LONGEST_ARGUMENTS:
            return f"error:args length is over {LONGEST_ARGUMENTS}"
        return ""

    def _acknowledge(self, operation: str, request_id: str, *, error: str = "") -> None:
        answer = {"success": not error, "ret_msg": error, "conn_id": self._connection.id}
        self._connection.send({**answer, "req_id": request_id, "op": operation})


def routes(world: World) -> list[web.RouteDef]:
    """The routes of both sockets; from now on the world's steps and the account's rows are published."""
    # In a world that is moved step by step, tickers keep pace with the steps.
    pace_s = time.monotonic if world.settings.clock_file is None else lambda: world.clock.now_ms() / 1000
    public, private = PublicFeed(world, pace_s), PrivateFeed(world.clock)
    world.listeners.append(public.on_step)
    world.push_listeners.append(public.on_push)
    world.exchange.state.listeners.append(private.on_row)
    key = api_key(world)

    async def serve_public(request: web.Request) -> web.WebSocketResponse:
        return await _serve(request, world, public, None, SILENCE_S)

    async def serve_private(request: web.Request) -> web.WebSocketResponse:
        return await _serve(request, world, private, key, silence_s(request.query.get("max_active_time", "")))

    return [web.get(PUBLIC_PATH, serve_public), web.get(PRIVATE_PATH, serve_private)]


def silence_s(asked: str) -> float:
    """How long a private socket may be silent, real seconds: 30s to 600s, as `max_active_time` says."""
    number = asked.removesuffix("s")
    return min(max(float(number), 30.0), SILENCE_S) if number.isdigit() else SILENCE_S


async def _serve(
    request: web.Request, world: World, feed: Feed, key: ApiKey | None, silence: float
) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(receive_timeout=silence, max_msg_size=0)
    await socket.prepare(request)
    queue = SocketQueue(socket, world.faults, f"WS {request.path}", request.transport, world.frames)
    conversation = Conversation(Connection(queue), feed, key)
    try:
        with contextlib.suppress(TimeoutError):
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    conversation.hear(message.data)
    finally:
        conversation.close()
        await queue.close()
    return socket
