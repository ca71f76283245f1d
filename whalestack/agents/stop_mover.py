"""Moving a stop or a target in place, written down before and after. Used by whoever moves one.

    row `intent`, committed          nothing was sent; the next look computes the move again
    request leaves, Bybit moves it   the row stays `intent`: the next look asks the position
    answer is committed              row `done`, the trade has the new stop, people are told

A move is repeatable: setting the same stop again is success (34040). What must not happen is an
older, looser stop arriving after a newer one, so every caller holds the symbol's action lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import structlog
from sqlalchemy.orm import Session

from whalestack.agents import messages
from whalestack.agents.outbox import announce
from whalestack.agents.trade_news import END_PLANS_TASK
from whalestack.clients.bybit.port import ExchangePort
from whalestack.clients.bybit.types import Position
from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.db import trade_store
from whalestack.db import trading_store as store
from whalestack.db.engine import Database, UnitOfWork
from whalestack.db.models import PositionMonitorLog, Signal, Trade, TradePlan
from whalestack.dispatch import Job
from whalestack.errors import GiveUp, StopAndTell, TryAgain, UnknownOutcome
from whalestack.math.directions import as_direction, sign

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class StopMove:
    """One move. A stop or target of None stays as it is; `trade_id` None is a position without a trade.

    action: trail, protect, restore or extend_target. `profit_pct` is in per cent of the entry.
    """

    symbol: str
    direction: str
    agent_name: str
    action: str
    trade_id: int | None
    entry_price: Decimal
    price: Decimal
    old_stop: Decimal | None
    new_stop: Decimal | None
    profit_pct: float
    old_target: Decimal | None = None
    new_target: Decimal | None = None


class StopMover:
    """Carries moves out.

    Args:
        db: of this process.
        exchange: where stops are.
        settings: which channels hear of it.
        clock: market time.
    """

    def __init__(self, *, db: Database, exchange: ExchangePort, settings: Settings, clock: Clock) -> None:
        self._db = db
        self._exchange = exchange
        self._settings = settings
        self._clock = clock

    def move(self, move: StopMove) -> str:
        """Carry out one move; the caller holds the symbol's action lock.

        Returns:
            done, refused, or unknown where no answer came and the position could not be asked.
        """
        log_id = self._write_intent(move)
        try:
            self._exchange.set_stops(move.symbol, stop_loss=move.new_stop, take_profit=move.new_target)
        except UnknownOutcome:
            return self._ask(log_id, move.symbol)
        except (TryAgain, GiveUp, StopAndTell) as error:
            log.warning("stop_not_moved", symbol=move.symbol, error=type(error).__name__)
            return self._finish(log_id, "refused", f"{type(error).__name__}: {error}")
        return self._finish(log_id, "done", None)

    def settle_leftovers(self, symbol: str) -> int:
        """Find out what became of moves that a crash or a lost answer left open; returns how many.

        The caller holds the symbol's action lock, so none of them is under way.

        Raises:
            TryAgain: the position could not be asked; they stay open.
        """
        with self._db.begin() as work:
            left = trade_store.open_stop_moves(work.session, symbol)
        if not left:
            return 0
        position = self._exchange.position(symbol)
        for row in left:
            self._finish_by(row.id, position)
        return len(left)

    def _write_intent(self, move: StopMove) -> int:
        with self._db.begin() as work:
            row = PositionMonitorLog(
                trade_id=move.trade_id,
                agent_name=move.agent_name,
                symbol=move.symbol,
                action=move.action,
                old_stop_loss=move.old_stop,
                new_stop_loss=move.new_stop,
                old_take_profit=move.old_target,
                new_take_profit=move.new_target,
                profit_pct_at_action=move.profit_pct,
                price=move.price,
                created_at=self._clock.now(),
            )
            work.session.add(row)
            work.session.flush()
            return row.id

    def _ask(self, log_id: int, symbol: str) -> str:
        """No answer came: the position itself says what its stop is."""
        try:
            return self._finish_by(log_id, self._exchange.position(symbol))
        except TryAgain:
            return self._finish(log_id, "unknown", "no answer, and the position could not be asked")

    def _finish_by(self, log_id: int, position: Position | None) -> str:
        with self._db.begin() as work:
            row = work.session.get_one(PositionMonitorLog, log_id)
            stop, target = row.new_stop_loss, row.new_take_profit
        is_done = position is not None and (
            (stop is None or position.stop_loss == stop)
            and (target is None or position.take_profit == target)
        )
        return self._finish(log_id, "done" if is_done else "refused", None if is_done else "not carried out")

    def _finish(self, log_id: int, status: str, reason: str | None) -> str:
        now = self._clock.now()
        with self._db.begin() as work:
            row = work.session.get_one(PositionMonitorLog, log_id)
            row.status, row.reason, row.resolved_at = status, reason, now
            if status == "done":
                self._tell(work, row, now)
        return status

    def _tell(self, work: UnitOfWork, row: PositionMonitorLog, now: datetime) -> None:
        store.lock_book(work.session, row.symbol)
        trade = trade_store.locked_trade(work.session, row.trade_id) if row.trade_id is not None else None
        if trade is None or trade.status != "open":
            return
        if row.new_take_profit is not None:
            trade.take_profit = row.new_take_profit
        if row.new_stop_loss is None or not _is_better(trade, row.new_stop_loss):
            return
        trade.stop_loss, trade.updated_at = row.new_stop_loss, now
        if trade.plan_id is not None and store.plan_orders(work.session, trade.plan_id, store.UNFINISHED):
            # Rungs that have not filled carry the old stop.
            work.dispatch_after_commit(Job(END_PLANS_TASK))
        self._announce(work, row, trade, now)

    def _announce(self, work: UnitOfWork, row: PositionMonitorLog, trade: Trade, now: datetime) -> None:
        if row.new_stop_loss is None:
            return
        scanner = _scanner(work.session, trade)
        text = messages.stop_moved(
            agent_name=row.agent_name,
            scanner=scanner,
            symbol=trade.symbol,
            direction=trade.side,
            entry_price=trade.entry_price,
            old_stop=row.old_stop_loss,
            new_stop=row.new_stop_loss,
            profit_pct=row.profit_pct_at_action or 0.0,
            at=now,
        )
        announce(
            work,
            settings=self._settings,
            now=now,
            kind="stop_moved",
            event_key=f"stop_moved:trade-{trade.id}:{row.new_stop_loss.normalize():f}",
            agent_name=row.agent_name,
            scanner=scanner,
            symbol=trade.symbol,
            text=text,
        )


def _is_better(trade: Trade, stop: Decimal) -> bool:
    """Whether a stop lies nearer to profit than the one on record: the record only ratchets."""
    if trade.stop_loss is None:
        return True
    return (stop - trade.stop_loss) * sign(as_direction(trade.side)) > 0


def _scanner(session: Session, trade: Trade) -> str:
    plan = session.get(TradePlan, trade.plan_id) if trade.plan_id is not None else None
    signal = session.get(Signal, plan.signal_id) if plan is not None else None
    return signal.scanner if signal is not None else ""
