"""The trading system that the agents' tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from tests.agents.world import World

from whalestack.clock import ManualClock
from whalestack.config import Settings
from whalestack.db.engine import Database
from whalestack.dispatch import RecordingDispatcher


@pytest.fixture
def world(
    db: Database,
    dispatcher: RecordingDispatcher,
    settings: Settings,
    clock: ManualClock,
    redis_state_url: str,
) -> Iterator[World]:
    """A trading system with nothing in it yet."""
    with redis.Redis.from_url(redis_state_url) as client:
        yield World(db=db, dispatcher=dispatcher, settings=settings, clock=clock, client=client)
