"""The trading system that the agents' tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import redis

from tests.agents.world import World
from tests.databases import LentDatabases
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


@pytest.fixture
def fresh_world(
    lent_databases: LentDatabases, settings: Settings, redis_state_url: str
) -> Iterator[Callable[[], World]]:
    """Makes worlds that know nothing of each other: one for each example of a property."""
    with ExitStack() as worlds, redis.Redis.from_url(redis_state_url) as client:

        def make() -> World:
            worlds.pop_all().close()
            client.flushdb()
            engine = worlds.enter_context(lent_databases.one())
            dispatcher = RecordingDispatcher()
            return World(
                db=Database(engine, dispatcher),
                dispatcher=dispatcher,
                settings=settings,
                clock=ManualClock(),
                client=client,
            )

        yield make
