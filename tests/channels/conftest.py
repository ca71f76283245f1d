"""The unmodified client libraries against the simulated channels."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import pytest

from tests.channels.loopback import CHAT, KEYS, TOKEN, Channels
from whalestack.clients.telegram.client import TelegramClient
from whalestack.clients.x.client import XClient
from whalestack.simulator.telegram_server import TelegramLimits
from whalestack.simulator.x_server import XLimits

TIMEOUT_S = 0.4


@pytest.fixture
def channels() -> Iterator[Channels]:
    simulated = Channels(TelegramLimits(chat_burst=3, chat_per_s=1.0), XLimits(posts_per_15min=3))
    yield simulated
    simulated.close()


@pytest.fixture
def telegram(channels: Channels) -> Iterator[TelegramClient]:
    client = TelegramClient(token=TOKEN, chat_id=CHAT, base_url=channels.url, timeout_s=TIMEOUT_S)
    yield client
    client.close()


def x_client(url: str, **changed: str) -> XClient:
    """A client that signs with the simulated account's keys, except for what is changed."""
    keys = {
        "consumer_key": KEYS.consumer_key,
        "consumer_secret": KEYS.consumer_secret,
        "access_token": KEYS.token,
        "access_token_secret": KEYS.token_secret,
    }
    return XClient(base_url=url, timeout_s=TIMEOUT_S, **(keys | changed))


@pytest.fixture
def x(channels: Channels) -> Iterator[XClient]:
    client = x_client(channels.url)
    yield client
    client.close()


@pytest.fixture
def png() -> bytes:
    """A picture of one white pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    pixel = zlib.compress(b"\x00\xff")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixel) + chunk(b"IEND", b"")
