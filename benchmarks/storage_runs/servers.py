"""A database for a benchmark: on DATABASE_URL's server if that has TimescaleDB, else embedded."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from whalestack.config import get_settings
from whalestack.db import migrations, timescale
from whalestack.db.engine import Database
from whalestack.dispatch import RecordingDispatcher
from whalestack.embedded import EmbeddedPostgres


@dataclass(frozen=True)
class BenchDatabase:
    """A migrated database of this run's own, without time limits, and what it is."""

    db: Database
    server: str
    has_timescale: bool

    @property
    def engine(self) -> Engine:
        """Of the database."""
        return self.db.engine

    def run(self, statement: str, **parameters: object) -> None:
        """One statement, committed."""
        with self.engine.begin() as connection:
            connection.execute(text(statement), parameters)

    def scalar(self, query: str, **parameters: object) -> float:
        """A single number."""
        with self.engine.begin() as connection:
            return float(connection.execute(text(query), parameters).scalar_one())


@contextmanager
def bench_database(run_dir: Path, *, embedded: bool = False) -> Iterator[BenchDatabase]:
    """A database that is gone afterwards."""
    url = None if embedded else _timescale_server()
    if url is not None:
        with _on_server(url) as found:
            yield found
        return
    folder = run_dir / "postgres"
    shutil.rmtree(folder, ignore_errors=True)
    with EmbeddedPostgres(folder, durable=False) as postgres:
        yield _migrated(postgres.url())
    shutil.rmtree(folder, ignore_errors=True)


def _timescale_server() -> str | None:
    url = get_settings().database_url.get_secret_value()
    engine = create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": 3})
    try:
        with engine.connect() as connection:
            return url if timescale.is_available(connection) else None
    except OperationalError:
        return None


@contextmanager
def _on_server(url: str) -> Iterator[BenchDatabase]:
    name = f"whalestack_bench_{uuid.uuid4().hex[:8]}"
    admin = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"create database {name}"))
    try:
        found = _migrated(make_url(url).set(database=name).render_as_string(hide_password=False))
        # What is measured is done by hand here; its own jobs must not be in the way.
        found.run("select _timescaledb_functions.stop_background_workers()")
        yield found
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"drop database {name} with (force)"))


def _migrated(url: str) -> BenchDatabase:
    migrations.upgrade(url)
    engine = create_engine(url, pool_size=2, connect_args={"options": "-c timezone=UTC"})
    with engine.connect() as connection:
        version = connection.execute(text("show server_version")).scalar_one().split()[0]
        extension = connection.execute(
            text("select extversion from pg_extension where extname = 'timescaledb'")
        ).scalar()
    server = f"PostgreSQL {version}" + (f", TimescaleDB {extension}" if extension else "")
    return BenchDatabase(Database(engine, RecordingDispatcher()), server, extension is not None)
