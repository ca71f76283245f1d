"""Sockets to talk to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sockets.socket_server import SocketServer


@pytest.fixture
def server() -> Iterator[SocketServer]:
    one = SocketServer()
    yield one
    one.stop()
