"""How migrations run: one at a time on a database, each in its own transaction, never for ever."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from whalestack.config import get_settings
from whalestack.db.models import Base

# Two that start at once (two containers, a person and a deploy) must not migrate at once.
ADVISORY_LOCK = 0x77616C65  # any number, the same for all
LOCK_WAIT = "60s"
# A migration that waits for a table lock blocks everyone who comes after it: give up soon.
TABLE_LOCK_WAIT = "5s"
STATEMENT_LIMIT = "600s"


def database_url() -> str:
    """The URL that the caller gave, or the one of the settings."""
    given = context.config.attributes.get("database_url")
    return given or get_settings().database_url.get_secret_value()


def migrate(connection: Connection) -> None:
    """Run what was asked for, under the advisory lock."""
    connection.execute(text(f"set lock_timeout = '{LOCK_WAIT}'"))
    connection.execute(text("select pg_advisory_lock(:number)"), {"number": ADVISORY_LOCK})
    connection.execute(text(f"set lock_timeout = '{TABLE_LOCK_WAIT}'"))
    connection.execute(text(f"set statement_timeout = '{STATEMENT_LIMIT}'"))
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_type=True,
        compare_server_default=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def run_online() -> None:
    """Connect and migrate; the lock goes with the connection."""
    engine = create_engine(
        database_url(),
        poolclass=NullPool,
        connect_args={"application_name": "whalestack-migrations", "options": "-c timezone=UTC"},
    )
    with engine.connect() as connection:
        migrate(connection)


def run_offline() -> None:
    """Write the SQL instead of running it (`alembic upgrade head --sql`)."""
    context.configure(
        dialect_name="postgresql",
        target_metadata=Base.metadata,
        literal_binds=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    run_online()
