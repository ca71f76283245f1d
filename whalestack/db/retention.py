"""How long tables that only grow are kept, on both kinds of server.

TimescaleDB drops whole chunks by itself, but its policies count from the wall clock. Where
market time is not real time (the demo), and on plain PostgreSQL, the `history` task calls
`Retention.apply`, which counts in market time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

import structlog
from sqlalchemy import Connection, text

from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.db import timescale
from whalestack.db.engine import Database
from whalestack.db.row_retention import RowRetention
from whalestack.db.timescale import TIME_TABLES, TimeTable

DELETE_BATCH_ROWS = 20_000  # a transaction of well under a second, so that nobody waits on it
# No more in one run than a worker may spend; the next run goes on where this one stopped.
MAX_BATCHES = 100
POLICY_TIMEOUT_S = 240  # below the time limit of the queue that runs this

logger = structlog.get_logger(__name__)


class Means(StrEnum):
    """How retention is done on a server."""

    POLICIES = "policies"
    CHUNKS = "chunks"
    ROWS = "rows"


@dataclass(frozen=True)
class RetentionReport:
    """What one run did.

    Args:
        means: policies set, chunks dropped, or rows deleted; of the tables that only grow.
        removed: chunks or rows removed, by table; tables with none are left out.
        policies: days of each policy that was changed to what the settings say.
        run_here: policies that the server fails to run by itself and that were run here.
        is_complete: False when rows are left for the next run.
    """

    means: Means
    removed: dict[str, int] = field(default_factory=dict)
    policies: dict[str, int] = field(default_factory=dict)
    run_here: tuple[str, ...] = ()
    is_complete: bool = True


def keep_days(settings: Settings) -> dict[str, int]:
    """Days to keep each table's rows: maps, ticks and candles set the pace for their kin."""
    return {
        "liquidation_snapshots": settings.keep_snapshots_days,
        "coin_rankings": settings.keep_snapshots_days,
        "market_ticks": settings.keep_ticks_days,
        "market_changes": settings.keep_ticks_days,
        "task_runs": settings.keep_ticks_days,
        "candles": settings.keep_candles_days,
        "liquidation_orders": settings.keep_candles_days,
        "fast_price_movers": settings.keep_candles_days,
        "oi_volume_spikes": settings.keep_candles_days,
        "api_usage": settings.keep_candles_days,
    }


class Retention:
    """Applies the settings' retention to the database.

    Args:
        db: database of this process.
        settings: the keep_*_days and the clock's speed and origins.
        clock: market time.
    """

    def __init__(self, db: Database, settings: Settings, clock: Clock) -> None:
        self._db = db
        self._keep_days = keep_days(settings)
        self._clock = clock
        self._rows = RowRetention(db, settings, clock)
        self._is_real_time = (
            settings.clock_speed == 1.0
            and settings.clock_real_origin_ms == 0
            and settings.clock_market_origin_ms == 0
        )

    def apply(self) -> RetentionReport:
        """Remove what is too old, or see that the server will; rows of ordinary tables in any case."""
        report, rows = self._apply_to_time_tables(), self._rows.apply()
        return replace(
            report,
            removed=report.removed | rows.removed,
            is_complete=report.is_complete and rows.is_complete,
        )

    def _apply_to_time_tables(self) -> RetentionReport:
        means = self._means()
        if means is Means.POLICIES:
            return self._align_policies()
        if means is Means.CHUNKS:
            return self._drop_chunks()
        return self._delete_rows()

    def _means(self) -> Means:
        with self._db.begin() as work:
            connection = work.session.connection()
            if not timescale.hypertables(connection):
                return Means.ROWS
            has_policies = timescale.has_policies(connection)
        return Means.POLICIES if has_policies and self._is_real_time else Means.CHUNKS

    def _align_policies(self) -> RetentionReport:
        with self._autocommit() as connection:
            in_force = timescale.retention_days(connection)
            wrong = {name: days for name, days in self._keep_days.items() if in_force.get(name) != days}
            for name, days in wrong.items():
                timescale.set_retention(connection, name, days)
            return RetentionReport(Means.POLICIES, policies=wrong, run_here=_run_failing_policies(connection))

    def _drop_chunks(self) -> RetentionReport:
        """By market time; the policies would drop a recorded market as too old, so they go."""
        removed = {}
        with self._autocommit() as connection:
            if timescale.has_policies(connection):
                for name in timescale.retention_days(connection):
                    timescale.set_retention(connection, name, None)
            for name in self._keep_days:
                if count := timescale.drop_chunks(connection, name, self._cutoff(name)):
                    removed[name] = count
        return RetentionReport(Means.CHUNKS, removed=removed)

    @contextmanager
    def _autocommit(self) -> Iterator[Connection]:
        """A connection whose statements are transactions of their own, with more time for each."""
        with self._db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"set statement_timeout = '{POLICY_TIMEOUT_S}s'"))
            try:
                yield connection
            finally:
                connection.execute(text("reset statement_timeout"))

    def _delete_rows(self) -> RetentionReport:
        removed: dict[str, int] = {}
        batches_left = MAX_BATCHES
        is_complete = True
        for table in TIME_TABLES:
            batches = self._delete_from(table, batches_left)
            batches_left -= len(batches)
            is_complete &= bool(batches) and batches[-1] < DELETE_BATCH_ROWS
            if sum(batches):
                removed[table.name] = sum(batches)
        return RetentionReport(Means.ROWS, removed=removed, is_complete=is_complete)

    def _delete_from(self, table: TimeTable, max_batches: int) -> list[int]:
        """Rows deleted in each batch; the last is a short one unless `max_batches` ended it."""
        batches: list[int] = []
        while len(batches) < max_batches and (not batches or batches[-1] == DELETE_BATCH_ROWS):
            batches.append(self._delete_batch(table))
        return batches

    def _delete_batch(self, table: TimeTable) -> int:
        statement = text(
            f"with gone as (delete from {table.name} where ctid = any(array("  # noqa: S608 - our own names
            f"select ctid from {table.name} where {table.time_column} < :cutoff limit :batch"
            f")) returning 1) select count(*) from gone"
        )
        with self._db.begin() as work:
            arguments = {"cutoff": self._cutoff(table.name), "batch": DELETE_BATCH_ROWS}
            return int(work.session.execute(statement, arguments).scalar_one())

    def _cutoff(self, name: str) -> datetime:
        return self._clock.now() - timedelta(days=self._keep_days[name])


def _run_failing_policies(connection: Connection) -> tuple[str, ...]:
    """Do the work of policies whose scheduled runs fail, or the disk would fill unseen."""
    failing = timescale.failing_jobs(connection)
    if failing:
        logger.warning("policies_fail_on_server", policies=sorted(failing.values()))
    for job_id in failing:
        timescale.run_job(connection, job_id)
    return tuple(sorted(failing.values()))
