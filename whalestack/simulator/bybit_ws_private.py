"""The private topics: order, execution, position, wallet, each plain or (the first three) with `.linear`.

Rows that come of one action are sent together; rows of one topic that follow each other share a
message, so a message may hold several.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from whalestack.clock import Clock
from whalestack.simulator.bybit_ws_connection import Connection

Row = dict[str, Any]

TOPICS = frozenset({"order", "execution", "position", "wallet"})
CATEGORISED = frozenset({"order.linear", "execution.linear", "position.linear"})


class PrivateFeed:
    """Sends the account's rows to whoever has subscribed.

    Args:
        clock: market time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._connections: set[Connection] = set()
        self._pending: list[tuple[str, Row]] = []

    def is_topic(self, topic: str) -> bool:
        """Whether a topic exists."""
        return topic in TOPICS or topic in CATEGORISED

    def subscribe(self, connection: Connection, topics: Iterable[str]) -> None:
        """Let a connection hear; which topics is asked when there is something to say."""
        self._connections.add(connection)

    def unsubscribe(self, connection: Connection, topics: Iterable[str]) -> None:
        """Forget a connection that has no topic left."""
        if not connection.topics - set(topics):
            self._connections.discard(connection)

    def on_row(self, topic: str, row: Row) -> None:
        """The exchange tells something; it leaves together with what comes of the same action."""
        if not self._connections:
            return
        if not self._pending:
            asyncio.get_running_loop().call_soon(self.flush)
        self._pending.append((topic, row))

    def flush(self) -> None:
        """Send what has come together."""
        pending, self._pending = self._pending, []
        for topic, group in groupby(pending, key=lambda item: item[0]):
            rows = [row for _, row in group]
            for connection in tuple(self._connections):
                for wanted in (topic, f"{topic}.linear"):
                    if wanted in connection.topics:
                        connection.send(self._message(wanted, rows))

    def _message(self, topic: str, rows: list[Row]) -> Row:
        return {
            "id": str(uuid.uuid4()),
            "topic": topic,
            "creationTime": self._clock.now_ms(),
            "data": rows,
        }
