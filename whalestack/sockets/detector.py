"""Movers, spikes and triggers, seen at the tick that makes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from whalestack.config import Settings
from whalestack.db.market_store import LearnedThresholds
from whalestack.math.directions import Direction
from whalestack.math.triggers import MarketMove, TriggerThresholds, is_mover, is_spike, is_trigger
from whalestack.math.windows import MarketWindow

Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class Sighting:
    """A coin that moves fast for its own habits, not told of within its cool-down.

    Args:
        symbol: Bybit symbol.
        is_trigger: open interest, volume and price together, in either direction.
        goes_on: the trigger was told before, and its move has not ended since.
        refetch_reason: ``mover`` or ``spike`` if its maps should be fetched again, else None.
        move: as it was measured at the tick.
        ts_ms: of the tick, market ms.
    """

    symbol: str
    is_trigger: bool
    refetch_reason: str | None
    move: MarketMove
    ts_ms: int
    goes_on: bool = False


# A price that has jumped stays above that of five minutes ago for five minutes.
MOVE_LASTS_MS = 300_000


def floors_of(settings: Settings) -> TriggerThresholds:
    """The thresholds below which no coin's move counts."""
    return TriggerThresholds(
        oi_change_pct=settings.trigger_oi_change_pct,
        volume_ratio=settings.trigger_volume_ratio,
        price_change_pct=settings.trigger_price_change_pct,
        mover_1m_pct=settings.mover_1m_pct,
        mover_5m_pct=settings.mover_5m_pct,
    )


def raised(floors: TriggerThresholds, learned: LearnedThresholds) -> TriggerThresholds:
    """The floors, raised to what the coin's own past says."""
    return TriggerThresholds(
        oi_change_pct=max(floors.oi_change_pct, learned.oi_change_pct or 0.0),
        volume_ratio=max(floors.volume_ratio, learned.volume_ratio or 0.0),
        price_change_pct=max(floors.price_change_pct, learned.price_change_pct or 0.0),
        mover_1m_pct=max(floors.mover_1m_pct, learned.mover_1m_pct or 0.0),
        mover_5m_pct=max(floors.mover_5m_pct, learned.mover_5m_pct or 0.0),
    )


class SpikeDetector:
    """Feeds the window with each tick and looks at it.

    A coin belongs to one stream at a time, so its window needs no lock; while a coin is
    held its window belongs to who fills its history.

    Args:
        floors: for coins with no thresholds of their own.
        trigger_repeat_ms: market ms in which a trigger of a coin in one direction is told once.
        refetch_repeat_ms: market ms in which a refetch of a coin is asked for once.
    """

    def __init__(
        self, floors: TriggerThresholds, *, trigger_repeat_ms: int = 30_000, refetch_repeat_ms: int = 240_000
    ) -> None:
        self._floors = floors
        self._trigger_repeat_ms = trigger_repeat_ms
        self._refetch_repeat_ms = refetch_repeat_ms
        self._window = MarketWindow()
        self._thresholds: Mapping[str, TriggerThresholds] = {}
        self._held: set[str] = set()
        self._trigger_told_ms: dict[tuple[str, Direction], int] = {}
        self._refetch_told_ms: dict[str, int] = {}

    def set_thresholds(self, learned: Mapping[str, LearnedThresholds]) -> None:
        """Take the coins' own thresholds; the floors stay in force below them."""
        self._thresholds = {symbol: raised(self._floors, own) for symbol, own in learned.items()}

    def hold(self, symbols: Iterable[str]) -> None:
        """Take no ticks of these coins until their history is filled.

        The window takes ticks in order only: a new one would shut out the older history.
        """
        self._held.update(symbols)

    def release(self, symbol: str) -> None:
        """Take the coin's ticks again."""
        self._held.discard(symbol)

    def warm_up(
        self, symbol: str, bars: Iterable[tuple[int, float, float]], interest: Iterable[tuple[int, float]]
    ) -> None:
        """Fill a held coin's window; see `MarketWindow.warm_up`."""
        self._window.warm_up(symbol, bars, interest)

    def on_bar(self, symbol: str, start_ms: int, turnover_usd: float) -> None:
        """Take a one-minute bar's turnover so far."""
        if symbol not in self._held:
            self._window.add_bar(symbol, start_ms, turnover_usd)

    def on_tick(self, symbol: str, ts_ms: int, price: float, open_interest: float | None) -> Sighting | None:
        """Take a tick and say what it shows, None if nothing new."""
        if symbol in self._held:
            return None
        self._window.add_tick(symbol, ts_ms, price, open_interest)
        move = self._window.move(symbol, ts_ms)
        if move is None:
            return None
        return self._sighting(symbol, ts_ms, move)

    def forget(self, symbol: str) -> None:
        """Drop a coin that is no longer followed."""
        self._window.forget(symbol)
        self._held.discard(symbol)

    def tell_anew(self) -> None:
        """Tell of every move again, as if none had been told."""
        self._trigger_told_ms.clear()
        self._refetch_told_ms.clear()

    def _sighting(self, symbol: str, ts_ms: int, move: MarketMove) -> Sighting | None:
        thresholds = self._thresholds.get(symbol, self._floors)
        reason = _refetch_reason(move, thresholds)
        way = _triggered_way(move, thresholds)
        # A fall that nobody wanted must not hide the rise after it.
        last_ms = None if way is None else self._trigger_told_ms.get((symbol, way))
        triggers = way is not None and _is_due(
            self._trigger_told_ms, (symbol, way), ts_ms, self._trigger_repeat_ms
        )
        goes_on = triggers and last_ms is not None and ts_ms - last_ms < MOVE_LASTS_MS
        if reason and not _is_due(self._refetch_told_ms, symbol, ts_ms, self._refetch_repeat_ms):
            reason = None
        return Sighting(symbol, triggers, reason, move, ts_ms, goes_on) if triggers or reason else None


def _triggered_way(move: MarketMove, thresholds: TriggerThresholds) -> Direction | None:
    """The direction in which the price went, if all three conditions hold in it."""
    change_pct = move.price_change_5m_pct
    # Most ticks end here; the full rule words its reasons, which costs more than the look.
    if change_pct is None or abs(change_pct) <= thresholds.price_change_pct:
        return None
    way: Direction = "LONG" if change_pct > 0 else "SHORT"
    return way if is_trigger(move, way, thresholds) else None


def _refetch_reason(move: MarketMove, thresholds: TriggerThresholds) -> str | None:
    if is_mover(move, thresholds):
        return "mover"
    return "spike" if is_spike(move, thresholds) else None


def _is_due(told_ms: dict[Key, int], key: Key, now_ms: int, repeat_ms: int) -> bool:
    last_ms = told_ms.get(key)
    if last_ms is not None and now_ms - last_ms < repeat_ms:
        return False
    told_ms[key] = now_ms
    return True
