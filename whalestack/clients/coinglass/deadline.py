"""Connections whose every read ends at one deadline.

A socket's time-out begins anew with each byte, so a server that drips, in its headers or in its body,
would hold a thread for ever. Here each read is given what is left of the whole reply's time.
"""

from __future__ import annotations

import io
import socket
import threading
import time
from typing import Any

import urllib3
from requests.adapters import HTTPAdapter


class Deadline(threading.local):
    """Until when the reply that this thread waits for must be there, monotonic seconds."""

    at_s: float = float("inf")

    def left_s(self) -> float:
        """Seconds that are left. Raises TimeoutError when none are."""
        left = self.at_s - time.monotonic()
        if left <= 0:
            raise TimeoutError("the reply's time is over")
        return left


class _Reader(io.RawIOBase):
    """What http.client reads a reply from."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock, self._deadline = sock, deadline
        self._raw: Any = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._deadline.left_s())
        read: int | None = self._raw.readinto(buffer)
        return read

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Socket:
    """A connected socket, plain or TLS, whose files read until the deadline."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock, self._deadline = sock, deadline

    def makefile(self, *_: object, **__: object) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._sock, self._deadline), 65_536)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class DeadlineAdapter(HTTPAdapter):
    """One kept-alive connection a host, read until `deadline`.

    Args:
        deadline: set before each request by the thread that makes it.
    """

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools whose connections keep the deadline."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {
            "http": _pool(urllib3.HTTPConnectionPool, self._deadline),
            "https": _pool(urllib3.HTTPSConnectionPool, self._deadline),
        }


def _pool(base: type[Any], deadline: Deadline) -> type[Any]:
    """The pool class, its connections wrapping their sockets."""

    class Connection(base.ConnectionCls):  # type: ignore[name-defined, misc]
        def connect(self) -> None:
            super().connect()
            self.sock: Any = _Socket(self.sock, deadline)

    return type(base.__name__, (base,), {"ConnectionCls": Connection})
