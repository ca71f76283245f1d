"""A signal: a top-ranked coin begins to move the way it is ranked. Table `signals`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from whalestack.agents import messages
from whalestack.agents.outbox import delivery, message_rows
from whalestack.agents.patience import at_least_real
from whalestack.clock import Clock, from_ms, to_ms
from whalestack.config import Settings
from whalestack.db.engine import Database
from whalestack.db.live import LiveMarket, LiveTick
from whalestack.db.market_frames import load_window
from whalestack.db.signal_rows import write_signal
from whalestack.db.standings import Standing, standing_of
from whalestack.dispatch import Job
from whalestack.errors import TryAgain
from whalestack.math.directions import Direction, as_direction
from whalestack.math.triggers import MarketMove, missing_conditions
from whalestack.scanners.thresholds import floors_of, raised

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
    """A coin that is watched: its place in the latest ranking."""

    ranked_at: datetime
    direction: Direction
    rank: int
    score: float
    target_price: float | None


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

    def consider(self, symbol: str, seen: SeenMove | None = None, *, hand_on: bool = True) -> SignalReport:
        """Write a signal if the coin is watched and all three conditions hold in its direction.

        One occasion (coin, direction, slot of `signal_cooldown_s`) makes one signal however
        often and from however many places it is seen. The message and the job for the
        automatic traders leave with the commit.

        Args:
            symbol: Bybit symbol.
            seen: what was measured at the tick; None, or one that is no longer fresh, has the
                move measured here.
            hand_on: False where the caller has the traders act on the signal at once; no job goes
                to them then. A caller that dies before is made up for by the traders' sweep.
        """
        report = self._consider(symbol, seen, self._clock.now(), hand_on=hand_on)
        log.info("signal_considered", symbol=symbol, signal_id=report.signal_id, reasons=list(report.reasons))
        return report

    def warm_up(self) -> None:
        """Do what the first move would otherwise wait for: a connection, a compiled statement."""
        standing_of(self._db, "", self._clock.now())

    def _consider(self, symbol: str, seen: SeenMove | None, now: datetime, *, hand_on: bool) -> SignalReport:
        since = now - timedelta(seconds=self._settings.signal_cooldown_s)
        known = standing_of(self._db, symbol, since)
        placed = self._place(known, now)
        if isinstance(placed, str):
            return SignalReport(symbol, None, (placed,))
        is_fresh = seen is not None and abs(now - from_ms(seen.ts_ms)) <= self._seen_counts_for
        move = seen.move if seen is not None and is_fresh else self._move(symbol, now)
        if move is None:
            return SignalReport(symbol, None, ("no fresh price",))
        thresholds = raised(floors_of(self._settings), known.thresholds)
        missing = missing_conditions(move, placed.direction, thresholds)
        if missing:
            return SignalReport(symbol, None, missing)
        # Slots have edges, and a minute may span one: the cool-down counts as well.
        signal_id = None
        if not known.is_cooling_down:
            signal_id = self._write(symbol, placed, move, now, hand_on=hand_on)
        if signal_id is None:
            return SignalReport(symbol, None, ("this occasion has its signal",))
        return SignalReport(symbol, signal_id)

    def _place(self, known: Standing, now: datetime) -> _Placed | str:
        """The coin's place in the latest ranking of all, or why it is not watched."""
        if known.ranked_at is None:
            return "there is no ranking yet"
        age_s = (now - known.ranked_at).total_seconds()
        if age_s > self._settings.ranking_max_age_s:
            return f"the latest ranking is {age_s:.0f} s old"
        if not known.is_in_ranking:
            return "not in the latest ranking"
        if known.rank is None or known.score is None:
            return f"not ranked: {known.dropped_reason}"
        if known.rank > self._settings.ranking_watch:
            return f"rank {known.rank}, watched are the first {self._settings.ranking_watch}"
        if known.direction not in ("LONG", "SHORT"):
            return f"ranked {known.direction}"
        direction = as_direction(known.direction)
        return _Placed(known.ranked_at, direction, known.rank, known.score, known.target_price)

    def _move(self, symbol: str, now: datetime) -> MarketMove | None:
        with self._db.begin() as work:
            window, at_ms = load_window(work.session, symbol, now=now), to_ms(now)
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
        self, symbol: str, placed: _Placed, move: MarketMove, now: datetime, *, hand_on: bool
    ) -> int | None:
        """The new signal's id, None if the occasion has one already."""
        values = {
            "symbol": symbol,
            "direction": placed.direction,
            "occasion": occasion_of(symbol, placed.direction, now, self._settings.signal_cooldown_s),
            "scanner": SCANNER,
            "now": now,
            "price": move.price,
            "oi_change_pct": move.oi_change_15m_pct,
            "volume_spike_ratio": move.volume_spike_ratio,
            "price_change_pct": move.price_change_5m_pct,
            "rank": placed.rank,
            "score": placed.score,
            "ranked_at": placed.ranked_at,
        }
        made = write_signal(self._db, values, self._messages(symbol, placed, move, now))
        if made is None:
            return None
        if hand_on:
            # The trader's job first. It refuses what is older than this anyway.
            self._db.dispatch(
                Job(ACT_TASK, {"signal_id": made.id}, expires_s=self._settings.signal_max_age_s)
            )
        for outbox_id in made.outbox_ids:
            self._db.dispatch(delivery(self._settings, outbox_id))
        return made.id

    def _messages(
        self, symbol: str, placed: _Placed, move: MarketMove, now: datetime
    ) -> list[dict[str, Any]]:
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
            target_price=placed.target_price,
        )
        return message_rows(
            self._settings,
            now=now,
            kind="signal",
            event_key="",  # of the signal's number, which is not known yet
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
