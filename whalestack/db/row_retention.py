"""How long rows of ordinary tables are kept: those that are over and that nothing refers to.

What belongs to a trade (signals, plans, orders, fills, trades, moves of stops, and the clusters
that plans aimed at) is kept for good.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text

from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.db.engine import Database

# No more in one run than a worker may spend; the next run goes on where this one stopped.
MAX_BATCHES = 20


@dataclass(frozen=True)
class RowRule:
    """Which rows of a table may go.

    Args:
        table: whose rows.
        keep_days: market days.
        is_over: SQL condition on the table's own columns, with the parameter `cutoff`.
        batch_rows: deleted in one transaction.
    """

    table: str
    keep_days: int
    is_over: str
    batch_rows: int = 10_000


def row_rules(settings: Settings) -> tuple[RowRule, ...]:
    """The rules of these settings. Nothing that is still due, running or undecided goes, however old."""
    logs = settings.keep_logs_days
    return (
        RowRule(
            "outbox",
            logs,
            "created_at < :cutoff and status in ('sent', 'failed', 'unknown', 'dropped')",
        ),
        RowRule("agent_logs", logs, "created_at < :cutoff"),
        RowRule("refresh_rounds", logs, "started_at < :cutoff and status <> 'running'"),
        RowRule(
            "liquidation_clusters",
            settings.keep_clusters_days,
            "detected_at < :cutoff and decided_at < :cutoff and hit_target is not null and not traded "
            "and not exists (select from trade_plans where trade_plans.cluster_id = liquidation_clusters.id)",
            # Each one that goes is looked for among the plans, which have no index on it.
            batch_rows=500,
        ),
    )


@dataclass(frozen=True)
class RowsRemoved:
    """Rows removed by table, tables with none left out; `is_complete` False when some are left."""

    removed: dict[str, int]
    is_complete: bool


class RowRetention:
    """Deletes by the rules.

    Args:
        db: of this process.
        settings: the keep_*_days.
        clock: market time.
    """

    def __init__(self, db: Database, settings: Settings, clock: Clock) -> None:
        self._db = db
        self._rules = row_rules(settings)
        self._clock = clock

    def apply(self) -> RowsRemoved:
        """Remove what is too old, a few batches of each table."""
        removed: dict[str, int] = {}
        is_complete = True
        for rule in self._rules:
            batches = list(self._batches(rule))
            is_complete &= batches[-1] < rule.batch_rows
            if sum(batches):
                removed[rule.table] = sum(batches)
        return RowsRemoved(removed, is_complete)

    def _batches(self, rule: RowRule) -> Iterator[int]:
        """Rows deleted in each batch; the last is a short one unless there were too many."""
        for _ in range(MAX_BATCHES):
            count = self._delete(rule)
            yield count
            if count < rule.batch_rows:
                return

    def _delete(self, rule: RowRule) -> int:
        # Locked rows are somebody's work at this moment: they wait for the next run.
        statement = text(
            f"with gone as (delete from {rule.table} where id in ("  # noqa: S608 - our own names
            f"select id from {rule.table} where {rule.is_over} limit :batch for update skip locked"
            f") returning 1) select count(*) from gone"
        )
        cutoff = self._clock.now() - timedelta(days=rule.keep_days)
        with self._db.begin() as work:
            arguments = {"cutoff": cutoff, "batch": rule.batch_rows}
            return int(work.session.execute(statement, arguments).scalar_one())
