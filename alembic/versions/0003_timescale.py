"""Hypertables, compression and retention, where the server has TimescaleDB.

On a server without it nothing is done, and the tables stay ordinary ones. Should the
extension be installed later, `whalestack.db.timescale` has the functions to convert them.
"""

from __future__ import annotations

from collections.abc import Sequence

from alembic import context, op

from whalestack.db import timescale

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    if context.is_offline_mode():
        return  # written-out SQL cannot ask the server what it has
    connection = op.get_bind()
    if not timescale.is_available(connection):
        return
    op.execute("create extension if not exists timescaledb")
    for table in timescale.TIME_TABLES:
        timescale.create_hypertable(connection, table)
    if not timescale.has_policies(connection):
        return
    for table in timescale.TIME_TABLES:
        timescale.set_compression(connection, table)
        timescale.set_retention(connection, table.name, table.keep_days)


def downgrade() -> None:
    """End the background jobs before 0001 drops their tables, each in a transaction of its own.

    A job that runs while its table is dropped waits for the table, and the drop waits for
    the job: a deadlock, seen on 2.22.1. The hypertables go with their tables in 0001; the
    extension stays, it may serve others.
    """
    if context.is_offline_mode():
        return
    with op.get_context().autocommit_block():
        connection = op.get_bind()
        if timescale.hypertables(connection) and timescale.has_policies(connection):
            timescale.remove_policies(connection)
