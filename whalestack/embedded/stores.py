"""Both stores at once, for the demo and for tests of whole processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from whalestack.embedded.postgres import EmbeddedPostgres
from whalestack.embedded.redis import EmbeddedRedis


@dataclass(frozen=True)
class EmbeddedStores:
    """The running servers.

    Args:
        postgres: its `url()` is DATABASE_URL.
        redis: its `url(0)` is REDIS_URL, its `url(1)` REDIS_STATE_URL.
    """

    postgres: EmbeddedPostgres
    redis: EmbeddedRedis

    def settings(self) -> dict[str, str]:
        """The settings that point every process at these stores, by environment name."""
        return {
            "DATABASE_URL": self.postgres.url(),
            "REDIS_URL": self.redis.url(0),
            "REDIS_STATE_URL": self.redis.url(1),
        }


@contextmanager
def embedded_stores(run_dir: Path, *, durable: bool = True) -> Iterator[EmbeddedStores]:
    """PostgreSQL and Redis under `run_dir`, ended when the block ends.

    Raises:
        StopAndTell: a server could not start; one sentence says why and what to do.
    """
    with (
        EmbeddedPostgres(run_dir / "postgres", durable=durable) as postgres,
        EmbeddedRedis(run_dir / "redis", durable=durable) as redis,
    ):
        yield EmbeddedStores(postgres, redis)
