"""The connection to Redis's state database, made one way for everybody."""

from __future__ import annotations

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from whalestack.config import Settings


def state_client(settings: Settings, *, timeout_s: float = 5.0) -> redis.Redis:
    """A client of the state database; nothing connects until it is first used.

    One new connection after a restart of Redis and no waiting: the library's own attempts would
    hold the caller for many seconds, who knows better when to try again. A kill switch that waits
    for a dead Redis is none.

    Args:
        settings: name the database.
        timeout_s: real seconds for connecting and for each answer.
    """
    return redis.Redis.from_url(
        settings.redis_state_url.get_secret_value(),
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 1),
    )
