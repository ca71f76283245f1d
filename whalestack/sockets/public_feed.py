"""What happens with each public message: the book, the detector, the watches."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import structlog

from whalestack.clock import Clock
from whalestack.db.live import LiveMarket
from whalestack.dispatch import Job
from whalestack.sockets.book import MarketBook, PriceChange
from whalestack.sockets.detector import Sighting, SpikeDetector
from whalestack.sockets.frames import Frame, read_bars, read_liquidations, read_ticker
from whalestack.sockets.recorder import Recorder
from whalestack.sockets.sender import JobSender
from whalestack.sockets.watching import WatchBoard

log = structlog.get_logger()

SPIKE_EXPIRES_S = 120.0
REFETCH_EXPIRES_S = 300.0
WATCH_EXPIRES_S = 60.0
# At a fast clock a market minute is a real second; no job expires sooner than this.
LEAST_EXPIRY_REAL_S = 10.0


@dataclass(frozen=True)
class PublicFeed:
    """Takes the frames of every public link.

    Args:
        book: merges them.
        detector: sees movers, spikes and triggers.
        watches: prices at which positions want to be looked at.
        recorder: writes to Redis and the database.
        live: whose claims keep several processes from fetching one coin again and again.
        urgent: sends what concerns positions.
        triggers: sends the moves that may become a trade; nothing else goes this way.
        spikes: sends what concerns moves.
        clock: market time.
        refetch_cooldown_s: market seconds in which a coin is fetched again once.
    """

    book: MarketBook
    detector: SpikeDetector
    watches: WatchBoard
    recorder: Recorder
    live: LiveMarket
    urgent: JobSender
    triggers: JobSender
    spikes: JobSender
    clock: Clock
    refetch_cooldown_s: float

    def on_frame(self, frame: Frame) -> None:
        """Handle one message. Raises `BadFrame`."""
        stream, _, rest = frame.topic.partition(".")
        if stream == "tickers":
            is_snapshot = frame.kind == "snapshot"
            self._on_change(
                self.book.apply_ticker(rest, frame.ts, read_ticker(frame), is_snapshot=is_snapshot)
            )
        elif stream == "kline":
            self._on_bars(frame, rest.partition(".")[2])
        elif stream == "allLiquidation":
            self.book.apply_liquidations(read_liquidations(frame))

    def check_watches(self) -> None:
        """Look at every watched coin: a watch may be set where the price stands already."""
        for symbol in self.watches.symbols:
            tick = self.book.tick(symbol)
            if tick is not None:
                self._watch(symbol, tick.last, tick.ts_ms)

    def _on_bars(self, frame: Frame, symbol: str) -> None:
        for bar in read_bars(frame, symbol):
            if self.book.apply_bar(bar):
                self.detector.on_bar(symbol, bar.start_ms, bar.turnover_usd)

    def _on_change(self, change: PriceChange | None) -> None:
        if change is None:
            return
        self._watch(change.symbol, change.price, change.ts_ms)
        sighting = self.detector.on_tick(change.symbol, change.ts_ms, change.price, change.open_interest)
        if sighting is not None:
            self._tell(sighting)

    def _watch(self, symbol: str, price: float, ts_ms: int) -> None:
        seen = self.watches.look(symbol, price, ts_ms)
        if seen is not None:
            # The price that reached the watch goes along: it may be over when the worker looks.
            kwargs: dict[str, object] = {"symbol": symbol, "price_seen": seen.price, "seen_ms": seen.ts_ms}
            job = Job("trailing.check_symbol", kwargs, self._expiry(WATCH_EXPIRES_S))
            # The price of now is read from Redis: a stop must lie on the right side of that one.
            self.urgent.post(job, first=lambda: self.recorder.show(symbol))

    def _tell(self, sighting: Sighting) -> None:
        symbol = sighting.symbol
        if sighting.is_trigger:
            log.info("trigger_seen", symbol=symbol)
            seen = {"move": asdict(sighting.move), "seen_ms": sighting.ts_ms}
            # Told again because the coin may be ranked by now; that is in no hurry, and there are many.
            task = "scan.spike_seen" if sighting.goes_on else "trade.spike_seen"
            job = Job(task, {"symbol": symbol, **seen}, self._expiry(SPIKE_EXPIRES_S))
            # The move goes along; its ticks are written with the next rows, as its evidence.
            self.book.keep(symbol)
            # The trader reads the price from Redis: it must find the one that crossed.
            self.triggers.post(job, first=lambda: self.recorder.show(symbol))
        if sighting.refetch_reason is not None:
            kwargs: dict[str, object] = {"symbol": symbol, "reason": sighting.refetch_reason}
            job = Job("refetch.coin", kwargs, self._expiry(REFETCH_EXPIRES_S))
            self.spikes.post(job, first=lambda: self._may_refetch(symbol))

    def _may_refetch(self, symbol: str) -> bool:
        return self.live.claim("refetch", symbol, hold_s=self.clock.real_seconds(self.refetch_cooldown_s))

    def _expiry(self, market_s: float) -> float:
        """`market_s`, or more where the clock is fast."""
        return max(market_s, LEAST_EXPIRY_REAL_S / self.clock.real_seconds(1.0))
