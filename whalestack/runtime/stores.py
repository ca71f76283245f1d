"""The stores and the outside services of one process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

import redis
from sqlalchemy.orm import Session

from whalestack.config import Settings
from whalestack.db.engine import Database
from whalestack.db.state_redis import state_client
from whalestack.dispatch import Dispatcher

if TYPE_CHECKING:
    from whalestack.clients.bybit.client import BybitClient
    from whalestack.clients.coinglass.client import CoinglassClient
    from whalestack.db.live import LiveMarket


class Stores:
    """What a process reads from and writes to.

    Args:
        settings: of the process.
        dispatcher: where jobs go; None for Celery's queues.
    """

    def __init__(self, settings: Settings, dispatcher: Dispatcher | None = None) -> None:
        self.settings = settings
        self.clock = settings.clock()
        self._dispatcher = dispatcher

    @cached_property
    def dispatcher(self) -> Dispatcher:
        if self._dispatcher is not None:
            return self._dispatcher
        from whalestack.tasks.dispatcher import CeleryDispatcher
        from whalestack.tasks.factory import make_app

        return CeleryDispatcher(make_app(self.settings), self.clock)

    @cached_property
    def db(self) -> Database:
        return Database.from_settings(self.settings, self.dispatcher)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session for reading only."""
        with self.db.begin() as work:
            yield work.session

    @cached_property
    def redis(self) -> redis.Redis:
        """The state database."""
        return state_client(self.settings)

    @cached_property
    def live(self) -> LiveMarket:
        from whalestack.db.live import LiveMarket

        return LiveMarket.from_settings(self.settings)

    @cached_property
    def bybit(self) -> BybitClient:
        from whalestack.clients.bybit.client import BybitClient

        return BybitClient.from_settings(self.settings, self.clock)

    @cached_property
    def coinglass(self) -> CoinglassClient:
        from whalestack.clients.coinglass.budget import RedisCallBudget
        from whalestack.clients.coinglass.client import CoinglassClient
        from whalestack.clients.coinglass.plans import PLANS

        plan = PLANS[self.settings.coinglass_plan]
        budget = RedisCallBudget(
            self.redis,
            configured_per_min=plan.calls(self.settings.coinglass_calls_per_min),
            reserve_pct=self.settings.coinglass_refetch_reserve_pct,
            in_flight_s=self.settings.coinglass_timeout_s,
        )
        return CoinglassClient.from_settings(self.settings, budget)
