"""The board: every coin's change of price, open interest and volume over seven windows, and its rank.

Volume is compared with the window before it: the last hour against the hour before. Over
24 hours the exchange's own 24-hour turnover is compared with that of a day ago, for two
days of one-minute bars of all coins are too much to add up every minute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from whalestack.clock import Clock, from_ms
from whalestack.db.engine import Database
from whalestack.db.market_frames import day_turnover_at, prices_at, turnover_over
from whalestack.db.models import Coin, MarketChange
from whalestack.db.models.market import CHANGE_MEASURES, CHANGE_WINDOWS
from whalestack.math.heatmap import Floats
from whalestack.math.windows import MINUTE_MS, descending_ranks

log = structlog.get_logger()

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = "24h"
# The bar that stands for a moment: fine ones where we have them, hourly ones from before we ran.
BARS = (("1", MINUTE, 5 * MINUTE), ("60", HOUR, 2 * HOUR))
DAY_TICK_TOLERANCE = timedelta(minutes=15)
# Below this share of a window's minutes its volume is not known.
LEAST_KNOWN_SHARE = 0.9


@dataclass(frozen=True)
class BoardReport:
    """What one board holds.

    Args:
        coins: rows written.
        known: changes that are known, of coins times windows times measures.
    """

    coins: int
    known: int


class BoardScanner:
    """Writes one row of `market_changes` for each coin and closed minute.

    Args:
        db: of this process.
        clock: market time.
    """

    def __init__(self, *, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def scan(self) -> BoardReport:
        """Write the board of the last closed minute; a second scan of a minute changes nothing."""
        at = from_ms(self._clock.now_ms() // MINUTE_MS * MINUTE_MS)
        with self._db.begin() as work:
            symbols = _symbols(work.session)
            prices, interest = _prices(work.session, symbols, at)
            present = np.isfinite(prices[:, 0])
            symbols = tuple(np.array(symbols, dtype=object)[present])
            if not symbols:
                return BoardReport(0, 0)
            changes = {
                "price": _against_now(prices[present]),
                "oi": _against_now(interest[present]),
                "volume": _volume_changes(work.session, symbols, at),
            }
            rows = _rows(symbols, at, prices[present, 0], changes)
            work.session.execute(insert(MarketChange).on_conflict_do_nothing(), rows)
        known = sum(int(np.isfinite(each).sum()) for each in changes.values())
        log.info("board_written", coins=len(rows), known=known)
        return BoardReport(len(rows), known)


def _symbols(session: Session) -> tuple[str, ...]:
    return tuple(session.scalars(select(Coin.symbol).where(Coin.status == "Trading").order_by(Coin.symbol)))


def _prices(session: Session, symbols: Sequence[str], at: datetime) -> tuple[Floats, Floats]:
    """(coins, 1 + windows) price and open interest now and at the start of each window."""
    moments = [at, *(at - timedelta(seconds=seconds) for seconds in CHANGE_WINDOWS.values())]
    prices = np.full((len(symbols), len(moments)), np.nan)
    interest = prices.copy()
    for interval, bar, tolerance in BARS:
        found = prices_at(session, symbols, moments, interval=interval, bar=bar, tolerance=tolerance)
        # An hourly bar says nothing about a window that is not much longer than it.
        usable = np.array([True] * len(moments)) if bar == MINUTE else _long_enough(bar)
        for known, other in zip((prices, interest), found, strict=True):
            missing = np.isnan(known) & usable[None, :]
            known[missing] = other[missing]
    return prices, interest


def _long_enough(bar: timedelta) -> NDArray[np.bool_]:
    """Which of now and the windows may be told by such bars: those of at least four bars."""
    spans = [0, *CHANGE_WINDOWS.values()]
    return np.array([span >= 4 * bar.total_seconds() for span in spans])


def _against_now(values: Floats) -> Floats:
    """(coins, windows) change from each window's start to now, per cent, NaN where unknown."""
    before = np.where(values[:, 1:] > 0, values[:, 1:], np.nan)
    changes: Floats = (values[:, :1] / before - 1.0) * 100.0
    return changes


def _volume_changes(session: Session, symbols: Sequence[str], at: datetime) -> Floats:
    """(coins, windows) volume of the window over that of the one before it, as a change in per cent."""
    changes = np.full((len(symbols), len(CHANGE_WINDOWS)), np.nan)
    short = [(place, name) for place, name in enumerate(CHANGE_WINDOWS) if name != DAY]
    spans = []
    for _, name in short:
        window = timedelta(seconds=CHANGE_WINDOWS[name])
        spans += [(at - 2 * window, at - window), (at - window, at)]
    usd, minutes = turnover_over(session, symbols, spans)
    asked = np.array([(end - start) / MINUTE for start, end in spans])
    usd[(minutes < LEAST_KNOWN_SHARE * asked) | (usd <= 0)] = np.nan
    for index, (place, _) in enumerate(short):
        changes[:, place] = (usd[:, 2 * index + 1] / usd[:, 2 * index] - 1.0) * 100.0
    day = timedelta(seconds=CHANGE_WINDOWS[DAY])
    turnover = day_turnover_at(session, symbols, [at, at - day], tolerance=DAY_TICK_TOLERANCE)
    turnover[turnover <= 0] = np.nan
    changes[:, list(CHANGE_WINDOWS).index(DAY)] = (turnover[:, 0] / turnover[:, 1] - 1.0) * 100.0
    return changes


def _rows(
    symbols: Sequence[str], at: datetime, prices: Floats, changes: Mapping[str, Floats]
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {"symbol": symbol, "ts": at, "price": float(price)}
        for symbol, price in zip(symbols, prices, strict=True)
    ]
    for measure in CHANGE_MEASURES:
        for place, window in enumerate(CHANGE_WINDOWS):
            column = changes[measure][:, place]
            for row, change, rank in zip(
                rows, column.tolist(), descending_ranks(column).tolist(), strict=True
            ):
                row[f"{measure}_change_{window}_pct"] = change if rank else None
                row[f"{measure}_rank_{window}"] = rank or None
    return rows
