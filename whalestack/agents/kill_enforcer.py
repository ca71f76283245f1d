"""What the kill switch does: cancels what could still open, and on request closes what is held.

Needs no worker: the command line runs it in its own process. While the switch is on the
reconciler runs it again every minute, so an order that was on its way when the switch was
thrown is cancelled as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from whalestack.agents.kill_switch import KillSwitch
from whalestack.agents.order_canceller import OrderCanceller
from whalestack.agents.order_ids import parse_link_id
from whalestack.agents.plan_reaper import PlanReaper
from whalestack.agents.position_closer import PositionCloser
from whalestack.agents.stop_mover import LOOK_IS_OVER_S
from whalestack.clients.bybit.port import ExchangePort
from whalestack.db import trading_store as store
from whalestack.db.engine import Database
from whalestack.errors import WhalestackError

log = structlog.get_logger(__name__)

AGENT_NAME = "kill-switch"


@dataclass(frozen=True)
class KillReport:
    """What was done. `open_positions` counts what was still held when it ended, None if nobody asked."""

    was_on: bool
    plans_ended: int = 0
    cancelled: int = 0
    closing: int = 0
    failed: int = 0
    open_positions: int | None = None


class KillEnforcer:
    """Carries the kill switch out.

    Args:
        db: of this process.
        exchange: where orders and positions are.
        kill_switch: what is asked.
        reaper: ends plans.
        canceller: cancels entries that no plan knows.
        closer: closes positions.
    """

    def __init__(
        self,
        *,
        db: Database,
        exchange: ExchangePort,
        kill_switch: KillSwitch,
        reaper: PlanReaper,
        canceller: OrderCanceller,
        closer: PositionCloser,
    ) -> None:
        self._db = db
        self._exchange = exchange
        self._kill_switch = kill_switch
        self._reaper = reaper
        self._canceller = canceller
        self._closer = closer

    def run(self) -> KillReport:
        """Do what the switch says; nothing while it is off.

        Raises:
            TryAgain: the exchange could not be asked what is open.
        """
        state = self._kill_switch.state()
        if not state.is_on:
            return KillReport(was_on=False)
        plans = self._end_plans()
        cancelled, failed = self._cancel_entries()
        if not state.close_positions:
            return KillReport(True, plans, cancelled, 0, failed)
        closing, left = self._close_positions()
        return KillReport(True, plans, cancelled, closing, failed, left)

    def _end_plans(self) -> int:
        with self._db.begin() as work:
            plans = store.active_plans(work.session)
        return sum(self._reaper.end(plan.id, "kill_switch").plans for plan in plans)

    def _cancel_entries(self) -> tuple[int, int]:
        """Our entries that are still open on the exchange, whatever the database says of them.

        By our ids: a sweeping cancel could take stops, or a person's orders, along.
        """
        ended = self._canceller.cancel(
            [
                order
                for order in self._exchange.open_orders()
                if not order.reduce_only and not order.stop_order_type and parse_link_id(order.order_link_id)
            ]
        )
        if ended.failed:
            log.error("kill_cancel_failed", order_link_ids=ended.failed)
        return len(ended.taken), len(ended.failed)

    def _close_positions(self) -> tuple[int, int]:
        closing = 0
        for position in self._exchange.positions():
            closing += self._close(position.symbol)
        left = len(self._exchange.positions())
        if left == 0:
            self._kill_switch.closing_is_done()
        return closing, left

    def _close(self, symbol: str) -> int:
        try:
            with store.action_lock(self._db.engine, symbol, wait_s=LOOK_IS_OVER_S) as alone:
                if not alone:
                    return 0
                self._closer.close(symbol, agent_name=AGENT_NAME, reason="kill_switch")
                return 1
        except WhalestackError as error:
            log.error("kill_close_failed", symbol=symbol, error=str(error))
            return 0
