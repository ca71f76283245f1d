"""How a service asks for work on a queue without knowing the queue system.

Services receive a `Dispatcher`; the one that talks to Celery lives in
`whalestack.tasks`. A send that belongs to a database change is made through
`whalestack.db.engine.UnitOfWork.dispatch_after_commit`, so that a worker can never
see a message before the row it speaks of.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Job:
    """A task to send: its registered name and JSON-ready arguments.

    Args:
        task: name as in `whalestack.tasks`, for example ``trade.act_on_signal``.
        kwargs: JSON-ready keyword arguments.
        expires_s: market seconds after which a worker drops the message, None for never.
    """

    task: str
    kwargs: dict[str, object] = field(default_factory=dict)
    expires_s: float | None = None


class Dispatcher(Protocol):
    """Sends jobs to their queues."""

    def send(self, job: Job) -> None:
        """Enqueue one job. Raises `whalestack.errors.TryAgain` if the broker is away."""


class RecordingDispatcher:
    """Keeps what was sent: for tests and for one-process runs."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def send(self, job: Job) -> None:
        self.jobs.append(job)
