"""What TimescaleDB adds where it is installed: hypertables, compression, retention policies.

On plain PostgreSQL the tables stay ordinary ones with the same indexes, and
`whalestack.db.retention` deletes.

Functions that change or remove a policy want a connection in autocommit mode. In one
transaction the second change would wait for a job that the server's scheduler is starting,
while the scheduler waits for what the first change holds: a deadlock that can end the
scheduler, which TimescaleDB does not start again (both seen on 2.22.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

EXTENSION = "timescaledb"


@dataclass(frozen=True)
class TimeTable:
    """A table that only grows with time.

    Args:
        name: of the table.
        time_column: in every unique key of it, as a hypertable demands.
        chunk_days: time that one chunk holds.
        segment_by: columns whose equal values are stored once in a compressed batch.
        compress_after_days: age at which chunks are compressed.
        keep_days: age at which chunks are dropped unless the settings say otherwise.
    """

    name: str
    time_column: str
    chunk_days: float
    segment_by: tuple[str, ...]
    compress_after_days: float
    keep_days: int


TIME_TABLES: tuple[TimeTable, ...] = (
    TimeTable("liquidation_snapshots", "fetched_at", 1, ("symbol", "timeframe"), 0.25, 30),
    TimeTable("market_ticks", "ts", 1, ("symbol",), 2, 30),
    TimeTable("candles", "start_at", 7, ("symbol", "interval"), 14, 400),
    TimeTable("market_changes", "ts", 1, ("symbol",), 2, 30),
    TimeTable("liquidation_orders", "ts", 7, ("symbol",), 14, 400),
    TimeTable("fast_price_movers", "detected_at", 30, ("symbol",), 60, 400),
    TimeTable("oi_volume_spikes", "detected_at", 30, ("symbol",), 60, 400),
    TimeTable("coin_rankings", "created_at", 1, ("symbol",), 2, 30),
    TimeTable("task_runs", "started_at", 1, ("task",), 2, 30),
    TimeTable("api_usage", "ts", 7, ("service", "endpoint"), 14, 400),
)


def is_available(connection: Connection) -> bool:
    """Whether the server could create the extension."""
    query = "select 1 from pg_available_extensions where name = :name"
    return connection.execute(text(query), {"name": EXTENSION}).first() is not None


def is_installed(connection: Connection) -> bool:
    """Whether this database has the extension."""
    query = "select 1 from pg_extension where extname = :name"
    return connection.execute(text(query), {"name": EXTENSION}).first() is not None


def hypertables(connection: Connection) -> frozenset[str]:
    """Which of our tables are hypertables: none where the extension came after the tables."""
    if not is_installed(connection):
        return frozenset()
    rows = connection.execute(text("select hypertable_name from timescaledb_information.hypertables"))
    return frozenset(rows.scalars()) & {table.name for table in TIME_TABLES}


def has_policies(connection: Connection) -> bool:
    """Whether the build has compression and policies: the Apache-only one does not."""
    license_name = connection.execute(text("select current_setting('timescaledb.license', true)")).scalar()
    return license_name == "timescale"


def create_hypertable(connection: Connection, table: TimeTable) -> None:
    """Turn an empty table into a hypertable, without the index that would be drift."""
    connection.execute(
        text(
            "select create_hypertable(cast(:name as regclass),"
            " by_range(cast(:column as name), make_interval(secs => :chunk_s)),"
            " create_default_indexes => false)"
        ),
        {"name": table.name, "column": table.time_column, "chunk_s": table.chunk_days * 86_400},
    )


def set_compression(connection: Connection, table: TimeTable) -> None:
    """Compress chunks by segment, newest first, when they are old enough.

    What a unique key has beside the segment and the time belongs to the order: without it
    TimescaleDB has to decompress a batch to check a key.
    """
    segment = ", ".join(table.segment_by)
    connection.execute(
        text(
            f"alter table {table.name} set (timescaledb.compress,"
            f" timescaledb.compress_segmentby = '{segment}',"
            f" timescaledb.compress_orderby = '{table.time_column} desc')"
        )
    )
    connection.execute(
        text("select add_compression_policy(cast(:name as regclass), make_interval(secs => :after_s))"),
        {"name": table.name, "after_s": table.compress_after_days * 86_400},
    )


def set_chunk_interval(connection: Connection, table: TimeTable) -> None:
    """How much time the next chunks of a hypertable hold; those that are there stay as they are."""
    connection.execute(
        text("select set_chunk_time_interval(cast(:name as regclass), make_interval(secs => :chunk_s))"),
        {"name": table.name, "chunk_s": table.chunk_days * 86_400},
    )


def end_compression(connection: Connection, name: str) -> None:
    """Take compression away from a hypertable, so that its columns may change. In autocommit mode."""
    arguments = {"name": name}
    connection.execute(
        text("select remove_compression_policy(cast(:name as regclass), if_exists => true)"), arguments
    )
    connection.execute(
        text("select decompress_chunk(chunk, true) from show_chunks(cast(:name as regclass)) as chunk"),
        arguments,
    )
    connection.execute(text(f"alter table {name} set (timescaledb.compress = false)"))


def set_retention(connection: Connection, name: str, keep_days: int | None) -> None:
    """Replace the retention policy of a hypertable; None removes it. In autocommit mode.

    A policy counts from the wall clock, so it is right only where market time is real time.
    """
    arguments = {"name": name, "keep_days": keep_days}
    connection.execute(
        text("select remove_retention_policy(cast(:name as regclass), if_exists => true)"), arguments
    )
    if keep_days is not None:
        connection.execute(
            text("select add_retention_policy(cast(:name as regclass), make_interval(days => :keep_days))"),
            arguments,
        )


def remove_policies(connection: Connection) -> None:
    """Take away the compression and retention jobs of our hypertables. In autocommit mode."""
    for name in sorted(hypertables(connection)):
        set_retention(connection, name, None)
        connection.execute(
            text("select remove_compression_policy(cast(:name as regclass), if_exists => true)"),
            {"name": name},
        )


def retention_days(connection: Connection) -> dict[str, int]:
    """The retention policies in force: table to days."""
    rows = connection.execute(
        text(
            "select hypertable_name, extract(epoch from (config->>'drop_after')::interval) / 86400 as days"
            " from timescaledb_information.jobs where proc_name = 'policy_retention'"
        )
    )
    return {row.hypertable_name: int(row.days) for row in rows}


def failing_jobs(connection: Connection) -> dict[int, str]:
    """Our policies whose last scheduled run failed: job id to what it is.

    Not hypothetical: on PostgreSQL 15.20 every scheduled run of 2.22.1 fails with "cannot drop
    portal while it is being set up", while the same job run by hand succeeds.
    """
    rows = connection.execute(
        text(
            "select jobs.job_id, jobs.proc_name, jobs.hypertable_name"
            " from timescaledb_information.jobs as jobs"
            " join timescaledb_information.job_stats as stats using (job_id)"
            " where stats.last_run_status = 'Failed' and jobs.scheduled"
        )
    )
    ours = hypertables(connection)
    return {
        row.job_id: f"{row.proc_name} {row.hypertable_name}" for row in rows if row.hypertable_name in ours
    }


def run_job(connection: Connection, job_id: int) -> None:
    """Run a policy now. In autocommit mode, because it commits on its own."""
    connection.execute(text(f"call run_job({job_id:d})"))


def drop_chunks(connection: Connection, name: str, older_than: datetime) -> int:
    """Drop the chunks of a hypertable that lie wholly before a moment; returns how many."""
    query = (
        "select count(*) from drop_chunks("
        "cast(:name as regclass), older_than => cast(:moment as timestamptz))"
    )
    dropped = connection.execute(text(query), {"name": name, "moment": older_than})
    return int(dropped.scalar_one())
