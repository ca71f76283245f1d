"""One connection to Bybit: pybit's socket with its hazards handled.

pybit closes a socket for good when a callback raises, when a message is unknown or no
JSON, or when a subscription is refused; and its own reconnecting gives up within a tenth
of a second. So it does here what it does well, connecting, signing in and answering
pings; messages come to us raw, and the keeper makes a new link when one dies.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import structlog
import websocket
from pybit.unified_trading import WebSocket

from whalestack.sockets.frames import BadFrame, Frame, read_frame

log = structlog.get_logger()

CONNECT_TIMEOUT_S = 5.0
# pybit counts an attempt down before it looks whether it worked: 2 means one real attempt.
PYBIT_ATTEMPTS = 2
# Signed once at connecting; a second of skew, pybit's default, is too little on a busy machine.
AUTH_EXPIRES_S = 10
TOPICS_A_MESSAGE = 100
# Bybit refuses more than 21,000 characters of arguments on one connection.
MOST_ARGUMENT_CHARACTERS = 20_000
PRIVATE_TOPICS = ("order", "execution", "position")


class LinkLost(Exception):
    """The link could not be opened, or broke."""


class Link(Protocol):
    """One connection that a keeper watches."""

    def open(self) -> None:
        """Connect and subscribe. Raises `LinkLost`."""

    def is_connected(self) -> bool: ...

    def last_sign_s(self) -> float:
        """Monotonic seconds of the last sign of life that counts for this stream."""

    def ping(self) -> None:
        """Ask for a sign of life. Raises `LinkLost`."""

    def close(self) -> None:
        """Close it; never raises."""


class _Socket(WebSocket):  # type: ignore[misc]  # pybit has no types
    """pybit's socket at a given address, its messages handed over raw."""

    def __init__(self, url: str, channel: str, take: Callable[[str], None], **keys: str) -> None:
        self._url = url
        self._take = take
        super().__init__(
            channel,
            testnet=False,
            retries=PYBIT_ATTEMPTS,
            restart_on_error=False,
            private_auth_expire=AUTH_EXPIRES_S,
            **keys,
        )

    def _connect(self, url: str) -> None:
        super()._connect(self._url)

    def _on_open(self) -> None:
        super()._on_open()
        # Its check of UTF-8 walks every byte in Python; decoding checks it again anyway.
        self.ws.sock.cont_frame.skip_utf8_validation = True

    def _on_message(self, message: str) -> None:
        self._take(message)


