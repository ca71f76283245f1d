"""The trading agents of one process, put together as the runtime does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import redis

from whalestack.agents.autotrader import Autotrader
from whalestack.agents.desk import Desk
from whalestack.agents.kill_enforcer import KillEnforcer
from whalestack.agents.kill_switch import KillSwitch
from whalestack.agents.order_asker import OrderAsker
from whalestack.agents.order_canceller import OrderCanceller
from whalestack.agents.order_keeper import OrderKeeper
from whalestack.agents.order_reconciliation import OrderReconciliation
from whalestack.agents.order_sender import OrderSender
from whalestack.agents.plan_reaper import PlanReaper
from whalestack.agents.position_closer import PositionCloser
from whalestack.agents.position_monitor import PositionMonitor
from whalestack.agents.position_reconciliation import PositionReconciliation
from whalestack.agents.reconciler import Reconciler
from whalestack.agents.stop_mover import StopMover
from whalestack.agents.stop_watchdog import StopWatchdog
from whalestack.agents.trade_book import TradeBook
from whalestack.agents.trader_team import TraderTeam
from whalestack.agents.why import Why
from whalestack.clients.bybit.move_pace import RedisMovePace
from whalestack.clients.bybit.port import ExchangePort
from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.db.engine import Database
from whalestack.db.live import LiveMarket


@dataclass(frozen=True)
class TradingAgents:
    """The services that the tasks and the command line call, made anew for each restart."""

    autotrader: TraderTeam
    order_keeper: OrderKeeper
    position_monitor: PositionMonitor
    stop_watchdog: StopWatchdog
    reconciler: Reconciler
    kill_switch: KillSwitch
    kill_enforcer: KillEnforcer
    why: Why


def build_trading(
    *,
    db: Database,
    exchange: ExchangePort,
    live: LiveMarket,
    settings: Settings,
    clock: Clock,
    redis_client: redis.Redis,
    wall_ms: Callable[[], int],
    sleep: Callable[[float], None],
) -> TradingAgents:
    """Make the agents of one process; nothing connects until it is first used.

    Args:
        db, exchange, live, settings, clock: of this process.
        redis_client: the state Redis, for the kill switch.
        wall_ms: real time, to measure the skew of the clock.
        sleep: waits real seconds before an order that was rate-limited is sent.
    """
    kill_switch = KillSwitch(db=db, client=redis_client, clock=clock)
    book = TradeBook(settings=settings, clock=clock)
    asker = OrderAsker(db=db, exchange=exchange, settings=settings, clock=clock, trade_book=book)
    sender = OrderSender(
        db=db,
        exchange=exchange,
        settings=settings,
        clock=clock,
        kill_switch=kill_switch,
        asker=asker,
        sleep=sleep,
    )
    keeper = OrderKeeper(
        db=db, exchange=exchange, settings=settings, clock=clock, trade_book=book, asker=asker
    )
    canceller = OrderCanceller(exchange=exchange, sleep=sleep)
    reaper = PlanReaper(db=db, live=live, clock=clock, canceller=canceller, asker=asker)
    closer = PositionCloser(db=db, exchange=exchange, clock=clock, sender=sender)
    pace = RedisMovePace(redis_client)
    mover = StopMover(db=db, exchange=exchange, settings=settings, clock=clock, pace=pace)
    desks = {
        trader.autotrader_name: Desk(
            db=db, exchange=exchange, live=live, settings=trader, clock=clock, kill_switch=kill_switch
        )
        for trader in settings.of_traders()
    }
    explained = settings.trader()
    enforcer = KillEnforcer(
        db=db,
        exchange=exchange,
        kill_switch=kill_switch,
        reaper=reaper,
        canceller=canceller,
        closer=closer,
    )
    return TradingAgents(
        autotrader=TraderTeam(
            traders=[
                Autotrader(
                    db=db,
                    settings=trader,
                    clock=clock,
                    desk=desks[trader.autotrader_name],
                    sender=sender,
                )
                for trader in settings.acting_traders()
            ],
            reaper=reaper,
        ),
        order_keeper=keeper,
        position_monitor=PositionMonitor(
            db=db,
            exchange=exchange,
            live=live,
            settings=settings,
            clock=clock,
            mover=mover,
            sleep=sleep,
        ),
        stop_watchdog=StopWatchdog(
            db=db, exchange=exchange, settings=settings, clock=clock, mover=mover, closer=closer
        ),
        reconciler=Reconciler(
            db=db,
            exchange=exchange,
            settings=settings,
            clock=clock,
            keeper=keeper,
            kill_switch=kill_switch,
            kill_enforcer=enforcer,
            orders=OrderReconciliation(
                db=db, exchange=exchange, settings=settings, clock=clock, sender=sender
            ),
            positions=PositionReconciliation(
                db=db, exchange=exchange, settings=settings, clock=clock, keeper=keeper, trade_book=book
            ),
            wall_ms=wall_ms,
        ),
        kill_switch=kill_switch,
        kill_enforcer=enforcer,
        why=Why(db=db, settings=explained, clock=clock, desk=desks[explained.autotrader_name]),
    )
