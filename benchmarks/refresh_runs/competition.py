"""Re-fetches that compete with a round for calls: sent at a steady pace, timed by the workers' own events."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from refresh_runs.system import RefreshSystem


@dataclass
class Competition:
    """Sends `refetch.coin` for one coin after the other until the block ends.

    Args:
        system: which runs.
        symbols: whose maps are asked for, in turn.
        every_s: real seconds between two.
    """

    system: RefreshSystem
    symbols: Sequence[str]
    every_s: float
    _sent: dict[str, float] = field(default_factory=dict)
    _ended: dict[str, float] = field(default_factory=dict)
    _others: set[str] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        for act in (self._listen, self._send):
            thread = threading.Thread(target=act, name=act.__name__, daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(5)

    @property
    def sent(self) -> int:
        """Re-fetches sent from here."""
        return len(self._sent)

    @property
    def of_the_system(self) -> int:
        """Re-fetches that the system itself asked for and that have ended."""
        return len(self._others - self._sent.keys())

    def latencies_s(self) -> list[float]:
        """From sending to the end of the task, of those sent from here that have ended."""
        return [self._ended[each] - at for each, at in self._sent.items() if each in self._ended]

    def _send(self) -> None:
        turns = itertools.cycle(self.symbols)
        while not self._stop.wait(self.every_s):
            at = time.time()
            message = self.system.celery.send_task(
                "refetch.coin", kwargs={"symbol": next(turns), "reason": "benchmark"}, queue="refetch"
            )
            self._sent[message.id] = at

    def _listen(self) -> None:
        with self.system.celery.connection_for_read() as connection:
            receiver = self.system.celery.events.Receiver(
                connection, handlers={"task-succeeded": self._note, "task-received": self._name}
            )
            for _ in receiver.itercapture(limit=None, timeout=None, wakeup=False):
                if self._stop.is_set():
                    return

    def _name(self, event: dict[str, Any]) -> None:
        if event.get("name") == "refetch.coin":
            self._others.add(event["uuid"])

    def _note(self, event: dict[str, Any]) -> None:
        self._ended[event["uuid"]] = event["timestamp"]
