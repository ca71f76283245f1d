"""The last moment before a post can have an effect: its head is written, its body is not.

urllib3 writes a request's head with `endheaders` and its body after that. X can do nothing
without the body, so what is noted in between, and committed, is noted in time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from whalestack.clients.channel import Leaving

_leaving: ContextVar[Leaving | None] = ContextVar("leaving", default=None)


@contextmanager
def telling(leaving: Leaving) -> Iterator[None]:
    """Within the block `leaving` is called before the body of each request goes."""
    token = _leaving.set(leaving)
    try:
        yield
    finally:
        _leaving.reset(token)


def tell() -> None:
    """The body goes next."""
    leaving = _leaving.get()
    if leaving is not None:
        leaving()


class _Plain(HTTPConnection):
    def endheaders(self, *args: Any, **kwargs: Any) -> None:
        super().endheaders(*args, **kwargs)
        tell()


class _Encrypted(HTTPSConnection):
    def endheaders(self, *args: Any, **kwargs: Any) -> None:
        super().endheaders(*args, **kwargs)
        tell()


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _EncryptedPool(HTTPSConnectionPool):
    ConnectionCls = _Encrypted


POOLS = {"http": _PlainPool, "https": _EncryptedPool}
