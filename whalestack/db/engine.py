"""Engines and units of work. An engine is made per process, after any fork."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.orm import Session

from whalestack.config import Settings
from whalestack.dispatch import Dispatcher, Job

_SESSION = {
    "timezone": "UTC",
    "statement_timeout": "30s",
    # A statement that waits on a lock for ever would hold a worker for ever.
    "lock_timeout": "5s",
    # A host that is cut off in the middle of a transaction keeps its locks until the server notices.
    # By default that takes two hours; a host that is gone is noticed in half a minute, and one that
    # stands still in a minute.
    "idle_in_transaction_session_timeout": "60s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}


# The eight threads of a worker may each hold three at a time: the task's lock, a symbol's lock and the
# work. With fewer they would all wait for each other. Only what is needed at once is opened.
WORKER_POOL_SIZE = 12
# A connection that was used so lately is taken to be alive. One that was not is asked first: that costs
# a round trip, and an order on its way would pay for a dozen.
ALIVE_REAL_S = 1.0
_USED_S = "used_s"


def make_engine(database_url: str, *, pool_size: int = 4, application_name: str = "whalestack") -> Engine:
    """An engine for one process; nothing connects until it is first used.

    Args:
        database_url: a ``postgresql+psycopg2://`` URL. The driver is named because plain
            ``postgresql://`` means psycopg 3 since SQLAlchemy 2.1.
        pool_size: connections kept; as many again may overflow.
        application_name: shown in pg_stat_activity.
    """
    engine = create_engine(
        database_url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_recycle=1800,
        connect_args={
            "application_name": application_name,
            "connect_timeout": 5,
            "options": " ".join(f"-c {name}={value}" for name, value in _SESSION.items()),
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
        },
    )
    _ask_idle_connections(engine)
    _switch_without_asking(engine)
    return engine


def _switch_without_asking(engine: Engine) -> None:
    """Let a connection change between autocommit and transactions without a word to the server.

    SQLAlchemy goes back from autocommit by naming the level, and psycopg2 then tells the server, each
    time a connection is given back. Left unnamed it is the server's default, which is the same.
    """
    named = engine.dialect.set_isolation_level

    def switch(connection: Any, level: Any) -> None:
        if level in ("AUTOCOMMIT", "READ COMMITTED"):
            connection.autocommit = level == "AUTOCOMMIT"
        else:
            named(connection, level)

    engine.dialect.set_isolation_level = switch  # type: ignore[assignment]


def _ask_idle_connections(engine: Engine) -> None:
    """Whoever takes a connection that has been idle gets one that answers, as with `pool_pre_ping`."""

    @event.listens_for(engine, "checkin")
    def note(connection: Any, record: Any) -> None:
        record.info[_USED_S] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def ask(connection: Any, record: Any, proxy: Any) -> None:
        used_s = record.info.get(_USED_S)
        if used_s is None or time.monotonic() - used_s < ALIVE_REAL_S:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            # Those that were opened before are dead as well; the pool opens a new one and comes again.
            raise InvalidatePoolError from error


class UnitOfWork:
    """One transaction, and the jobs that leave only after it has committed."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.jobs: list[Job] = []

    def dispatch_after_commit(self, job: Job) -> None:
        """Send `job` once this transaction has committed; never if it does not."""
        self.jobs.append(job)


class Database:
    """Opens units of work on one engine.

    Args:
        engine: of this process.
        dispatcher: gets the jobs of a unit of work after its commit.
    """

    def __init__(self, engine: Engine, dispatcher: Dispatcher) -> None:
        self.engine = engine
        self._dispatcher = dispatcher
        self._alone = engine.execution_options(isolation_level="AUTOCOMMIT")

    @classmethod
    def from_settings(
        cls, settings: Settings, dispatcher: Dispatcher, *, pool_size: int = WORKER_POOL_SIZE
    ) -> Database:
        """The database that the settings name."""
        return cls(make_engine(settings.database_url.get_secret_value(), pool_size=pool_size), dispatcher)

    def alone(self) -> Connection:
        """A connection on which each statement is a transaction of its own: one round trip instead of
        three. For what needs no more than one statement; use it as a context."""
        return self._alone.connect()

    def dispatch(self, job: Job) -> None:
        """Send a job whose cause has been committed already."""
        self._dispatcher.send(job)

    @contextmanager
    def begin(self) -> Iterator[UnitOfWork]:
        """A transaction that commits when the block ends and rolls back when it raises."""
        with Session(self.engine, expire_on_commit=False) as session:
            work = UnitOfWork(session)
            with session.begin():
                yield work
        for job in work.jobs:
            self._dispatcher.send(job)
