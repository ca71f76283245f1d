"""Jobs on their way to the queues, off the threads that read the sockets."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from whalestack.dispatch import Dispatcher, Job
from whalestack.errors import TryAgain

log = structlog.get_logger()

MOST_WAITING = 10_000
PAUSE_S = 0.25


@dataclass(frozen=True)
class _Order:
    job: Job
    first: Callable[[], bool]
    give_up_s: float


def _nothing_first() -> bool:
    return True


class JobSender:
    """Sends jobs in order from one thread; a broker that is away is waited for.

    Args:
        name: for the thread and the log.
        dispatcher: sends them.
        patience_s: real seconds for which a job is worth sending. Everything that is sent
            here has a sweep or a poll behind it, so one that is dropped is late, not lost.
    """

    def __init__(self, name: str, dispatcher: Dispatcher, *, patience_s: float = 30.0) -> None:
        self._name = name
        self._dispatcher = dispatcher
        self._patience_s = patience_s
        self._waiting: queue.Queue[_Order | None] = queue.Queue(MOST_WAITING)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"sender-{name}", daemon=True)
        self.sent = 0
        self.dropped = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Send what waits, then end; what the broker does not take at once is dropped."""
        self._stop.set()
        try:
            self._waiting.put(None, timeout=timeout_s)
        except queue.Full:
            log.warning("sender_stopped_full", sender=self._name)
        self._thread.join(timeout_s)

    def post(self, job: Job, *, first: Callable[[], bool] = _nothing_first) -> None:
        """Send `job` soon; returns at once.

        Args:
            job: what to send.
            first: called in the sender's thread right before; the job is sent only if it
                returns True. Here belongs what the job's worker will want to read.
        """
        try:
            self._waiting.put_nowait(_Order(job, first, time.monotonic() + self._patience_s))
        except queue.Full:
            self._drop(job, "queue_full")

    def _run(self) -> None:
        while (order := self._waiting.get()) is not None:
            try:
                self._send(order)
            except Exception:  # one bad job must not end the sender
                self.dropped += 1
                log.exception("sender_job_failed", sender=self._name, task=order.job.task)

    def _send(self, order: _Order) -> None:
        while True:
            try:
                if order.first():
                    self._dispatcher.send(order.job)
                    self.sent += 1
                return
            except TryAgain as error:
                if self._stop.is_set() or time.monotonic() > order.give_up_s:
                    self._drop(order.job, str(error))
                    return
                self._stop.wait(PAUSE_S)

    def _drop(self, job: Job, why: str) -> None:
        self.dropped += 1
        log.warning("sender_job_dropped", sender=self._name, task=job.task, why=why, dropped=self.dropped)
