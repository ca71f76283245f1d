"""Through a real worker and a real Redis: overlap is skipped, lateness counted, failure contained."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from celery import Celery
from sqlalchemy import select

from whalestack.db.models import TaskRun
from whalestack.errors import TryAgain
from whalestack.runtime import Runtime

pytestmark = pytest.mark.pipeline


def wait_until(holds: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.02)


def statuses(runtime: Runtime, task: str) -> list[str]:
    with runtime.reading() as session:
        rows = select(TaskRun.status).where(TaskRun.task == task).order_by(TaskRun.started_at)
        return list(session.scalars(rows))


@pytest.fixture
def runtime(celery_app: Celery) -> Runtime:
    from whalestack.tasks import base

    return base.get_runtime()


class Scanner:
    """A service that can be held and told to fail."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.may_end = threading.Event()
        self.runs = 0
        self.error: Exception | None = None

    def scan(self) -> None:
        self.runs += 1
        self.entered.set()
        if self.error is not None:
            raise self.error
        assert self.may_end.wait(20)


@pytest.fixture
def scanner(runtime: Runtime) -> Scanner:
    scanner = Scanner()
    runtime.__dict__["move_scanner"] = scanner
    return scanner


def test_a_scan_that_still_runs_is_not_started_again(
    celery_app: Celery, runtime: Runtime, scanner: Scanner, worker: object
) -> None:
    celery_app.send_task("scan.moves")
    assert scanner.entered.wait(20)
    celery_app.send_task("scan.moves")
    wait_until(lambda: "skipped_overlap" in statuses(runtime, "scan.moves"), "the skipped run")
    scanner.may_end.set()
    wait_until(lambda: "ok" in statuses(runtime, "scan.moves"), "the end of the first run")
    assert scanner.runs == 1


def test_a_message_that_came_too_late_is_dropped_and_counted(
    celery_app: Celery, runtime: Runtime, scanner: Scanner, worker: object
) -> None:
    celery_app.send_task("scan.moves", expires=datetime.now(UTC))
    wait_until(lambda: statuses(runtime, "scan.moves") == ["expired"], "the dropped message")
    assert scanner.runs == 0


def test_what_may_be_tried_again_is_not_a_failure(
    celery_app: Celery, runtime: Runtime, scanner: Scanner, worker: object
) -> None:
    scanner.error = TryAgain("the exchange is away")
    celery_app.send_task("scan.moves")
    wait_until(lambda: statuses(runtime, "scan.moves") == ["try_again"], "the run")


def test_a_failure_is_recorded_and_the_worker_goes_on(
    celery_app: Celery, runtime: Runtime, scanner: Scanner, worker: object
) -> None:
    scanner.error = ValueError("a bug")
    celery_app.send_task("scan.moves")
    wait_until(lambda: statuses(runtime, "scan.moves") == ["failed"], "the failed run")
    scanner.error = None
    scanner.may_end.set()
    celery_app.send_task("scan.moves")
    wait_until(lambda: statuses(runtime, "scan.moves") == ["failed", "ok"], "the next run")


def test_canaries_reach_every_queue(celery_app: Celery, runtime: Runtime, worker: object) -> None:
    """A worker can answer pings and consume nothing; the canary shows that it consumes."""
    celery_app.send_task("history.canaries")
    wait_until(lambda: len(runtime.redis.keys("ws:canary:*")) == 7, "a sign from each of seven queues")
