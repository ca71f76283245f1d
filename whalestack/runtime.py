"""Puts everything together for one process: settings, stores, clients, services.

Each part is made when it is first asked for, so a worker opens only what its queue needs,
and only after the fork.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy.orm import Session

from whalestack.config import Settings, get_settings
from whalestack.db.engine import Database
from whalestack.dispatch import Dispatcher

if TYPE_CHECKING:
    from whalestack.agents.broadcaster import Broadcaster
    from whalestack.agents.desk import Desk
    from whalestack.agents.kill_enforcer import KillEnforcer
    from whalestack.agents.kill_switch import KillSwitch
    from whalestack.agents.order_asker import OrderAsker
    from whalestack.agents.order_keeper import OrderKeeper
    from whalestack.agents.order_sender import OrderSender
    from whalestack.agents.plan_reaper import PlanReaper
    from whalestack.agents.position_closer import PositionCloser
    from whalestack.agents.position_monitor import PositionMonitor
    from whalestack.agents.reconciler import Reconciler
    from whalestack.agents.stop_mover import StopMover
    from whalestack.agents.stop_watchdog import StopWatchdog
    from whalestack.agents.telegram_door import TelegramDoor
    from whalestack.agents.trade_book import TradeBook
    from whalestack.agents.trader_team import TraderTeam
    from whalestack.agents.why import Why
    from whalestack.clients.bybit.client import BybitClient
    from whalestack.clients.coinglass.client import CoinglassClient
    from whalestack.db.live import LiveMarket
    from whalestack.db.retention import Retention
    from whalestack.scanners.board import BoardScanner
    from whalestack.scanners.coin_history import CoinHistoryScanner
    from whalestack.scanners.coins import CoinScanner
    from whalestack.scanners.heatmap import HeatmapScanner
    from whalestack.scanners.movers import MoverScanner
    from whalestack.scanners.outcomes import OutcomeScanner
    from whalestack.scanners.ranking import RankingScanner
    from whalestack.scanners.signals import SignalScanner
    from whalestack.scanners.spikes import SpikeScanner
    from whalestack.scanners.thresholds import ThresholdScanner
    from whalestack.sockets.process import StreamsProcess

CANARY_KEEP_S = 300


def wall_ms() -> int:
    """The real time in milliseconds, by which requests are signed."""
    return time.time_ns() // 1_000_000


class Runtime:
    """One process's parts.

    Args:
        settings: of the process.
        dispatcher: where jobs go; None for Celery's queues.
    """

    def __init__(self, settings: Settings, dispatcher: Dispatcher | None = None) -> None:
        self.settings = settings
        self.clock = settings.clock()
        self._dispatcher = dispatcher

    # --- stores -----------------------------------------------------------------

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
        url = self.settings.redis_state_url.get_secret_value()
        # One more attempt and no waiting: the library's own retries hold a task for many seconds.
        retry = Retry(NoBackoff(), 1)
        return redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5, retry=retry)

    @cached_property
    def live(self) -> LiveMarket:
        from whalestack.db.live import LiveMarket

        return LiveMarket.from_settings(self.settings)

    # --- the outside ------------------------------------------------------------

    @cached_property
    def bybit(self) -> BybitClient:
        from whalestack.clients.bybit.client import BybitClient

        return BybitClient.from_settings(self.settings, self.clock)

    @cached_property
    def coinglass(self) -> CoinglassClient:
        from whalestack.clients.coinglass.budget import RedisCallBudget
        from whalestack.clients.coinglass.client import CoinglassClient

        budget = RedisCallBudget(
            self.redis,
            configured_per_min=self.settings.coinglass_calls_per_min,
            reserve_pct=self.settings.coinglass_refetch_reserve_pct,
            in_flight_s=self.settings.coinglass_timeout_s,
        )
        return CoinglassClient.from_settings(self.settings, budget)

    # --- scanners -----------------------------------------------------------------

    @cached_property
    def coin_scanner(self) -> CoinScanner:
        from whalestack.scanners.coins import CoinScanner

        return CoinScanner(
            db=self.db, bybit=self.bybit, coinglass=self.coinglass, settings=self.settings, clock=self.clock
        )

    @cached_property
    def heatmap_scanner(self) -> HeatmapScanner:
        from whalestack.scanners.heatmap import HeatmapScanner

        return HeatmapScanner(
            db=self.db, coinglass=self.coinglass, settings=self.settings, clock=self.clock, live=self.live
        )

    @cached_property
    def ranking_scanner(self) -> RankingScanner:
        from whalestack.scanners.ranking import RankingScanner

        return RankingScanner(db=self.db, settings=self.settings, clock=self.clock)

    @cached_property
    def mover_scanner(self) -> MoverScanner:
        from whalestack.scanners.movers import MoverScanner

        return MoverScanner(db=self.db, live=self.live, settings=self.settings, clock=self.clock)

    @cached_property
    def spike_scanner(self) -> SpikeScanner:
        from whalestack.scanners.spikes import SpikeScanner

        return SpikeScanner(db=self.db, live=self.live, settings=self.settings, clock=self.clock)

    @cached_property
    def board_scanner(self) -> BoardScanner:
        from whalestack.scanners.board import BoardScanner

        return BoardScanner(db=self.db, clock=self.clock)

    @cached_property
    def signal_scanner(self) -> SignalScanner:
        from whalestack.scanners.signals import SignalScanner

        return SignalScanner(db=self.db, live=self.live, settings=self.settings, clock=self.clock)

    @cached_property
    def outcome_scanner(self) -> OutcomeScanner:
        from whalestack.scanners.outcomes import OutcomeScanner

        return OutcomeScanner(db=self.db, clock=self.clock)

    @cached_property
    def coin_history_scanner(self) -> CoinHistoryScanner:
        from whalestack.scanners.coin_history import CoinHistoryScanner

        return CoinHistoryScanner(db=self.db, settings=self.settings, clock=self.clock)

    @cached_property
    def threshold_scanner(self) -> ThresholdScanner:
        from whalestack.scanners.thresholds import ThresholdScanner

        return ThresholdScanner(db=self.db, settings=self.settings, clock=self.clock)

    # --- agents ---------------------------------------------------------------------

    @cached_property
    def kill_switch(self) -> KillSwitch:
        from whalestack.agents.kill_switch import KillSwitch

        return KillSwitch.from_settings(self.settings, self.db, self.clock)

    @cached_property
    def trade_book(self) -> TradeBook:
        from whalestack.agents.trade_book import TradeBook

        return TradeBook(settings=self.settings, clock=self.clock)

    @cached_property
    def order_asker(self) -> OrderAsker:
        from whalestack.agents.order_asker import OrderAsker

        return OrderAsker(
            db=self.db,
            exchange=self.bybit,
            settings=self.settings,
            clock=self.clock,
            trade_book=self.trade_book,
        )

    @cached_property
    def order_keeper(self) -> OrderKeeper:
        from whalestack.agents.order_keeper import OrderKeeper

        return OrderKeeper(
            db=self.db,
            exchange=self.bybit,
            settings=self.settings,
            clock=self.clock,
            trade_book=self.trade_book,
            asker=self.order_asker,
        )

    def desk_of(self, trader: Settings) -> Desk:
        """The desk of one automatic trader: it reads for that trader's settings."""
        from whalestack.agents.desk import Desk

        return Desk(
            db=self.db,
            exchange=self.bybit,
            live=self.live,
            settings=trader,
            clock=self.clock,
            kill_switch=self.kill_switch,
        )

    @cached_property
    def order_sender(self) -> OrderSender:
        from whalestack.agents.order_sender import OrderSender

        return OrderSender(
            db=self.db,
            exchange=self.bybit,
            settings=self.settings,
            clock=self.clock,
            kill_switch=self.kill_switch,
            asker=self.order_asker,
        )

    @cached_property
    def plan_reaper(self) -> PlanReaper:
        from whalestack.agents.plan_reaper import PlanReaper

        return PlanReaper(
            db=self.db, exchange=self.bybit, live=self.live, clock=self.clock, asker=self.order_asker
        )

    @cached_property
    def position_closer(self) -> PositionCloser:
        from whalestack.agents.position_closer import PositionCloser

        return PositionCloser(db=self.db, exchange=self.bybit, clock=self.clock, sender=self.order_sender)

    @cached_property
    def kill_enforcer(self) -> KillEnforcer:
        from whalestack.agents.kill_enforcer import KillEnforcer

        return KillEnforcer(
            db=self.db,
            exchange=self.bybit,
            kill_switch=self.kill_switch,
            reaper=self.plan_reaper,
            closer=self.position_closer,
        )

    @cached_property
    def trader_team(self) -> TraderTeam:
        from whalestack.agents.autotrader import Autotrader
        from whalestack.agents.trader_team import TraderTeam

        return TraderTeam(
            traders=[
                Autotrader(
                    db=self.db,
                    settings=trader,
                    clock=self.clock,
                    desk=self.desk_of(trader),
                    sender=self.order_sender,
                )
                for trader in self.settings.acting_traders()
            ],
            reaper=self.plan_reaper,
        )

    @cached_property
    def stop_mover(self) -> StopMover:
        from whalestack.agents.stop_mover import StopMover

        return StopMover(db=self.db, exchange=self.bybit, settings=self.settings, clock=self.clock)

    @cached_property
    def position_monitor(self) -> PositionMonitor:
        from whalestack.agents.position_monitor import PositionMonitor

        return PositionMonitor(
            db=self.db,
            exchange=self.bybit,
            live=self.live,
            settings=self.settings,
            clock=self.clock,
            mover=self.stop_mover,
        )

    @cached_property
    def stop_watchdog(self) -> StopWatchdog:
        from whalestack.agents.stop_watchdog import StopWatchdog

        return StopWatchdog(
            db=self.db,
            exchange=self.bybit,
            settings=self.settings,
            clock=self.clock,
            mover=self.stop_mover,
            closer=self.position_closer,
        )

    @cached_property
    def reconciler(self) -> Reconciler:
        from whalestack.agents.order_reconciliation import OrderReconciliation
        from whalestack.agents.position_reconciliation import PositionReconciliation
        from whalestack.agents.reconciler import Reconciler

        return Reconciler(
            db=self.db,
            exchange=self.bybit,
            settings=self.settings,
            clock=self.clock,
            keeper=self.order_keeper,
            kill_switch=self.kill_switch,
            kill_enforcer=self.kill_enforcer,
            orders=OrderReconciliation(
                db=self.db,
                exchange=self.bybit,
                settings=self.settings,
                clock=self.clock,
                sender=self.order_sender,
            ),
            positions=PositionReconciliation(
                db=self.db,
                exchange=self.bybit,
                settings=self.settings,
                clock=self.clock,
                keeper=self.order_keeper,
                trade_book=self.trade_book,
            ),
            wall_ms=wall_ms,
        )

    def why(self, agent_name: str | None = None) -> Why:
        """Explains what one automatic trader would do; without a name the first that acts.

        Raises:
            StopAndTell: there is no trader of this name.
        """
        from whalestack.agents.why import Why

        trader = self.settings.trader(agent_name)
        return Why(db=self.db, settings=trader, clock=self.clock, desk=self.desk_of(trader))

    @cached_property
    def broadcaster(self) -> Broadcaster:
        from whalestack.agents.broadcaster import Broadcaster
        from whalestack.agents.channels import open_channels

        return Broadcaster(
            db=self.db, settings=self.settings, clock=self.clock, channels=open_channels(self.settings)
        )

    def streams_process(self) -> StreamsProcess:
        """The process that listens to the exchange; it runs once."""
        from whalestack.sockets.process import StreamsProcess

        return StreamsProcess(
            settings=self.settings, db=self.db, live=self.live, dispatcher=self.dispatcher, clock=self.clock
        )

    @cached_property
    def telegram_door(self) -> TelegramDoor | None:
        """None where Telegram is not configured."""
        from whalestack.agents.telegram_door import TelegramDoor

        return TelegramDoor.from_settings(
            self.settings, self.kill_switch, self.kill_enforcer, self.redis, self.db, self.clock
        )

    # --- housekeeping ----------------------------------------------------------------

    @cached_property
    def retention(self) -> Retention:
        from whalestack.db.retention import Retention

        return Retention(self.db, self.settings, self.clock)

    def mark_alive(self, queue: str) -> None:
        """Say, in real time, that this queue's worker has just run a task."""
        self.redis.set(f"ws:canary:{queue}", int(time.time()), ex=CANARY_KEEP_S)

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
