"""A signal: a top-ranked coin begins to move the way it is ranked. Table `signals`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from whalestack.agents import messages
from whalestack.agents.outbox import announce
from whalestack.agents.patience import at_least_real
from whalestack.clock import Clock, from_ms, to_ms
from whalestack.config import Settings
from whalestack.db.engine import Database, UnitOfWork
from whalestack.db.live import LiveMarket, LiveTick
from whalestack.db.market_frames import load_window
from whalestack.db.models import CoinRanking, Signal
from whalestack.dispatch import Job
from whalestack.errors import TryAgain
from whalestack.math.directions import Direction, as_direction
from whalestack.math.triggers import MarketMove, missing_conditions
from whalestack.scanners.thresholds import floors_of, load_thresholds

log = structlog.get_logger()

SCANNER = "signals"
ACT_TASK = "trade.act_on_signal"
# A move that was seen this long ago may be over.
SEEN_MARKET_S = 5.0
SEEN_REAL_S = 3.0


@dataclass(frozen=True)
class SeenMove:
    """A move as the streams measured it, and the moment of its tick, market ms."""

    move: MarketMove
    ts_ms: int


@dataclass(frozen=True)
class SignalReport:
    """What came of considering one coin.

    Args:
        symbol: of the coin.
        signal_id: of the new signal, None if there is none.
        reasons: why there is none, each with its figures; empty for a new signal.
    """

    symbol: str
    signal_id: int | None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Placed:
    """A coin that is watched: its row in the latest ranking, all of whose fields it needs are there."""

    ranking: CoinRanking
    direction: Direction
    rank: int
    score: float


class SignalScanner:
    """Considers a coin that has just spiked.

    Args:
        db: of this process.
        live: the price and open interest of this second; without Redis the database's
            latest tick counts.
        settings: how many ranks are watched, floors, cool-down.
        clock: market time.
    """

    def __init__(self, *, db: Database, live: LiveMarket, settings: Settings, clock: Clock) -> None:
        self._db = db
        self._live = live
        self._settings = settings
        self._clock = clock
        self._seen_counts_for = at_least_real(clock, SEEN_MARKET_S, SEEN_REAL_S)

    def consider(self, symbol: str, seen: SeenMove | None = None) -> SignalReport:
        """Write a signal if the coin is watched and all three conditions hold in its direction.

        One occasion (coin, direction, slot of `signal_cooldown_s`) makes one signal however
        often and from however many places it is seen. The message and the job for the
        automatic traders leave with the commit.

        Args:
            symbol: Bybit symbol.
            seen: what was measured at the tick; None, or one that is no longer fresh, has the
                move measured here.
        """
        now = self._clock.now()
        with self._db.begin() as work:
            report = self._consider(work, symbol, seen, now)
        log.info("signal_considered", symbol=symbol, signal_id=report.signal_id, reasons=list(report.reasons))
        return report

    def _consider(self, work: UnitOfWork, symbol: str, seen: SeenMove | None, now: datetime) -> SignalReport:
        placed = self._place(work.session, symbol, now)
        if isinstance(placed, str):
            return SignalReport(symbol, None, (placed,))
        is_fresh = seen is not None and abs(now - from_ms(seen.ts_ms)) <= self._seen_counts_for
        move = seen.move if seen is not None and is_fresh else self._move(work.session, symbol, now)
        if move is None:
            return SignalReport(symbol, None, ("no fresh price",))
        own = load_thresholds(work.session, self._settings, [symbol])
        missing = missing_conditions(move, placed.direction, own.get(symbol, floors_of(self._settings)))
        if missing:
            return SignalReport(symbol, None, missing)
        signal_id = self._write(work, symbol, placed, move, now)
        if signal_id is None:
            return SignalReport(symbol, None, ("this occasion has its signal",))
        return SignalReport(symbol, signal_id)

    def _place(self, session: Session, symbol: str, now: datetime) -> _Placed | str:
        """The coin's place in the latest ranking of all, or why it is not watched."""
        latest = session.scalar(select(func.max(CoinRanking.created_at)))
        if latest is None:
            return "there is no ranking yet"
        age_s = (now - latest).total_seconds()
        if age_s > self._settings.ranking_max_age_s:
            return f"the latest ranking is {age_s:.0f} s old"
        row = session.get(CoinRanking, (symbol, latest))
        if row is None:
            return "not in the latest ranking"
        if row.rank is None or row.score is None:
            return f"not ranked: {row.dropped_reason}"
        if row.rank > self._settings.ranking_watch:
            return f"rank {row.rank}, watched are the first {self._settings.ranking_watch}"
        if row.direction not in ("LONG", "SHORT"):
            return f"ranked {row.direction}"
        return _Placed(row, as_direction(row.direction), row.rank, row.score)

    def _move(self, session: Session, symbol: str, now: datetime) -> MarketMove | None:
        window, at_ms = load_window(session, symbol, now=now), to_ms(now)
        tick = self._live_tick(symbol)
        if tick is not None:
            window.add_tick(symbol, tick.ts_ms, tick.last, tick.open_interest)
            # The tick may have come since `now` was read.
            at_ms = max(at_ms, tick.ts_ms)
        return window.move(symbol, at_ms)

    def _live_tick(self, symbol: str) -> LiveTick | None:
        try:
            return self._live.get(symbol)
        except TryAgain as error:
            log.warning("live_tick_unknown", symbol=symbol, error=str(error))
            return None

    def _write(
        self, work: UnitOfWork, symbol: str, placed: _Placed, move: MarketMove, now: datetime
    ) -> int | None:
        """The new signal's id, None if the occasion has one already."""
        cooldown = timedelta(seconds=self._settings.signal_cooldown_s)
        if self._is_cooling_down(work.session, symbol, placed.direction, now - cooldown):
            return None
        signal_id = work.session.scalar(
            insert(Signal)
            .values(
                symbol=symbol,
                direction=placed.direction,
                occasion=occasion_of(symbol, placed.direction, now, self._settings.signal_cooldown_s),
                scanner=SCANNER,
                triggered_at=now,
                price=move.price,
                oi_change_pct=move.oi_change_15m_pct,
                volume_spike_ratio=move.volume_spike_ratio,
                price_change_pct=move.price_change_5m_pct,
                rank=placed.rank,
                score=placed.score,
                ranked_at=placed.ranking.created_at,
                updated_at=now,
            )
            .on_conflict_do_nothing(index_elements=["occasion"])
            .returning(Signal.id)
        )
        if signal_id is not None:
            self._tell(work, signal_id, symbol, placed, move, now)
        return signal_id

    def _is_cooling_down(self, session: Session, symbol: str, direction: Direction, since: datetime) -> bool:
        """Whether the coin had such a signal since then: slots have edges, and a minute may span one."""
        found = select(Signal.id).where(
            Signal.symbol == symbol, Signal.direction == direction, Signal.triggered_at > since
        )
        return session.scalar(found.limit(1)) is not None

    def _tell(
        self, work: UnitOfWork, signal_id: int, symbol: str, placed: _Placed, move: MarketMove, now: datetime
    ) -> None:
        text = messages.signal(
            agent_name=SCANNER,
            scanner=SCANNER,
            symbol=symbol,
            direction=placed.direction,
            rank=placed.rank,
            score=placed.score,
            price=move.price,
            oi_change_15m_pct=move.oi_change_15m_pct or 0.0,
            price_change_5m_pct=move.price_change_5m_pct or 0.0,
            volume_spike_ratio=move.volume_spike_ratio or 0.0,
            at=now,
            target_price=placed.ranking.target_price,
        )
        # Jobs leave in this order: the trader first. Older than `signal_max_age_s` it refuses it anyway.
        work.dispatch_after_commit(
            Job(ACT_TASK, {"signal_id": signal_id}, expires_s=self._settings.signal_max_age_s)
        )
        announce(
            work,
            settings=self._settings,
            now=now,
            kind="signal",
            event_key=f"signal:{signal_id}",
            agent_name=SCANNER,
            scanner=SCANNER,
            symbol=symbol,
            text=text,
        )


def occasion_of(symbol: str, direction: Direction, now: datetime, cooldown_s: int) -> str:
    """What makes a signal unique: coin, direction and the slot of the cool-down that it falls into."""
    slot_ms = max(cooldown_s * 1000, 1)
    slot = from_ms(to_ms(now) // slot_ms * slot_ms)
    return f"{symbol}:{direction}:{slot:%Y%m%dT%H%M%S.%f}"