class BybitLink:
    """A connection with its subscriptions.

    Args:
        name: for the log.
        url: full address, ``.../v5/public/linear`` or ``.../v5/private``.
        topics: called at each opening, so that a new link has the newest list.
        on_frame: gets every message with a topic, in the socket's thread. May raise `BadFrame`.
        keys: API key and secret for the private stream, None for the public one.
        pongs_count: whether an answer to a ping is a sign of life. For the private stream,
            which may have nothing to say for hours; not for the public one, which always has.
    """

    def __init__(
        self,
        name: str,
        url: str,
        topics: Callable[[], Sequence[str]],
        on_frame: Callable[[Frame], None],
        *,
        keys: tuple[str, str] | None = None,
        pongs_count: bool = False,
    ) -> None:
        self._name = name
        self._url = url
        self._topics = topics
        self._on_frame = on_frame
        self._keys = keys
        self._pongs_count = pongs_count
        self._socket: _Socket | None = None
        self._asked: dict[str, list[str]] = {}
        self._last_sign_s = time.monotonic()
        self._signed_in = threading.Event()
        self._refused_sign_in = False
        self.bad_frames = 0
        self.frames = 0

    def open(self) -> None:
        try:
            self._socket = self._connect()
            if self._keys is not None:
                self._await_sign_in()
            self.subscribe(self._topics())
        except (websocket.WebSocketException, OSError, RuntimeError, AttributeError) as error:
            # AttributeError: pybit reads a socket that was closed a moment before.
            self.close()
            raise LinkLost(f"{self._name}: {type(error).__name__} {error}") from error
        self._last_sign_s = time.monotonic()

    def is_connected(self) -> bool:
        return self._socket is not None and not self._refused_sign_in and self._socket.is_connected()

    def last_sign_s(self) -> float:
        return self._last_sign_s

    def ping(self) -> None:
        self._send({"op": "ping"})

    def close(self) -> None:
        socket, self._socket = self._socket, None
        if socket is None:
            return
        try:
            # Broken off first: on a dead line a polite goodbye would wait three seconds for an
            # answer. `exited` tells pybit's thread that this is no error.
            socket.exited = True
            socket.ws.sock.abort()
            socket.exit()
        except (websocket.WebSocketException, OSError, AttributeError) as error:
            log.debug("stream_close_failed", stream=self._name, error=type(error).__name__)

    def subscribe(self, topics: Sequence[str]) -> None:
        """Ask for topics, some at a time. Raises `LinkLost`."""
        for start in range(0, len(topics), TOPICS_A_MESSAGE):
            self._ask(list(topics[start : start + TOPICS_A_MESSAGE]))

    def unsubscribe(self, topics: Sequence[str]) -> None:
        """Ask for no more of these. Raises `LinkLost`."""
        if topics:
            self._send({"op": "unsubscribe", "args": list(topics)})

    def _connect(self) -> _Socket:
        # Without it a host that takes the connection and says nothing would hold us for ever.
        websocket.setdefaulttimeout(CONNECT_TIMEOUT_S)
        keys = {} if self._keys is None else dict(zip(("api_key", "api_secret"), self._keys, strict=True))
        return _Socket(self._url, "linear" if self._keys is None else "private", self._take, **keys)

    def _await_sign_in(self) -> None:
        if not self._signed_in.wait(CONNECT_TIMEOUT_S) or self._refused_sign_in:
            self.close()
            raise LinkLost(f"{self._name}: not signed in")

    def _ask(self, topics: list[str]) -> None:
        request = uuid.uuid4().hex
        self._asked[request] = topics
        self._send({"op": "subscribe", "req_id": request, "args": topics})

    def _send(self, message: dict[str, Any]) -> None:
        socket = self._socket
        if socket is None:
            raise LinkLost(f"{self._name}: closed")
        try:
            socket.ws.send(json.dumps(message))
        except (websocket.WebSocketException, OSError, AttributeError) as error:
            raise LinkLost(f"{self._name}: {type(error).__name__}") from error

    def _take(self, message: str) -> None:
        """Handle one message; whatever it is, the socket lives on."""
        try:
            frame = read_frame(message)
            if frame.topic:
                self._last_sign_s = time.monotonic()
                self._on_frame(frame)
            else:
                self._on_answer(frame)
        except BadFrame as error:
            self._count_bad(str(error))
        except LinkLost:
            return
        except Exception:  # an error here would close the socket for good
            self.bad_frames += 1
            log.exception("stream_handler_failed", stream=self._name)
        finally:
            self.frames += 1

    def _on_answer(self, frame: Frame) -> None:
        if self._pongs_count:
            self._last_sign_s = time.monotonic()
        if frame.op == "auth":
            self._refused_sign_in = frame.success is not True
            self._signed_in.set()
            if self._refused_sign_in:
                log.error("stream_sign_in_refused", stream=self._name, answer=frame.ret_msg)
        elif frame.op == "subscribe":
            self._on_subscribed(frame)

    def _on_subscribed(self, frame: Frame) -> None:
        topics = self._asked.pop(frame.req_id, [])
        if frame.success is not False:
            return
        if len(topics) < 2:
            log.error("stream_topic_refused", stream=self._name, topics=topics, answer=frame.ret_msg)
            return
        # One topic that does not exist must not take the others with it: halve until it stands alone.
        middle = len(topics) // 2
        self._ask(topics[:middle])
        self._ask(topics[middle:])

    def _count_bad(self, error: str) -> None:
        self.bad_frames += 1
        # Powers of two: the first is told at once, and a flood does not fill the log.
        if self.bad_frames & (self.bad_frames - 1) == 0:
            log.warning("stream_bad_frame", stream=self._name, count=self.bad_frames, error=error[:200])


def topics_of(symbol: str) -> tuple[str, str, str]:
    """The public topics that are followed for a coin."""
    return f"tickers.{symbol}", f"kline.1.{symbol}", f"allLiquidation.{symbol}"


def argument_characters(symbol: str) -> int:
    """How many characters a coin's topics take in the arguments, quotes and commas with them."""
    return sum(len(topic) + 4 for topic in topics_of(symbol))


def chunked(symbols: Sequence[str], most_characters: int = MOST_ARGUMENT_CHARACTERS) -> list[list[str]]:
    """Coins by connection, each within the limit of Bybit; every coin once, in order."""
    chunks: list[list[str]] = []
    room = 0
    for symbol in symbols:
        needed = argument_characters(symbol)
        if needed > room:
            chunks.append([])
            room = most_characters
        chunks[-1].append(symbol)
        room -= needed
    return chunks
