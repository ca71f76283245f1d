"""The services of one process that act."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING

from whalestack.config import Settings
from whalestack.db.state_redis import state_client
from whalestack.runtime.scanners import Scanners

if TYPE_CHECKING:
    from whalestack.agents.broadcaster import Broadcaster
    from whalestack.agents.desk import Desk
    from whalestack.agents.kill_enforcer import KillEnforcer
    from whalestack.agents.kill_switch import KillSwitch
    from whalestack.agents.order_asker import OrderAsker
    from whalestack.agents.order_canceller import OrderCanceller
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
    from whalestack.clients.bybit.move_pace import MovePace

PACE_TIMEOUT_S = 0.5


def wall_ms() -> int:
    """The real time in milliseconds, by which requests are signed."""
    return time.time_ns() // 1_000_000


class Agents(Scanners):
    """What plans, orders, protects, reconciles and tells."""

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
    def order_canceller(self) -> OrderCanceller:
        from whalestack.agents.order_canceller import OrderCanceller

        return OrderCanceller(exchange=self.bybit)

    @cached_property
    def plan_reaper(self) -> PlanReaper:
        from whalestack.agents.plan_reaper import PlanReaper

        return PlanReaper(
            db=self.db,
            live=self.live,
            clock=self.clock,
            canceller=self.order_canceller,
            asker=self.order_asker,
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
            canceller=self.order_canceller,
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

        return StopMover(
            db=self.db,
            exchange=self.bybit,
            settings=self.settings,
            clock=self.clock,
            pace=self.move_pace,
        )

    @cached_property
    def move_pace(self) -> MovePace:
        """Of all moves of stops. A Redis that hangs must not hold up a stop for long."""
        from whalestack.clients.bybit.move_pace import ENDPOINT, RedisMovePace

        client = state_client(self.settings, timeout_s=PACE_TIMEOUT_S)
        return RedisMovePace(client, known=lambda: self.bybit.rate_budget.known(ENDPOINT))

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

    @cached_property
    def telegram_door(self) -> TelegramDoor | None:
        """None where Telegram is not configured."""
        from whalestack.agents.telegram_door import TelegramDoor

        return TelegramDoor.from_settings(
            self.settings, self.kill_switch, self.kill_enforcer, self.redis, self.db, self.clock
        )
