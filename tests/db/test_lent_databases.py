"""What one test leaves in a lent database the next one does not find."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from tests.databases import LentDatabases, Server

PUT = text("insert into agent_logs (agent_name, action, created_at) values ('a', 'b', now()) returning id")


@pytest.fixture
def lent(database_server: Server) -> Iterator[LentDatabases]:
    if not database_server.can_be_emptied:
        pytest.skip("a server with TimescaleDB gives every test a new database")
    databases = LentDatabases(database_server)
    yield databases
    databases.close()


def asked(engine: Engine, query: str) -> object:
    with engine.connect() as connection:
        return connection.scalar(text(query))


def name_of(engine: Engine) -> object:
    return asked(engine, "select current_database()")


def test_rows_and_numbers_are_gone_and_the_database_is_the_same(lent: LentDatabases) -> None:
    """Also the numbers of rows that were rolled back, and locks that a session held."""
    with lent.one() as engine:
        before = name_of(engine)
        with engine.begin() as connection:
            assert connection.scalar(PUT) == 1
        with engine.connect() as connection:
            assert connection.scalar(PUT) == 2
            connection.rollback()
            connection.execute(text("select pg_advisory_lock(7)"))
    with lent.one() as engine:
        assert name_of(engine) == before
        assert asked(engine, "select count(*) from pg_locks where locktype = 'advisory'") == 0
        assert asked(engine, "select count(*) from agent_logs") == 0
        with engine.begin() as connection:
            assert connection.scalar(PUT) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "alter table agent_logs rename to gone",
        "alter table agent_logs add column more int",
        "alter table orders disable trigger all",
        "create table more (id int)",
        "create function more() returns int language sql as 'select 1'",
    ],
)
def test_with_another_shape_it_is_lent_to_nobody(lent: LentDatabases, statement: str) -> None:
    with lent.one() as engine:
        before = name_of(engine)
        with engine.begin() as connection:
            connection.execute(text(statement))
    with lent.one() as engine:
        assert name_of(engine) != before
        assert asked(engine, "select count(*) from agent_logs") == 0


def test_while_somebody_is_connected_it_is_lent_to_nobody(lent: LentDatabases) -> None:
    with lent.one() as engine:
        before = name_of(engine)
        forgotten = engine.connect()
    with lent.one() as other:
        assert name_of(other) != before
    forgotten.invalidate()


def test_two_at_once_are_two(lent: LentDatabases) -> None:
    with lent.one() as one, lent.one() as other:
        assert name_of(one) != name_of(other)
