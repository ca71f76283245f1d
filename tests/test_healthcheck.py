"""A container is healthy while its work gets done, not while its process breathes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import redis

from whalestack.config import Settings
from whalestack.db.live import STREAMS_KEY
from whalestack.healthcheck import CANARY_MAX_AGE_S, main, unhealthy


@pytest.fixture
def client(redis_state_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_state_url) as connected:
        yield connected


def test_a_worker_whose_queue_moved_lately_is_healthy(settings: Settings, client: redis.Redis) -> None:
    client.set("ws:canary:trade", int(time.time()))

    assert None is unhealthy(settings, client, "worker:trade")


def test_a_worker_whose_queue_stands_still_is_not(settings: Settings, client: redis.Redis) -> None:
    client.set("ws:canary:scan", int(time.time()))
    client.set("ws:canary:trade", int(time.time()) - CANARY_MAX_AGE_S - 20)

    assert "the queue trade was last worked" in str(unhealthy(settings, client, "worker:trade"))


def test_beat_is_healthy_while_any_queue_moves(settings: Settings, client: redis.Redis) -> None:
    assert unhealthy(settings, client, "beat") is not None

    client.set("ws:canary:scan", int(time.time()))

    assert None is unhealthy(settings, client, "beat")


def test_streams_are_healthy_while_they_report(settings: Settings, client: redis.Redis) -> None:
    assert unhealthy(settings, client, "streams") is not None

    client.set(STREAMS_KEY, b"{}")

    assert None is unhealthy(settings, client, "streams")


def test_an_unknown_subject_names_the_known_ones(settings: Settings, client: redis.Redis) -> None:
    assert "worker:QUEUE (of trade, " in str(unhealthy(settings, client, "worker:nothing"))


def test_redis_being_away_is_one_line_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_STATE_URL", "redis://127.0.0.1:1/1")

    assert (1, "Redis does not answer (ConnectionError)\n") == (main(["beat"]), capsys.readouterr().out)
