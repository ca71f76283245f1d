"""A worker's threads never wait for each other's connections."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from whalestack.config import Settings
from whalestack.db import engine as engines
from whalestack.db import trading_store
from whalestack.db.engine import Database
from whalestack.dispatch import RecordingDispatcher
from whalestack.tasks.queues import queues


def test_all_threads_of_a_worker_may_hold_a_lock_and_work(database_url: str, settings: Settings) -> None:
    """As when many stops are due at once: each thread holds its symbol's lock, then reads."""
    threads = max(queue.concurrency for queue in queues(settings) if queue.pool == "threads")
    here = settings.model_copy(update={"database_url": SecretStr(database_url)})
    db = Database.from_settings(here, RecordingDispatcher())
    all_hold = threading.Barrier(threads, timeout=20)

    def work(number: int) -> bool:
        with trading_store.action_lock(db.engine, f"C{number}USDT") as alone:
            all_hold.wait()
            with db.begin() as unit, db.begin() as another:
                both = (unit.session.scalar(text("select 1")), another.session.scalar(text("select 1")))
            return alone and both == (1, 1)

    with ThreadPoolExecutor(threads) as pool:
        assert [True] * threads == list(pool.map(work, range(threads)))
    db.engine.dispose()


def test_a_connection_that_died_while_it_was_idle_is_not_handed_out(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ended every session of ours; whoever comes next notices nothing."""
    with db.begin() as unit, db.alone() as other:
        pids = [unit.session.scalar(_OWN_PID), other.scalar(_OWN_PID)]
    monkeypatch.setattr(engines, "ALIVE_REAL_S", 0.0)
    with db.begin() as unit:
        own = unit.session.scalar(_OWN_PID)
        for pid in set(pids) - {own}:
            unit.session.execute(text("select pg_terminate_backend(:pid, 5000)"), {"pid": pid})
        with db.alone() as other:
            assert other.scalar(_OWN_PID) not in pids


_OWN_PID = text("select pg_backend_pid()")
