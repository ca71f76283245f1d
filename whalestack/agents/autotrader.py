"""From a signal to an order on the exchange, or to a recorded reason why not.

The order of things in `act_on_signal`, and what a crash or a redelivery finds at each point:

    plan row `checking`              the next delivery, or the sweep, starts again from the top
    a refetch was asked for          the refetch enqueues this signal again
    plan `refused`                   done
    plan `entering` + its intents    ONE transaction; a unique index decides races for the symbol;
                                     from here every delivery only goes on with the sending
    order sent, answered             see `order_sender`
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy.exc import IntegrityError

from whalestack.agents import plan_rows
from whalestack.agents.account import AccountFigures
from whalestack.agents.desk import Desk
from whalestack.agents.guards import all_refusals
from whalestack.agents.last_look import crowding
from whalestack.agents.order_sender import OrderSender
from whalestack.agents.patience import Patience
from whalestack.agents.plans import PlannedTrade, make_plan
from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.db import entering
from whalestack.db import trading_store as store
from whalestack.db.engine import Database
from whalestack.db.models import Order, Signal, TradePlan
from whalestack.dispatch import Job
from whalestack.math.directions import as_direction
from whalestack.math.refusals import Refusal

log = structlog.get_logger(__name__)

ACT_TASK = "trade.act_on_signal"
REFETCH_TASK = "refetch.coin"
MAX_REFETCHES = 3


@dataclass(frozen=True)
class ActReport:
    """What became of one delivery of a signal.

    outcome: unknown_signal, done (decided before), expired, refused, refetching, sent, or the
    status that resumed orders have now. `reasons` are the codes of the refusals.
    """

    signal_id: int
    outcome: str
    reasons: tuple[str, ...] = ()
    orders: tuple[str, ...] = ()


@dataclass(frozen=True)
class Leftovers:
    """Signals that a lost message left lying, and how many too old ones were given up."""

    signal_ids: tuple[int, ...] = ()
    expired: int = 0


class Autotrader:
    """One automatic trader, under the name and with the strategy of its settings.

    Args:
        db: of this process.
        settings: its name, strategy and limits.
        clock: market time.
        desk: gathers inputs.
        sender: sends intents.
    """

    def __init__(
        self,
        *,
        db: Database,
        settings: Settings,
        clock: Clock,
        desk: Desk,
        sender: OrderSender,
    ) -> None:
        self._db = db
        self._settings = settings
        self._clock = clock
        self._desk = desk
        self._sender = sender
        self.name = settings.autotrader_name
        self._patience = Patience.from_settings(settings, clock)

    def act_on_signal(self, signal_id: int) -> ActReport:
        """Decide on a signal and enter, or go on where an earlier delivery stopped.

        Raises:
            TryAgain: something that the decision needs is away; the sweep enqueues it again.
        """
        claimed = entering.claim_plan(
            self._db, signal_id, self.name, self._settings.autotrader_strategy, self._clock.now()
        )
        if claimed is None:
            log.warning("signal_unknown", signal_id=signal_id)
            return ActReport(signal_id, "unknown_signal")
        signal, plan = claimed
        if plan.status == "checking":
            return self._decide(signal, plan)
        if plan.status in store.ACTIVE_PLANS:
            return self._resume(signal_id, plan.id)
        return ActReport(signal_id, "done")

    def warm_up(self) -> None:
        """Do what the first decision would otherwise wait for. Raises as `Desk.warm_up`."""
        self._desk.warm_up()

    def _decide(self, signal: Signal, plan: TradePlan) -> ActReport:
        if self._is_too_old(signal):
            return self._refuse(signal, plan, [too_old(signal, self._clock.now())], status="expired")
        look = self._desk.look(signal.symbol)
        state = look.state
        refusals = all_refusals(state)
        if refusals or state.coin is None or state.tick is None:
            return self._refuse(signal, plan, refusals)
        freshness = self._desk.freshness(look.known, state.tick)
        if freshness.stale:
            return self._refetch(signal, plan, freshness.stale)
        inputs = self._desk.plan_inputs(as_direction(signal.direction), state.coin, state.tick, look)
        planned = make_plan(inputs, self._settings)
        if isinstance(planned, Refusal):
            return self._refuse(signal, plan, [planned])
        return self._enter(signal, plan, planned, state.account, dict(freshness.ages_s))

    def _is_too_old(self, signal: Signal) -> bool:
        return self._clock.now() - signal.triggered_at > self._patience.send_within

    def _refetch(self, signal: Signal, plan: TradePlan, stale: Sequence[str]) -> ActReport:
        """Ask for fresh inputs; the refetch enqueues this signal again when it is done."""
        with self._db.begin() as work:
            row = store.locked_plan(work.session, plan.id)
            asked = int(row.inputs.get("refetches", 0))
            if row.status == "checking" and self._is_under_way(row, asked):
                return ActReport(signal.id, "refetching", tuple(stale))
            if row.status == "checking" and asked < MAX_REFETCHES:
                row.inputs = {**row.inputs, "refetches": asked + 1}
                row.updated_at = self._clock.now()
                work.dispatch_after_commit(
                    Job(
                        REFETCH_TASK,
                        {"symbol": signal.symbol, "reason": "pre-trade", "signal_id": signal.id},
                        expires_s=self._patience.send_within.total_seconds(),
                    )
                )
                return ActReport(signal.id, "refetching", tuple(stale))
        refusal = Refusal("stale_inputs", f"{', '.join(stale)} stayed old after {MAX_REFETCHES} fetches")
        return self._refuse(signal, plan, [refusal])

    def _is_under_way(self, plan: TradePlan, asked: int) -> bool:
        """A sweep may deliver the signal while its refetch still runs; that is no second asking."""
        return asked > 0 and self._clock.now() - plan.updated_at < self._patience.refetch_takes

    def _refuse(
        self, signal: Signal, plan: TradePlan, refusals: Sequence[Refusal], *, status: str = "refused"
    ) -> ActReport:
        with self._db.begin() as work:
            row = store.locked_plan(work.session, plan.id)
            if row.status != "checking":
                return ActReport(signal.id, "done")
            plan_rows.write_refusal(
                work, signal, row, refusals, status, settings=self._settings, now=self._clock.now()
            )
        return ActReport(signal.id, status, tuple(refusal.code for refusal in refusals))

    def _enter(
        self,
        signal: Signal,
        plan: TradePlan,
        planned: PlannedTrade,
        account: AccountFigures,
        ages_s: dict[str, float],
    ) -> ActReport:
        """Commit the plan with its intents, then send them."""
        plan.equity_usd = account.equity_usd
        try:
            with self._db.begin() as work:
                no_room = crowding(
                    work.session, signal.symbol, account, planned.size.notional_usd, self._settings
                )
                if no_room is None:
                    orders = plan_rows.write_entering(
                        work.session,
                        signal,
                        plan,
                        planned,
                        ages_s=ages_s,
                        settings=self._settings,
                        now=self._clock.now(),
                    )
                else:
                    store.note_inputs(work.session, plan, ages_s)
        except IntegrityError:
            # uq_trade_plans_active_symbol: another plan took the symbol between our look and now.
            return self._refuse(signal, plan, [self._taken(signal.symbol)])
        if no_room is not None:
            return self._refuse(signal, plan, [no_room])
        return self._send(signal.id, plan, orders) if orders else ActReport(signal.id, "done")

    def _taken(self, symbol: str) -> Refusal:
        with self._db.begin() as work:
            holders = [plan.agent_name for plan in store.active_plans(work.session) if plan.symbol == symbol]
        who = holders[0] if holders else "another plan"
        return Refusal("symbol_taken", f"{who} entered {symbol} first")

    def _resume(self, signal_id: int, plan_id: int) -> ActReport:
        """Send the intents of a plan; orders that left before are only asked about."""
        with self._db.begin() as work:
            plan = work.session.get_one(TradePlan, plan_id)
            orders = store.plan_orders(work.session, plan_id, ("intent", "sent", "unknown"))
        return self._send(signal_id, plan, orders)

    def _send(self, signal_id: int, plan: TradePlan, orders: Sequence[Order]) -> ActReport:
        statuses = self._sender.send_plan(plan, orders)
        log.info("plan_sent", signal_id=signal_id, plan_id=plan.id, statuses=dict(Counter(statuses)))
        return ActReport(signal_id, "sent" if statuses else "done", orders=statuses)

    # --- what the sweep calls -------------------------------------------------------------

    def leftovers(self) -> Leftovers:
        """What has to be delivered again; signals that are too old are given up here."""
        with self._db.begin() as work:
            signals = store.unattended_signals(
                work.session, self.name, self._clock.now() - self._patience.send_within
            )
            unsent = store.signals_with_intents(
                work.session, self.name, self._clock.now() - self._patience.leave_alone
            )
        old = [signal.id for signal in signals if self._is_too_old(signal)]
        for signal_id in old:
            self.act_on_signal(signal_id)
        lying = [signal.id for signal in signals if signal.id not in old and self._is_lying(signal)]
        return Leftovers((*lying, *unsent), len(old))

    def _is_lying(self, signal: Signal) -> bool:
        return self._clock.now() - signal.triggered_at > self._patience.leave_alone

    def enqueue(self, signal_id: int) -> None:
        """Have a signal delivered again."""
        with self._db.begin() as work:
            work.dispatch_after_commit(
                Job(ACT_TASK, {"signal_id": signal_id}, expires_s=self._patience.send_within.total_seconds())
            )


def too_old(signal: Signal, now: datetime) -> Refusal:
    """A signal that nobody could act on in time."""
    return Refusal("signal_too_old", f"triggered {(now - signal.triggered_at).total_seconds():.0f} s ago")
