"""The board as it is asked for: one measure, one window, the newest minute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from whalestack.db.models import MarketChange
from whalestack.db.models.market import CHANGE_MEASURES


@dataclass(frozen=True)
class BoardLine:
    """One coin's changes over one window, per cent; None where there is too little history.

    Args:
        symbol: Bybit symbol.
        rank: by the measure that was asked for, 1 for the largest rise, None where it is not known.
        price: at the end of the board's minute.
        price_pct, oi_pct, volume_pct: the changes over the window.
    """

    symbol: str
    rank: int | None
    price: float
    price_pct: float | None
    oi_pct: float | None
    volume_pct: float | None


@dataclass(frozen=True)
class Board:
    """One minute's board, in the order that was asked for; unknown changes stand last.

    Args:
        at: the minute that it tells of, market time.
        lines: every coin.
    """

    at: datetime
    lines: Sequence[BoardLine]

    @property
    def unknown(self) -> int:
        """Coins with too little history for the measure and window."""
        return sum(line.rank is None for line in self.lines)


def latest_board(session: Session, measure: str, window: str, *, falling: bool = False) -> Board | None:
    """The newest board, None while there is none.

    Args:
        session: open.
        measure: of `CHANGE_MEASURES`, decides the order.
        window: of `CHANGE_WINDOWS`.
        falling: the largest fall first.
    """
    at = session.scalar(select(func.max(MarketChange.ts)))
    if at is None:
        return None
    changes = [getattr(MarketChange, f"{each}_change_{window}_pct") for each in CHANGE_MEASURES]
    rank = getattr(MarketChange, f"{measure}_rank_{window}")
    order = rank.desc().nulls_last() if falling else rank.asc().nulls_last()
    rows = session.execute(
        select(MarketChange.symbol, rank, MarketChange.price, *changes)
        .where(MarketChange.ts == at)
        .order_by(order, MarketChange.symbol)
    )
    return Board(at, [BoardLine(*row) for row in rows])
