"""A worker's threads never wait for each other's connections."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from pydantic import SecretStr
from sqlalchemy import text

from whalestack.config import Settings
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
