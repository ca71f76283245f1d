"""Fixtures that every part of the project shares.

`settings` and `clock` cost nothing. `db` and `database_url` start the embedded PostgreSQL
once in a session and give each test an empty database: `database_url` a new one, which other
processes may use, and `db` alone one that the tests before had as well, which costs a fraction.
`redis_url` and `redis_state_url` start the embedded Redis once and give each test an empty one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis as redis_client

from tests.databases import LentDatabases, Server, embedded_server, given_server, scratch_directory
from whalestack.clock import ManualClock
from whalestack.config import ENV_FILE_VARIABLE, Settings
from whalestack.db.engine import Database, make_engine
from whalestack.dispatch import RecordingDispatcher
from whalestack.embedded import EmbeddedRedis

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def _no_foreign_settings() -> Iterator[None]:
    """The owner's environment must not reach a test: there may be real keys in it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.lower() in Settings.model_fields]:
            patch.delenv(name)
        patch.setenv(ENV_FILE_VARIABLE, os.devnull)
        yield


@pytest.fixture(scope="session")
def _settings(_no_foreign_settings: None) -> Settings:
    return Settings(_env_file=None)


@pytest.fixture
def settings(_settings: Settings) -> Settings:
    """Demo settings with safe defaults; nothing is read from `.env`. Vary with `model_copy(update=...)`."""
    return _settings.model_copy()


@pytest.fixture
def service_settings(settings: Settings, database_url: str, redis_url: str, redis_state_url: str) -> Settings:
    """Settings that name this test's own database and Redis."""
    stores = {"database_url": database_url, "redis_url": redis_url, "redis_state_url": redis_state_url}
    return Settings(_env_file=None, **(settings.model_dump() | stores))


@pytest.fixture
def clock() -> ManualClock:
    """A market clock that moves only when the test says so."""
    return ManualClock()


@pytest.fixture(scope="session")
def database_server() -> Iterator[Server]:
    """The server that WHALESTACK_TEST_DATABASE_URL names, else an embedded one."""
    url = os.environ.get("WHALESTACK_TEST_DATABASE_URL")
    with given_server(url) if url else embedded_server() as server:
        yield server


@pytest.fixture
def database_url(database_server: Server) -> Iterator[str]:
    """A migrated, empty database of this test's own; processes that a test starts may use it."""
    with database_server.fresh_database() as url:
        yield url


@pytest.fixture
def empty_database_url(database_server: Server) -> Iterator[str]:
    """A database of this test's own without any table: for migrations."""
    with database_server.fresh_database(migrated=False) as url:
        yield url


@pytest.fixture
def dispatcher() -> RecordingDispatcher:
    """Keeps the jobs that were sent after a commit: `dispatcher.jobs`."""
    return RecordingDispatcher()


@pytest.fixture(scope="session")
def lent_databases(database_server: Server) -> Iterator[LentDatabases]:
    """Databases that several tests have one after the other, or several examples of a property."""
    lent = LentDatabases(database_server)
    yield lent
    lent.close()


@pytest.fixture
def db(request: pytest.FixtureRequest, dispatcher: RecordingDispatcher) -> Iterator[Database]:
    """The test's database, its jobs recorded by `dispatcher`. With `database_url` it is the one of that."""
    with ExitStack() as stack:
        if "database_url" in request.fixturenames:
            url = request.getfixturevalue("database_url")
            engine = make_engine(url, application_name="whalestack-tests")
            stack.callback(engine.dispose)
        else:
            lent: LentDatabases = request.getfixturevalue("lent_databases")
            engine = stack.enter_context(lent.one())
        yield Database(engine, dispatcher)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[EmbeddedRedis]:
    """One embedded Redis for the session."""
    with scratch_directory() as folder, EmbeddedRedis(folder / "redis", durable=False) as server:
        yield server


@pytest.fixture
def scratch_folder() -> Iterator[Path]:
    """An empty folder that servers under another account can reach, unlike `tmp_path` of root's."""
    with scratch_directory() as folder:
        yield folder


def _emptied(url: str) -> str:
    with redis_client.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    """The broker's database of the embedded Redis, emptied for this test."""
    return _emptied(redis_server.url(0))


@pytest.fixture
def redis_state_url(redis_server: EmbeddedRedis) -> str:
    """The state database of the embedded Redis, emptied for this test."""
    return _emptied(redis_server.url(1))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Recorded market data beside the checkout; the test is skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("recorded market data (../shared/data) is not beside this checkout")
    return SHARED_DATA
