"""The embedded Redis answers only to who knows its password, and never uses a port that is taken."""

from __future__ import annotations

import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError
from redis.retry import Retry

from whalestack.embedded import EmbeddedRedis


@pytest.fixture
def server(scratch_folder: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(scratch_folder / "redis") as running:
        yield running


def test_data_and_url_outlive_a_restart(server: EmbeddedRedis) -> None:
    url = server.url(1)
    with redis.Redis.from_url(url) as client:
        client.set("kept", "42")

    server.restart()

    with redis.Redis.from_url(url) as client:
        assert (url, b"42") == (server.url(1), client.get("kept"))


def test_a_stranger_is_refused(server: EmbeddedRedis) -> None:
    stranger = redis.Redis(host="127.0.0.1", port=server.port or 0, retry=Retry(NoBackoff(), 0))
    with stranger as client, pytest.raises(AuthenticationError):
        client.ping()


def test_the_password_is_not_among_the_arguments_that_everybody_may_read(server: EmbeddedRedis) -> None:
    password = server.url().split("@")[0].rpartition(":")[2]

    assert password not in Path(f"/proc/{server.pid}/cmdline").read_text()
    assert 0o600 == stat.S_IMODE((server.directory / "redis.conf").stat().st_mode)


def test_it_never_forgets_messages_to_save_memory(server: EmbeddedRedis) -> None:
    with redis.Redis.from_url(server.url()) as client:
        assert {"maxmemory-policy": "noeviction"} == client.config_get("maxmemory-policy")


def test_a_port_lost_to_somebody_else_is_replaced(scratch_folder: Path) -> None:
    """Between choosing a port and using it, another program may take it."""
    server = EmbeddedRedis(scratch_folder / "redis", durable=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server.port = taken.getsockname()[1]
        with server:
            assert server.port != taken.getsockname()[1]


def test_it_has_nothing_newer_than_redis_six(server: EmbeddedRedis) -> None:
    """What runs here runs on any newer server; the reverse would break the demo."""
    with redis.Redis.from_url(server.url()) as client:
        assert client.info("server")["redis_version"].startswith("6.2.")
