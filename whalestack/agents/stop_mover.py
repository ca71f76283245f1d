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
from typing import Any

import structlog
from sqlalchemy import Connection

from whalestack.agents import messages
from whalestack.agents.outbox import delivery, message_rows
from whalestack.agents.trade_news import END_PLANS_TASK
from whalestack.clients.bybit.errors import BybitRateLimited
from whalestack.clients.bybit.move_pace import MoveNotFree, MovePace
from whalestack.clients.bybit.port import ExchangePort
from whalestack.clients.bybit.types import Position
from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.db import stop_moves
from whalestack.db import trading_store as store
from whalestack.db.engine import Database
from whalestack.db.stop_moves import OpenMove
from whalestack.dispatch import Job
from whalestack.errors import GiveUp, StopAndTell, TryAgain, UnknownOutcome

log = structlog.get_logger(__name__)

PROTECTING = ("protect", "restore")
# Real seconds after which a look that was under way, its wait for a turn and its call are over.
LOOK_IS_OVER_S = 3.0
# The outcome of a move that changed nothing and may be made again at once.
LIMITED = "limited"


@dataclass(frozen=True)
class StopMove:
    """One move. A stop or target of None stays as it is; `trade_id` None is a position without a trade.

    action: trail, protect, restore or extend_target. `profit_pct` is in per cent of the entry,
    `scanner` the one behind the trade's signal.
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
    scanner: str = ""


class StopMover:
    """Carries moves out.

    Args:
        db: of this process.
        exchange: where stops are.
        settings: which channels hear of it.
        clock: market time.
        pace: of all moves of the account; those that protect a position go first.
    """

    def __init__(
        self, *, db: Database, exchange: ExchangePort, settings: Settings, clock: Clock, pace: MovePace
    ) -> None:
        self._db = db
        self._exchange = exchange
        self._settings = settings
        self._clock = clock
        self._pace = pace

    def move(self, alone: Connection, move: StopMove) -> str:
        """Carry out one move.

        Args:
            alone: holds the symbol's action lock (`trading_store.acting_alone`).
            move: what to do.

        Returns:
            done, refused, limited where no more stops may be moved just now, or unknown where no answer
            came and the position could not be asked.
        """
        intent = self._write_intent(alone, move)
        try:
            with self._pace.turn(urgent=move.action in PROTECTING):
                self._exchange.set_stops(move.symbol, stop_loss=move.new_stop, take_profit=move.new_target)
        except UnknownOutcome:
            return self._ask(alone, intent)
        except (TryAgain, GiveUp, StopAndTell) as error:
            log.warning("stop_not_moved", symbol=move.symbol, error=type(error).__name__)
            self._close(alone, intent, "refused", f"{type(error).__name__}: {error}")
            return LIMITED if isinstance(error, MoveNotFree | BybitRateLimited) else "refused"
        return self._done(alone, intent)

    def settle_leftovers(self, alone: Connection, symbol: str) -> int:
        """Find out what became of moves that a crash or a lost answer left open; returns how many.

        The caller holds the symbol's action lock, so none of them is under way.

        Raises:
            TryAgain: the position could not be asked; they stay open.
        """
        left = stop_moves.open_moves(alone, symbol)
        if not left:
            return 0
        position = self._exchange.position(symbol)
        for move in left:
            self._finish_by(alone, move, position)
        return len(left)

    def _write_intent(self, alone: Connection, move: StopMove) -> OpenMove:
        values = {
            "trade_id": move.trade_id,
            "agent_name": move.agent_name,
            "symbol": move.symbol,
            "action": move.action,
            "old_stop": move.old_stop,
            "new_stop": move.new_stop,
            "old_target": move.old_target,
            "new_target": move.new_target,
            "profit_pct": move.profit_pct,
            "price": move.price,
            "now": self._clock.now(),
        }
        return OpenMove(
            id=stop_moves.write_intent(alone, values),
            trade_id=move.trade_id,
            symbol=move.symbol,
            agent_name=move.agent_name,
            old_stop=move.old_stop,
            new_stop=move.new_stop,
            new_target=move.new_target,
            profit_pct=move.profit_pct,
            side=move.direction,
            entry_price=move.entry_price,
            scanner=move.scanner,
        )

    def _ask(self, alone: Connection, move: OpenMove) -> str:
        """No answer came: the position itself says what its stop is."""
        try:
            position = self._exchange.position(move.symbol)
        except TryAgain:
            return self._close(alone, move, "unknown", "no answer, and the position could not be asked")
        return self._finish_by(alone, move, position)

    def _finish_by(self, alone: Connection, move: OpenMove, position: Position | None) -> str:
        is_done = position is not None and (
            (move.new_stop is None or position.stop_loss == move.new_stop)
            and (move.new_target is None or position.take_profit == move.new_target)
        )
        return self._done(alone, move) if is_done else self._close(alone, move, "refused", "not carried out")

    def _close(self, alone: Connection, move: OpenMove, status: str, reason: str) -> str:
        stop_moves.close_move(alone, move.id, status, reason, self._clock.now())
        return status

    def _done(self, alone: Connection, move: OpenMove) -> str:
        now = self._clock.now()
        done = stop_moves.finish_move(alone, move, self._news(move, now), store.UNFINISHED, now)
        for outbox_id in done.outbox_ids:
            self._db.dispatch(delivery(self._settings, outbox_id))
        if done.has_open_rungs:
            # Rungs that have not filled carry the old stop.
            self._db.dispatch(Job(END_PLANS_TASK))
        return "done"

    def _news(self, move: OpenMove, now: datetime) -> list[dict[str, Any]]:
        """What is told of a trade whose stop moved on; of a position without a trade nothing."""
        if move.trade_id is None or move.new_stop is None or move.side is None or move.entry_price is None:
            return []
        text = messages.stop_moved(
            agent_name=move.agent_name,
            scanner=move.scanner,
            symbol=move.symbol,
            direction=move.side,
            entry_price=move.entry_price,
            old_stop=move.old_stop,
            new_stop=move.new_stop,
            profit_pct=move.profit_pct or 0.0,
            at=now,
        )
        return message_rows(
            self._settings,
            now=now,
            kind="stop_moved",
            event_key=f"stop_moved:trade-{move.trade_id}:{move.new_stop.normalize():f}",
            agent_name=move.agent_name,
            scanner=move.scanner,
            symbol=move.symbol,
            text=text,
        )
