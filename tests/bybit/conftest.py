"""A Bybit client against a loopback server, with the unmodified pybit between them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import stamina

from tests.bybit.loopback import KEY, SECRET, Loopback
from whalestack.clients.bybit.client import BybitClient
from whalestack.clients.bybit.transport import BybitTransport
from whalestack.clock import ManualClock


@pytest.fixture(autouse=True)
def _repeat_without_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


@pytest.fixture
def server() -> Iterator[Loopback]:
    loopback = Loopback()
    yield loopback
    assert [] == loopback.bad_signatures
    loopback.close()


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def client(server: Loopback, slept: list[float]) -> BybitClient:
    transport = BybitTransport(
        rest_url=server.url, api_key=KEY, api_secret=SECRET, timeout_s=0.3, sleep=slept.append
    )
    return BybitClient(transport, ManualClock())
