"""Jobs that the streams ask for, held until everything that they measure is written."""

from __future__ import annotations

import threading

from whalestack.dispatch import Dispatcher, Job

MARK = "parity.mark"


class HeldJobs:
    """A dispatcher that keeps what it gets until it is told to let it go.

    Args:
        onward: where the jobs go then.
    """

    def __init__(self, onward: Dispatcher) -> None:
        self._onward = onward
        self._jobs: list[Job] = []
        self._lock = threading.Lock()
        self.marked = threading.Semaphore(0)

    def send(self, job: Job) -> None:
        if job.task == MARK:
            self.marked.release()
            return
        with self._lock:
            self._jobs.append(job)

    def let_go(self) -> int:
        """Send what is held, orders' news first and then by coin; returns how many.

        The order in which a step's coins were heard of is chance; that of one coin's news is not.
        """
        with self._lock:
            jobs, self._jobs = self._jobs, []
        jobs.sort(key=lambda job: (not job.task.startswith("trade."), str(job.kwargs.get("symbol", ""))))
        for job in jobs:
            self._onward.send(job)
        return len(jobs)
