"""Rows of `task_runs`: what every task did, how long it took, and what was dropped."""

from __future__ import annotations

from datetime import UTC, datetime

import structlog
from sqlalchemy import NullPool, create_engine, insert, text
from sqlalchemy.exc import SQLAlchemyError

from whalestack.config import Settings
from whalestack.db.engine import Database
from whalestack.db.models import TaskRun

logger = structlog.get_logger(__name__)

# One round trip, and no waiting for the disk: a crash of the server may cost the last rows, and nothing
# is decided by them.
_RECORD = text(
    """
    with unsynced as (select set_config('synchronous_commit', 'off', true))
    insert into task_runs (task, queue, started_at, duration_ms, status, error)
    select :task, :queue, :started_at, :duration_ms, :status, :error from unsynced
    """
)


def record_run(
    db: Database,
    *,
    task: str,
    started_at: datetime,
    duration_ms: float,
    status: str,
    error: str | None = None,
) -> None:
    """Write one row; a database that is away costs the row, never the task."""
    row = _row(task, started_at, duration_ms, status, error)
    try:
        with db.alone() as connection:
            connection.execute(_RECORD, row)
    except SQLAlchemyError as problem:
        logger.warning("task_run_not_recorded", task=task, status=status, problem=type(problem).__name__)


def record_expired(settings: Settings, task: str) -> None:
    """Count a message that was dropped because it came too late.

    It is called in a worker's main process, which must keep no connection open that its
    later children would inherit; so this one is closed at once.
    """
    engine = create_engine(settings.database_url.get_secret_value(), poolclass=NullPool)
    try:
        with engine.begin() as connection:
            connection.execute(insert(TaskRun).values(_row(task, datetime.now(UTC), 0.0, "expired", None)))
    except SQLAlchemyError as problem:
        logger.warning("task_run_not_recorded", task=task, status="expired", problem=type(problem).__name__)


def _row(
    task: str, started_at: datetime, duration_ms: float, status: str, error: str | None
) -> dict[str, object]:
    return {
        "task": task,
        "queue": task.partition(".")[0],
        "started_at": started_at,
        "duration_ms": duration_ms,
        "status": status,
        "error": error,
    }
