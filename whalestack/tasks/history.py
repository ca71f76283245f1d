"""Queue `history`: what came of the clusters, what each coin's past says, and housekeeping."""

from __future__ import annotations

from celery import shared_task

from whalestack.tasks.base import WhalestackTask
from whalestack.tasks.queues import queues


@shared_task(name="history.outcomes", bind=True, exclusive=True)
def outcomes(self: WhalestackTask) -> None:
    """Judge clusters: hit or missed."""
    self.runtime.outcome_scanner.scan()


@shared_task(name="history.patterns", bind=True, exclusive=True)
def patterns(self: WhalestackTask) -> None:
    """Learn each coin's success, wicks and sizes."""
    self.runtime.coin_history_scanner.scan()


@shared_task(name="history.thresholds", bind=True, exclusive=True)
def thresholds(self: WhalestackTask) -> None:
    """Learn what is a spike for each coin."""
    self.runtime.threshold_scanner.scan()


@shared_task(name="history.retention", bind=True, exclusive=True)
def retention(self: WhalestackTask) -> None:
    """Delete what is older than the settings keep, where TimescaleDB does not."""
    self.runtime.retention.apply()


@shared_task(name="history.canaries", bind=True)
def canaries(self: WhalestackTask) -> None:
    """Send one small task through every queue: a worker can answer pings and consume nothing."""
    for queue in queues(self.runtime.settings):
        canary.apply_async(kwargs={"queue": queue.name}, queue=queue.name, expires=120)


@shared_task(name="history.canary", bind=True)
def canary(self: WhalestackTask, queue: str) -> None:
    """Say that this queue is being worked."""
    self.runtime.mark_alive(queue)
