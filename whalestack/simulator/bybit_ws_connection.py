"""One socket of a client: what it has subscribed to, and its outgoing queue."""

from __future__ import annotations

import uuid
from typing import Any

import orjson

from whalestack.simulator.socket_queue import SocketQueue


class Connection:
    """A socket as the feeds see it.

    Args:
        queue: sends frames, through the faults, without making the market wait.
    """

    def __init__(self, queue: SocketQueue) -> None:
        self.id = str(uuid.uuid4())
        self.topics: set[str] = set()
        self.is_authenticated = False
        self._queue = queue

    def send(self, message: dict[str, Any]) -> None:
        """Queue a message."""
        self.send_text(orjson.dumps(message).decode())

    def send_text(self, text: str) -> None:
        """Queue a message that is encoded already."""
        self._queue.put(text)
