"""The base of every task: it counts runs, keeps exclusive tasks from overlapping and
turns the errors of services into what Celery has to do about them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import structlog
from celery import Task, shared_task
from sqlalchemy import text

from whalestack.errors import TryAgain
from whalestack.runtime import Runtime, get_runtime
from whalestack.tasks.runs import record_run

logger = structlog.get_logger(__name__)


class WhalestackTask(Task):  # type: ignore[type-arg]
    """A thin shell over one service call.

    A task whose service raises `TryAgain` ends without an error being logged as a crash: the
    next run, a sweep or the reconciler repeats the work from its row. Celery itself never
    retries, so an order can never be sent by a retry.

    Attributes:
        exclusive: when True, a run ends at once while another run of the same task is going.
    """

    abstract = True
    exclusive = False
    max_retries = 0

    @property
    def runtime(self) -> Runtime:
        """Everything this process needs, made once per process and after the fork."""
        return get_runtime()

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        started_at, started = datetime.now(UTC), time.perf_counter()
        structlog.contextvars.bind_contextvars(task=self.name)
        status, error = "failed", None
        try:
            with self._alone() as alone:
                if alone:
                    super().__call__(*args, **kwargs)
                status = "ok" if alone else "skipped_overlap"
        except TryAgain as problem:
            status, error = "try_again", f"{type(problem).__name__}: {problem}"
            logger.warning("task_will_be_repeated", error=error)
        except Exception as problem:  # only to write it down; it goes on to Celery as it is
            error = f"{type(problem).__name__}: {problem}"
            raise
        finally:
            structlog.contextvars.clear_contextvars()
            record_run(
                self.runtime.db,
                task=self.name,
                started_at=started_at,
                duration_ms=(time.perf_counter() - started) * 1000,
                status=status,
                error=error,
            )

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Whether this run may go on; a PostgreSQL advisory lock, which ends with its connection
        and so cannot outlive a killed worker."""
        if not self.exclusive:
            yield True
            return
        # No transaction: an idle one is ended by the server, and with it the session and the lock.
        engine = self.runtime.db.engine.execution_options(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            taken = connection.scalar(
                text("select pg_try_advisory_lock(hashtext(:name))"), {"name": self.name}
            )
            try:
                yield bool(taken)
            finally:
                if taken:
                    connection.scalar(text("select pg_advisory_unlock(hashtext(:name))"), {"name": self.name})


def task(
    name: str, *, exclusive: bool = False, survives_worker: bool = False, time_limit_s: int | None = None
) -> Callable[[Callable[..., None]], Any]:
    """Register a body as a task; the body gets the process's `Runtime` and the message's arguments.

    Args:
        name: ``<queue>.<what>``; the part before the dot is the queue.
        exclusive: a run ends at once while another run of the same task is going.
        survives_worker: the message is acknowledged only after the run, so that the death of
            the worker runs it again; for work that finds its row and stops when it is done.
        time_limit_s: real seconds after which it is killed; None for its queue's limit.
    """

    def register(body: Callable[..., None]) -> Any:
        def run(self: WhalestackTask, *args: Any, **kwargs: Any) -> None:
            body(self.runtime, *args, **kwargs)

        run.__doc__, run.__module__, run.__name__ = body.__doc__, body.__module__, body.__name__
        options: dict[str, Any] = {
            "name": name,
            "bind": True,
            "exclusive": exclusive,
            "acks_late": survives_worker,
            "reject_on_worker_lost": survives_worker,
        }
        if time_limit_s is not None:
            options |= {"time_limit": time_limit_s, "soft_time_limit": time_limit_s * 3 // 4}
        return shared_task(**options)(run)

    return register
