"""Queue `history`: what came of the clusters, what each coin's past says, and housekeeping."""

from __future__ import annotations

from whalestack.runtime import Runtime
from whalestack.tasks.base import task
from whalestack.tasks.queues import queues


@task("history.outcomes", exclusive=True)
def outcomes(runtime: Runtime) -> None:
    """Judge clusters: hit or missed."""
    runtime.outcome_scanner.scan()


@task("history.patterns", exclusive=True)
def patterns(runtime: Runtime) -> None:
    """Learn each coin's success, wicks and sizes."""
    runtime.coin_history_scanner.scan()


# Once a day, every coin's minutes of two months: half a second to a second a coin.
@task("history.accuracy", exclusive=True, time_limit_s=1800)
def accuracy(runtime: Runtime) -> None:
    """Measure hit rates against chance."""
    runtime.accuracy_scanner.scan()


@task("history.thresholds", exclusive=True)
def thresholds(runtime: Runtime) -> None:
    """Learn what is a spike for each coin."""
    runtime.threshold_scanner.scan()


@task("history.retention", exclusive=True)
def retention(runtime: Runtime) -> None:
    """Delete what is older than the settings keep, where TimescaleDB does not."""
    runtime.retention.apply()


@task("history.canaries")
def canaries(runtime: Runtime) -> None:
    """Send one small task through every queue: a worker can answer pings and consume nothing."""
    for queue in queues(runtime.settings):
        canary.apply_async(kwargs={"queue": queue.name}, queue=queue.name, expires=120)


@task("history.canary")
def canary(runtime: Runtime, queue: str) -> None:
    """Say that this queue is being worked."""
    runtime.mark_alive(queue)
