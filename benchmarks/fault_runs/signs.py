"""Signs that a part works again after it was hit, each asked until it is shown."""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy import text

from fault_runs.system import System
from whalestack.sockets.status import StreamsStatus
from whalestack.tasks.queues import queues

CANARY_AGAIN_S = 2.0
RAN_SINCE = text(
    "select 1 from task_runs where task = 'trade.poll' and started_at > to_timestamp(:at) limit 1"
)


def after(real_s: float, sign: Callable[[], bool]) -> Callable[[], bool]:
    """A sign that counts only once so many real seconds have passed."""
    from_s = time.monotonic() + real_s
    return lambda: time.monotonic() >= from_s and sign()


def queue_works(system: System, queue: str) -> Callable[[], bool]:
    """A small task sent through the queue from now on has run."""
    state = {"sent_s": 0.0}
    key = f"ws:canary:{queue}"

    def is_shown() -> bool:
        now_s = time.monotonic()
        if state["sent_s"] == 0.0:
            system.runtime.redis.delete(key)
        elif system.runtime.redis.exists(key):
            return True
        if now_s - state["sent_s"] > CANARY_AGAIN_S:
            _send_canary(system, queue)
            state["sent_s"] = now_s
        return False

    return is_shown


def _send_canary(system: System, queue: str) -> None:
    system.celery.send_task("history.canary", kwargs={"queue": queue}, queue=queue, expires=60)


def every_queue_works(system: System) -> list[Callable[[], bool]]:
    """All queues."""
    return [queue_works(system, queue.name) for queue in queues(system.settings)]


def streams_listen(system: System) -> Callable[[], bool]:
    """The streams process shows, later than now, that every stream is open."""
    since_ms = system.runtime.clock.now_ms()

    def is_shown() -> bool:
        status = StreamsStatus.get(system.runtime.live)
        return status is not None and status.at_ms > since_ms and all(status.streams.values())

    return is_shown


def beat_beats(system: System) -> Callable[[], bool]:
    """A beat other than the one that runs now is there, and a task that only beat sends has begun since."""
    old = system.process("beat").popen
    state = {"there_since": 0.0}

    def is_shown() -> bool:
        popen = system.process("beat").popen
        if popen is None or popen is old or popen.poll() is not None:
            return False
        # What the old one had sent is gone from an idle queue within a second.
        state["there_since"] = state["there_since"] or time.time() + 1.0
        with system.runtime.db.begin() as work:
            return work.session.execute(RAN_SINCE, {"at": state["there_since"]}).first() is not None

    return is_shown


def private_stream_listens(system: System) -> Callable[[], bool]:
    """The private stream is open and has shown life in the last seconds."""
    since_ms = system.runtime.clock.now_ms()

    def is_shown() -> bool:
        status = StreamsStatus.get(system.runtime.live)
        if status is None or status.at_ms <= since_ms:
            return False
        silent_s = status.silent_s.get("private")
        return bool(status.streams.get("private")) and silent_s is not None and silent_s < 4.0

    return is_shown


def may_trade_again(system: System) -> Callable[[], bool]:
    """A comparison of both sides has passed again."""
    asked_ms = system.runtime.clock.now_ms()
    opened = text("select set_at from switches where name = 'reconciled' and is_on")

    def is_shown() -> bool:
        with system.runtime.db.begin() as work:
            at = work.session.scalar(opened)
        return at is not None and at.timestamp() * 1000 > asked_ms

    return is_shown
