"""The dispatcher that services get in production: jobs become Celery messages."""

from __future__ import annotations

import kombu.exceptions
from celery import Celery

from whalestack.clock import Clock
from whalestack.dispatch import Job
from whalestack.errors import TryAgain


class CeleryDispatcher:
    """Sends jobs by name, so that no service imports a task.

    Args:
        app: the Celery application that knows the queues.
        clock: turns market expiry into real seconds.
    """

    def __init__(self, app: Celery, clock: Clock) -> None:
        self._app = app
        self._clock = clock

    def send(self, job: Job) -> None:
        expires = None if job.expires_s is None else max(1.0, self._clock.real_seconds(job.expires_s))
        try:
            self._app.send_task(job.task, kwargs=job.kwargs, expires=expires)
        except kombu.exceptions.OperationalError as error:
            raise TryAgain(f"the broker is away, {job.task} was not sent: {error}") from error
