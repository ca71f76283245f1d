"""How a mirror follows a public socket: subscribe, ping, and begin anew when it breaks."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import structlog

from whalestack.errors import StopAndTell

log = structlog.get_logger()

_TOPICS_A_MESSAGE = 200
_PING_EVERY_S = 15.0
_SILENT_S = 30.0
_WAIT_S = 1.0
_LOOK_EVERY_S = 0.2
_BYBIT_SOCKETS = {
    "api.bybit.com": "wss://stream.bybit.com",
    "api-testnet.bybit.com": "wss://stream-testnet.bybit.com",
    "api-demo.bybit.com": "wss://stream.bybit.com",
}


def socket_url(url: str) -> str:
    """The public linear socket that belongs to a REST base URL."""
    parts = urlsplit(url)
    base = _BYBIT_SOCKETS.get(parts.hostname or "")
    if base is None:
        base = f"{'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}"
    return f"{base}/v5/public/linear"


Receive = Callable[[dict[str, Any]], None]


def follow(
    url: str,
    topics: Sequence[str],
    receive: Receive,
    missed: Callable[[], Sequence[dict[str, Any]]],
    stop: threading.Event,
) -> None:
    """Hand every message of the topics to `receive` until `stop` is set. Runs in a thread of its own.

    Args:
        url: of the socket.
        topics: what to subscribe to.
        receive: takes the messages, in order.
        missed: asked after each break for the messages of the time in between; it may block
            and may raise StopAndTell, after which the socket is tried again.
        stop: ends it.
    """
    asyncio.run(_follow(url, topics, receive, missed, stop))


async def _follow(
    url: str,
    topics: Sequence[str],
    receive: Receive,
    missed: Callable[[], Sequence[dict[str, Any]]],
    stop: threading.Event,
) -> None:
    broken = False
    async with aiohttp.ClientSession() as session:
        while not stop.is_set():
            try:
                if broken:
                    for message in await asyncio.to_thread(missed):
                        receive(message)
                await _listen(session, url, topics, receive, stop)
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError, StopAndTell) as error:
                broken = True
                log.warning("mirror_socket_broken", url=url, why=type(error).__name__)
                await asyncio.sleep(_WAIT_S)


async def _listen(
    session: aiohttp.ClientSession,
    url: str,
    topics: Sequence[str],
    receive: Receive,
    stop: threading.Event,
) -> None:
    async with session.ws_connect(url, max_msg_size=0) as socket:
        for first in range(0, len(topics), _TOPICS_A_MESSAGE):
            await socket.send_json(
                {"op": "subscribe", "args": list(topics[first : first + _TOPICS_A_MESSAGE])}
            )
        heard = Heard()
        keeper = asyncio.create_task(_keep(socket, heard, stop))
        try:
            async for message in socket:
                heard.at_s = time.monotonic()
                if message.type is aiohttp.WSMsgType.TEXT:
                    _receive(message.data, receive)
        finally:
            keeper.cancel()
    if not stop.is_set():
        raise aiohttp.ClientConnectionError("the socket was closed")


@dataclass
class Heard:
    """When the source was last heard, monotonic real seconds."""

    at_s: float = field(default_factory=time.monotonic)


async def _keep(socket: aiohttp.ClientWebSocketResponse, heard: Heard, stop: threading.Event) -> None:
    """Ping now and then; close the socket when it is silent or nobody wants it any more."""
    pinged_s = time.monotonic()
    while not stop.is_set() and time.monotonic() - heard.at_s < _SILENT_S:
        if time.monotonic() - pinged_s > _PING_EVERY_S:
            await socket.send_json({"op": "ping"})
            pinged_s = time.monotonic()
        await asyncio.sleep(_LOOK_EVERY_S)
    await socket.close()


def _receive(text: str, receive: Receive) -> None:
    message: dict[str, Any] = json.loads(text)
    if "topic" in message:
        receive(message)
