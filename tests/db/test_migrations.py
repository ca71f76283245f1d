"""Migrations go up, down and up again, and the database they make is the one the models describe."""

from __future__ import annotations

from sqlalchemy import inspect

from whalestack.db import migrations
from whalestack.db.engine import Database, make_engine
from whalestack.db.models import Base


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
