"""Jobs that the streams ask for, held until everything that they measure is written."""

from __future__ import annotations

import threading
from collections.abc import Callable

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

    def let_go(self, is_wanted: Callable[[Job], bool]) -> list[Job]:
        """Send what is held and wanted, coin by coin in the alphabet; the rest stays.

        The order in which a step's coins were heard of is chance; that of one coin's news is not.
        """
        jobs = self.take(is_wanted)
        for job in jobs:
            self._onward.send(job)
        return jobs

    def take(self, is_wanted: Callable[[Job], bool]) -> list[Job]:
        """Remove what is wanted, coin by coin in the alphabet, without sending it."""
        with self._lock:
            taken = [job for job in self._jobs if is_wanted(job)]
            self._jobs = [job for job in self._jobs if not is_wanted(job)]
        return sorted(taken, key=symbol_of)


def symbol_of(job: Job) -> str:
    """The coin that a job is about, nothing for none."""
    return str(job.kwargs.get("symbol", ""))
