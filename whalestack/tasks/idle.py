"""When nothing is queued and nothing runs.

Every message is pushed onto a list of Redis once, and every message ends in one event of its worker.
Redis counts its pushes itself, so no message can hide between a queue and a worker.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any, Self

import redis
from celery import Celery
from celery.events import EventReceiver

from whalestack.errors import StopAndTell

ENDINGS = ("task-succeeded", "task-failed", "task-revoked", "task-rejected")
LOOK_EVERY_S = 0.002
GIVE_UP_S = 60.0


class _Receiver(EventReceiver):
    """Says when it listens."""

    ready: threading.Event

    def on_consume_ready(self, *_: Any, **__: Any) -> None:
        self.ready.set()


class IdleWatch:
    """Counts what is pushed against what has ended, from the moment it is opened.

    Args:
        app: of the workers; it is asked for their events.
        broker: their Redis.
    """

    def __init__(self, app: Celery, broker: redis.Redis) -> None:
        self._app = app
        self._broker = broker
        self._ended: set[str] = set()
        self._failed: list[str] = []
        self._changed = threading.Condition()
        self._listening = threading.Event()
        self._receiver: _Receiver | None = None
        self._thread = threading.Thread(target=self._listen, name="idle-watch", daemon=True)
        self._before = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._listening.wait(GIVE_UP_S)
        self._before = self._pushes()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._receiver is not None:
            self._receiver.should_stop = True
        self._thread.join(5.0)

    @property
    def failed(self) -> list[str]:
        """What tasks ended with an error, in the workers' words."""
        with self._changed:
            return list(self._failed)

    def wait(self) -> None:
        """Return when every message that was pushed has ended.

        Raises:
            StopAndTell: that did not come to be.
        """
        end_s = time.monotonic() + GIVE_UP_S
        while self._pushes() - self._before > len(self._ended):
            if time.monotonic() > end_s:
                raise StopAndTell(f"{self._pushes() - self._before - len(self._ended)} tasks do not end")
            with self._changed:
                self._changed.wait(LOOK_EVERY_S)

    def _pushes(self) -> int:
        counted: dict[str, Any] = self._broker.info("commandstats")
        return int(counted.get("cmdstat_lpush", {}).get("calls", 0))

    def _listen(self) -> None:
        with self._app.connection_for_read() as connection:
            self._receiver = _Receiver(connection, handlers=dict.fromkeys(ENDINGS, self._take), app=self._app)
            self._receiver.ready = self._listening
            self._receiver.capture(wakeup=False)

    def _take(self, event: dict[str, Any]) -> None:
        with self._changed:
            self._ended.add(event["uuid"])
            if event["type"] == "task-failed":
                self._failed.append(str(event.get("exception")))
            self._changed.notify_all()
