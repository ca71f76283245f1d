"""What is fast for each coin, learned from its own past, written to `coin_thresholds`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import structlog
from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.db.engine import Database
from whalestack.db.market_frames import OI_CARRIED_MINUTES, MarketFrame, load_frame
from whalestack.db.market_store import LearnedThresholds
from whalestack.db.models import CoinThreshold
from whalestack.math.triggers import MoveHistory, TriggerThresholds, learn_thresholds
from whalestack.math.windows import change_pct, forward_fill, volume_spike_ratio

log = structlog.get_logger()

# Three days of one-minute bars of 25 coins are some 100,000 rows: a second of work.
COINS_PER_RUN = 25
# A coin with too little past is looked at again after an hour, not only after a day.
RETRY_AFTER_S = 3600
# Windows of five minutes that begin a minute apart are one observation five times over.
MINUTES_PER_OBSERVATION = 5


@dataclass(frozen=True)
class ThresholdReport:
    """What one run learned.

    Args:
        learned: coins whose thresholds come from their own past now.
        too_little: coins with too few observations; the floors of the settings count.
    """

    learned: tuple[str, ...]
    too_little: tuple[str, ...]


def floors_of(settings: Settings) -> TriggerThresholds:
    """The thresholds below which no coin's move counts."""
    return TriggerThresholds(
        oi_change_pct=settings.trigger_oi_change_pct,
        volume_ratio=settings.trigger_volume_ratio,
        price_change_pct=settings.trigger_price_change_pct,
        mover_1m_pct=settings.mover_1m_pct,
        mover_5m_pct=settings.mover_5m_pct,
    )


def load_thresholds(
    session: Session, settings: Settings, symbols: Sequence[str] | None = None
) -> Mapping[str, TriggerThresholds]:
    """The thresholds in force, by symbol: the floors, raised to what was learned.

    A coin that is not in the result has learned nothing: use `floors_of`.
    """
    floors = floors_of(settings)
    query = select(CoinThreshold)
    if symbols is not None:
        query = query.where(CoinThreshold.symbol.in_(symbols))
    return {row.symbol: raised(floors, row) for row in session.scalars(query)}


def raised(floors: TriggerThresholds, row: CoinThreshold | LearnedThresholds) -> TriggerThresholds:
    """The floors, raised to what a coin's own past says."""
    return TriggerThresholds(
        oi_change_pct=max(floors.oi_change_pct, row.oi_change_pct or 0.0),
        volume_ratio=max(floors.volume_ratio, row.volume_ratio or 0.0),
        price_change_pct=max(floors.price_change_pct, row.price_change_pct or 0.0),
        mover_1m_pct=max(floors.mover_1m_pct, row.mover_1m_pct or 0.0),
        mover_5m_pct=max(floors.mover_5m_pct, row.mover_5m_pct or 0.0),
    )


class ThresholdScanner:
    """Learns the speeds of the coins that have waited longest, a few at a time.

    Only coins that have a row in `coin_thresholds` are learned: the heat-map scanner makes
    it with the coin's first clusters, and a coin without clusters is not traded.

    Args:
        db: of this process.
        settings: floors, quantile, how far back to look and how old a row may grow.
        clock: market time.
    """

    def __init__(self, *, db: Database, settings: Settings, clock: Clock) -> None:
        self._db = db
        self._settings = settings
        self._clock = clock

    def scan(self) -> ThresholdReport:
        """Learn the coins that are due, at most `COINS_PER_RUN` of them."""
        with self._db.begin() as work:
            due = self._due(work.session)
        return self._learn(due)

    def refresh(self, symbol: str) -> ThresholdReport:
        """Learn one coin now, before it is traded."""
        return self._learn((symbol,))

    def _due(self, session: Session) -> tuple[str, ...]:
        now = self._clock.now()
        row = CoinThreshold
        query = (
            select(row.symbol)
            .where(
                or_(
                    row.observations == 0,
                    row.last_updated < now - timedelta(seconds=self._settings.pattern_max_age_s),
                    row.mover_1m_pct.is_(None) & (row.last_updated < now - timedelta(seconds=RETRY_AFTER_S)),
                )
            )
            .order_by(row.last_updated, row.symbol)
            .limit(COINS_PER_RUN)
        )
        return tuple(session.scalars(query))

    def _learn(self, symbols: Sequence[str]) -> ThresholdReport:
        if not symbols:
            return ThresholdReport((), ())
        now = self._clock.now()
        minutes = self._settings.threshold_lookback_h * 60
        with self._db.begin() as work:
            frame = load_frame(work.session, now=now, minutes=minutes, symbols=symbols)
            counts = self._store(work.session, symbols, frame, now)
        enough = self._settings.trigger_min_observations
        report = ThresholdReport(
            learned=tuple(symbol for symbol in symbols if counts[symbol] >= enough),
            too_little=tuple(symbol for symbol in symbols if counts[symbol] < enough),
        )
        log.info("thresholds_learned", learned=len(report.learned), too_little=len(report.too_little))
        return report

    def _store(
        self, session: Session, symbols: Sequence[str], frame: MarketFrame, now: datetime
    ) -> dict[str, int]:
        """Write what was learned of each coin; returns the observations it rests on."""
        histories = histories_of(frame)
        counts: dict[str, int] = {}
        for symbol in symbols:
            history = histories.get(symbol)
            counts[symbol] = 0 if history is None else observations_in(history)
            session.execute(
                update(CoinThreshold)
                .where(CoinThreshold.symbol == symbol)
                .values(
                    **self._speeds(history, counts[symbol]), observations=counts[symbol], last_updated=now
                )
            )
        return counts

    def _speeds(self, history: MoveHistory | None, observations: int) -> dict[str, float | None]:
        learned = learned_thresholds(history, observations, self._settings)
        if learned is None:
            return dict.fromkeys(
                ("oi_change_pct", "volume_ratio", "price_change_pct", "mover_1m_pct", "mover_5m_pct")
            )
        return vars(learned)


def observations_in(history: MoveHistory) -> int:
    """How many moves of their own a coin's past minutes hold."""
    return int(np.count_nonzero(np.isfinite(history.price_change_5m_pct))) // MINUTES_PER_OBSERVATION


def learned_thresholds(
    history: MoveHistory | None, observations: int, settings: Settings
) -> TriggerThresholds | None:
    """What a coin's past teaches, None where there is too little of it: then the floors count."""
    if history is None or observations < settings.trigger_min_observations:
        return None
    return learn_thresholds(
        history,
        floors=floors_of(settings),
        quantile=settings.trigger_quantile,
        min_observations=settings.trigger_min_observations * MINUTES_PER_OBSERVATION,
    )


def histories_of(frame: MarketFrame) -> dict[str, MoveHistory]:
    """Every coin's past moves, minute by minute."""
    interest = forward_fill(frame.open_interest, OI_CARRIED_MINUTES)
    one, five = change_pct(frame.prices, 1), change_pct(frame.prices, 5)
    fifteen, ratio = change_pct(interest, 15), volume_spike_ratio(frame.turnover_usd)
    return {
        symbol: MoveHistory(one[row], five[row], fifteen[row], ratio[row])
        for row, symbol in enumerate(frame.symbols)
    }
