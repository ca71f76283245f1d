"""All parts of one process, and the one that this process has."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection
from functools import cached_property
from typing import TYPE_CHECKING

import structlog
from sqlalchemy.exc import SQLAlchemyError

from whalestack.config import get_settings
from whalestack.errors import TryAgain
from whalestack.runtime.agents import Agents

if TYPE_CHECKING:
    from whalestack.db.retention import Retention

logger = structlog.get_logger(__name__)

CANARY_KEEP_S = 300


class Runtime(Agents):
    """One process's parts."""

    @cached_property
    def retention(self) -> Retention:
        from whalestack.db.retention import Retention

        return Retention(self.db, self.settings, self.clock)

    def mark_alive(self, queue: str) -> None:
        """Say, in real time, that this queue's worker has just run a task."""
        self.redis.set(f"ws:canary:{queue}", int(time.time()), ex=CANARY_KEEP_S)

    def warm_up(self, queues: Collection[str]) -> None:
        """Make what a new worker of these queues would otherwise make while an order waits for it."""
        if "trade" not in queues:
            return
        try:
            self.signal_scanner.warm_up()
            self.trader_team.warm_up()
        except (TryAgain, SQLAlchemyError) as error:
            logger.warning("not_warmed_up", error=type(error).__name__)

    def close(self) -> None:
        """Give back the database's connections."""
        if "db" in self.__dict__:
            self.db.engine.dispose()


_lock = threading.Lock()
_runtimes: dict[int, Runtime] = {}


def get_runtime() -> Runtime:
    """The runtime of this process; a forked child makes its own, because connections that
    two processes share garble each other."""
    with _lock:
        return _runtimes.setdefault(os.getpid(), Runtime(get_settings()))
