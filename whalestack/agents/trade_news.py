"""What else changes when a trade opens or ends: its cluster, its coin's record, and who is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import update
from sqlalchemy.orm import Session

from whalestack.agents import messages
from whalestack.agents.outbox import announce
from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.db import agent_store
from whalestack.db.engine import UnitOfWork
from whalestack.db.models import CoinLiquidationPattern, LiquidationCluster, Signal, Trade, TradePlan
from whalestack.dispatch import Job

CHECK_STOP_TASK = "trailing.check_symbol"
END_PLANS_TASK = "trade.expire_plans"


@dataclass(frozen=True)
class _Origin:
    """Where a trade came from; a trade adopted from somebody else has none of it."""

    plan: TradePlan | None
    scanner: str
    strategy: str


class TradeNews:
    """Writes the consequences of a trade's beginning and end in the caller's transaction.

    Args:
        settings: which channels hear of it.
        clock: market time.
    """

    def __init__(self, *, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock

    def opened(self, work: UnitOfWork, trade: Trade) -> None:
        """The first fill has come."""
        origin = _origin(work.session, trade)
        if origin.plan is not None and origin.plan.cluster_id is not None:
            work.session.get_one(LiquidationCluster, origin.plan.cluster_id).traded = True
        self._log(work.session, trade, "trade_opened", {"entry_price": str(trade.entry_price)})
        self._announce_entry(work, trade, origin)
        work.dispatch_after_commit(Job(CHECK_STOP_TASK, {"symbol": trade.symbol}))

    def closed(self, work: UnitOfWork, trade: Trade) -> None:
        """The last fill has come; the caller has written price, profit and reason."""
        origin = _origin(work.session, trade)
        if origin.plan is not None:
            self._record_outcome(work.session, trade, origin.plan)
            # What is left of its entry orders must not open a new position after the end.
            origin.plan.expires_at = self._clock.now()
            work.dispatch_after_commit(Job(END_PLANS_TASK))
        details = {"pnl_pct": trade.pnl_pct, "reason": trade.exit_reason, "exit_price": str(trade.exit_price)}
        self._log(work.session, trade, "trade_closed", details)
        self._announce_close(work, trade, origin)
        work.dispatch_after_commit(Job(CHECK_STOP_TASK, {"symbol": trade.symbol}))

    def _record_outcome(self, session: Session, trade: Trade, plan: TradePlan) -> None:
        if plan.cluster_id is None:
            return
        cluster = session.get_one(LiquidationCluster, plan.cluster_id)
        cluster.trade_outcome = f"{trade.exit_reason} {trade.pnl_pct or 0.0:+.2f} %"
        session.execute(
            update(CoinLiquidationPattern)
            .where(
                CoinLiquidationPattern.symbol == trade.symbol,
                CoinLiquidationPattern.timeframe == cluster.timeframe,
            )
            .values(
                trades=CoinLiquidationPattern.trades + 1,
                trade_wins=CoinLiquidationPattern.trade_wins + int((trade.pnl_usd or 0) > 0),
            )
        )

    def _announce_entry(self, work: UnitOfWork, trade: Trade, origin: _Origin) -> None:
        if trade.stop_loss is None:
            return
        text = messages.entry(
            agent_name=trade.agent_name,
            scanner=origin.scanner,
            symbol=trade.symbol,
            direction=trade.side,
            entry_price=trade.entry_price,
            stop_loss=trade.stop_loss,
            take_profit=trade.take_profit,
            at=trade.entry_time,
            leverage=trade.leverage,
            strategy=origin.strategy,
        )
        self._announce(work, "entry", trade, origin, text)

    def _announce_close(self, work: UnitOfWork, trade: Trade, origin: _Origin) -> None:
        exit_time = trade.exit_time or self._clock.now()
        text = messages.close(
            agent_name=trade.agent_name,
            scanner=origin.scanner,
            symbol=trade.symbol,
            direction=trade.side,
            entry_price=trade.entry_price,
            exit_price=trade.exit_price if trade.exit_price is not None else trade.entry_price,
            pnl_pct=trade.pnl_pct or 0.0,
            exit_reason=(trade.exit_reason or "unknown").replace("_", " "),
            held_s=(exit_time - trade.entry_time).total_seconds(),
            at=exit_time,
        )
        self._announce(work, "close", trade, origin, text)

    def _announce(
        self, work: UnitOfWork, kind: messages.Kind, trade: Trade, origin: _Origin, text: messages.MessageText
    ) -> None:
        announce(
            work,
            settings=self._settings,
            now=self._clock.now(),
            kind=kind,
            event_key=f"{kind}:trade-{trade.id}",
            agent_name=trade.agent_name,
            scanner=origin.scanner,
            symbol=trade.symbol,
            text=text,
        )

    def _log(self, session: Session, trade: Trade, action: str, details: Mapping[str, object]) -> None:
        agent_store.log_action(
            session,
            agent_name=trade.agent_name,
            action=action,
            symbol=trade.symbol,
            details={"trade_id": trade.id, "side": trade.side, **details},
            now=self._clock.now(),
        )


def _origin(session: Session, trade: Trade) -> _Origin:
    plan = session.get(TradePlan, trade.plan_id) if trade.plan_id is not None else None
    signal = session.get(Signal, plan.signal_id) if plan is not None else None
    return _Origin(plan, signal.scanner if signal else "", plan.strategy if plan else "")
