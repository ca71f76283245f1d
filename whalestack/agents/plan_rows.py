"""What is written when a plan enters or is refused, and who is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy.orm import Session

from whalestack.agents import messages, plan_book
from whalestack.agents.intents import intent
from whalestack.agents.order_ids import entry_link_id
from whalestack.agents.outbox import announce, was_announced
from whalestack.agents.plans import PlannedTrade
from whalestack.agents.pnl import entry_side
from whalestack.clients.bybit.types import OrderRequest
from whalestack.config import Settings
from whalestack.db import agent_store, entering
from whalestack.db import trading_store as store
from whalestack.db.engine import UnitOfWork
from whalestack.db.models import Order, Signal, TradePlan
from whalestack.math.refusals import Refusal

log = structlog.get_logger(__name__)

SAME_REFUSAL_AGAIN_AFTER = timedelta(hours=1)


def write_entering(
    session: Session,
    signal: Signal,
    plan: TradePlan,
    planned: PlannedTrade,
    *,
    ages_s: Mapping[str, float],
    settings: Settings,
    now: datetime,
) -> list[Order]:
    """The plan with all its numbers, and the intents of all its orders, in the caller's transaction.

    Returns:
        The intents, as they are now in the database; none where the plan was decided on meanwhile.

    Raises:
        sqlalchemy.exc.IntegrityError: another plan has the symbol.
    """
    _write_numbers(plan, planned)
    plan.expires_at = now + timedelta(seconds=settings.entry_wait_s)
    intents = _entry_intents(signal, plan, planned, now)
    details = {
        "plan_id": plan.id,
        "order_link_ids": [order.order_link_id for order in intents],
        "no_ladder": planned.no_ladder.code if planned.no_ladder is not None else None,
        "decision": planned.decision.text,
        "stop": list(planned.stop_reasons),
        "clamped_by": list(planned.size.clamped_by),
    }
    entered = entering.enter(session, plan, intents, ages_s=ages_s, details=details, now=now)
    return intents if entered else []


def _entry_intents(signal: Signal, plan: TradePlan, planned: PlannedTrade, now: datetime) -> list[Order]:
    """One for each rung, e0 nearest to the market. Each carries the stop and the target of the whole
    position: whichever fills first, and however much of it, is protected."""
    return [
        intent(
            request=OrderRequest(
                symbol=plan.symbol,
                side=entry_side(planned.direction),
                qty=rung.qty,
                order_link_id=entry_link_id(plan.agent_name, signal.id, signal.triggered_at, f"e{number}"),
                price=rung.price,
                stop_loss=planned.stop_loss,
                take_profit=planned.take_profit,
            ),
            agent_name=plan.agent_name,
            leg=f"e{number}",
            now=now,
            plan_id=plan.id,
        )
        for number, rung in enumerate(planned.rungs)
    ]


def _write_numbers(plan: TradePlan, planned: PlannedTrade) -> None:
    plan.direction = planned.direction
    plan.cluster_id = planned.cluster_id
    plan.limit_price = planned.limit_price
    plan.expected_entry_price = planned.expected_entry_price
    plan.stop_loss = planned.stop_loss
    plan.take_profit = planned.take_profit
    plan.qty = planned.size.qty
    plan.leverage = planned.size.leverage
    plan.liquidation_price = planned.size.liquidation_price
    plan.worst_loss_usd = planned.size.worst_loss_usd
    plan.reward_pct = planned.reward_pct
    plan.risk_pct = planned.risk_pct
    plan.costs_pct = planned.costs_pct
    plan.success_rate = planned.success_rate
    plan.observations = planned.observations


def write_refusal(
    work: UnitOfWork,
    signal: Signal,
    plan: TradePlan,
    refusals: Sequence[Refusal],
    status: str,
    *,
    settings: Settings,
    now: datetime,
) -> None:
    """The plan ends here, with every reason. `status` is refused or expired."""
    reasons = [{"code": refusal.code, "text": refusal.text} for refusal in refusals]
    plan.status, plan.reasons, plan.updated_at = status, reasons, now
    store.mark_signal(work.session, signal.id, status, reasons, now)
    agent_store.log_action(
        work.session,
        agent_name=plan.agent_name,
        action=f"plan_{status}",
        symbol=plan.symbol,
        details={"plan_id": plan.id, "signal_id": signal.id, "reasons": reasons},
        now=now,
    )
    _tell_refusal(work, signal, plan, refusals, settings, now)
    log.info("signal_refused", signal_id=signal.id, symbol=plan.symbol, reasons=[r["code"] for r in reasons])


def settle_and_tell(work: UnitOfWork, plan_id: int, *, settings: Settings, now: datetime) -> None:
    """Settle a plan; one whose orders were refused, every one, has become refused: say so, once."""
    plan = plan_book.settle(work.session, plan_id, now)
    if plan.status != "refused" or plan.reasons:
        return
    orders = store.plan_orders(work.session, plan_id)
    refusals = [
        Refusal("order_rejected", f"{order.order_link_id}: {order.reason or 'no reason given'}")
        for order in orders
    ]
    signal = work.session.get_one(Signal, plan.signal_id)
    write_refusal(work, signal, plan, refusals, "refused", settings=settings, now=now)


def _tell_refusal(
    work: UnitOfWork,
    signal: Signal,
    plan: TradePlan,
    refusals: Sequence[Refusal],
    settings: Settings,
    now: datetime,
) -> None:
    """At most once an hour for a coin and a reason: a refusal is no news the second time."""
    code = refusals[0].code if refusals else "none"
    key_prefix = f"refusal:{plan.agent_name}:{plan.symbol}:{code}:"
    since = now - SAME_REFUSAL_AGAIN_AFTER
    if was_announced(work, kind="refusal", symbol=plan.symbol, since=since, key_prefix=key_prefix):
        return
    text = messages.refusal(
        agent_name=plan.agent_name,
        scanner=signal.scanner,
        symbol=plan.symbol,
        direction=plan.direction,
        reasons=[refusal.text for refusal in refusals],
        at=now,
    )
    announce(
        work,
        settings=settings,
        now=now,
        kind="refusal",
        event_key=f"{key_prefix}{plan.id}",
        agent_name=plan.agent_name,
        scanner=signal.scanner,
        symbol=plan.symbol,
        text=text,
    )
