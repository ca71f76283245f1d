"""Migrations go up, down and up again, and the database they make is the one the models describe."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Column, UniqueConstraint, create_engine, inspect, text
from sqlalchemy.pool import NullPool

from whalestack.db import migrations
from whalestack.db.engine import Database, make_engine
from whalestack.db.models import Base
from whalestack.db.timescale import is_installed

OLD_MAPS = """
insert into liquidation_snapshots (symbol, timeframe, fetched_at, price, prices, "values", source)
values ('EVAAUSDT', '7d', '2025-10-19 12:00Z', 2, '{0.00012345,1.5,123456}', '{1e-3,98765.4,3.2e12}', 'old'),
       ('EVAAUSDT', '7d', '2025-10-19 12:05+00', 2, '{1.5,2.5,2.6}', '{1,2,3}', 'old'),
       ('EVAAUSDT', '30d', '2025-10-19 12:05+00', 2, '{}', '{}', 'old')
"""


def test_the_migrated_database_is_what_the_models_describe(database_url: str) -> None:
    assert migrations.drift(database_url) is None


def test_upgrade_downgrade_upgrade_leaves_the_head(empty_database_url: str) -> None:
    migrations.upgrade(empty_database_url)
    migrations.downgrade(empty_database_url, "base")
    assert migrations.current_revision(empty_database_url) is None

    migrations.upgrade(empty_database_url)

    assert migrations.head_revision() == migrations.current_revision(empty_database_url)


def test_downgrade_leaves_no_table_view_or_function(empty_database_url: str) -> None:
    migrations.upgrade(empty_database_url)
    migrations.downgrade(empty_database_url, "base")
    engine = make_engine(empty_database_url)
    found = inspect(engine)
    with engine.connect() as connection:
        functions = connection.exec_driver_sql(
            "select proname from pg_proc where proname = 'guard_order_state'"
        ).all()
    engine.dispose()

    assert ({"alembic_version"}, [], []) == (set(found.get_table_names()), found.get_view_names(), functions)


def test_every_model_has_its_table(db: Database) -> None:
    assert set() == set(Base.metadata.tables) - set(inspect(db.engine).get_table_names())


def run(*command: str, database_url: str) -> subprocess.CompletedProcess[str]:
    """Run a command from the project's root, as a person would."""
    return subprocess.run(
        command,
        cwd=migrations.ROOT,
        env=os.environ | {"DATABASE_URL": database_url},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_folder_of_migrations_does_not_hide_the_library() -> None:
    root = str(migrations.ROOT)
    code = f"import sys; sys.path.insert(0, {root!r}); import alembic.command; print(alembic.__version__)"

    done = run(sys.executable, "-c", code, database_url="")

    assert (0, version("alembic")) == (done.returncode, done.stdout.strip())


def test_the_alembic_command_works_from_the_root(empty_database_url: str) -> None:
    alembic = str(Path(sys.executable).with_name("alembic"))
    for arguments in (["upgrade", "head"], ["check"], ["downgrade", "base"]):
        done = run(alembic, *arguments, database_url=empty_database_url)

        assert 0 == done.returncode, done.stderr


def test_two_upgrades_at_once_wait_for_each_other(empty_database_url: str) -> None:
    code = f"from whalestack.db.migrations import upgrade; upgrade({empty_database_url!r})"
    with ThreadPoolExecutor(2) as pool:
        both = pool.map(lambda _: run(sys.executable, "-c", code, database_url=""), range(2))

    assert [(0, ""), (0, "")] == [(done.returncode, done.stderr) for done in both]
    assert migrations.head_revision() == migrations.current_revision(empty_database_url)


def test_sql_can_be_written_out_for_people_who_run_it_themselves() -> None:
    alembic = str(Path(sys.executable).with_name("alembic"))
    done = run(alembic, "upgrade", "head", "--sql", database_url="postgresql+psycopg2://nobody@nowhere/none")

    assert 0 == done.returncode, done.stderr
    assert "CREATE TABLE trades" in done.stdout


def test_every_foreign_key_has_an_index_that_begins_with_it() -> None:
    """Deleting a row looks for those that refer to it; without an index that reads the whole table."""
    bare = [
        f"{table.name}.{column.name}"
        for table in Base.metadata.tables.values()
        for column in table.columns
        if column.foreign_keys and not _leads_an_index(column)
    ]
    assert [] == bare


def _leads_an_index(column: Column[Any]) -> bool:
    indexes = [list(each.columns) for each in column.table.indexes]
    unique = [list(each.columns) for each in column.table.constraints if isinstance(each, UniqueConstraint)]
    keys = [*indexes, *unique, list(column.table.primary_key.columns)]
    return any(columns[0] is column for columns in keys if columns)


def test_maps_that_were_stored_as_reals_keep_five_digits_up_and_down(empty_database_url: str) -> None:
    """Revision 0006 rewrites them, compressed ones too where the server compresses."""
    level_query = text("select price, leverage, side from liquidation_data_raw order by fetched_at, price")

    def levels() -> list[tuple[float, float, str]]:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(level_query)]

    def same(found: list[tuple[float, float, str]]) -> bool:
        numbers = [pytest.approx(number, rel=5e-6) for row in stored for number in row[:2]]
        return numbers == [number for row in found for number in row[:2]]

    command.upgrade(migrations.alembic_config(empty_database_url), "0005")
    engine = create_engine(empty_database_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(OLD_MAPS))
        if is_installed(connection):
            chunks = "select compress_chunk(chunk) from show_chunks('liquidation_snapshots') as chunk"
            connection.execute(text(chunks))
    stored = levels()

    migrations.upgrade(empty_database_url)
    upgraded = levels()
    migrations.downgrade(empty_database_url, "0005")

    assert (6, True, True) == (len(stored), same(upgraded), same(levels()))
