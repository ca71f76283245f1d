"""The streams process: every socket of the system, and what is seen on them."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from types import FrameType

import structlog
from sqlalchemy.exc import SQLAlchemyError

from whalestack.agents.private_news import has_news
from whalestack.clients.bybit.client import BybitClient
from whalestack.clients.bybit.hosts import bybit_hosts
from whalestack.clients.bybit.port import MarketPort
from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.db.engine import Database
from whalestack.db.live import LiveMarket
from whalestack.db.market_store import MarketStore
from whalestack.dispatch import Dispatcher, Job
from whalestack.errors import TryAgain
from whalestack.sockets.book import MarketBook
from whalestack.sockets.coinglass_link import CoinglassLink, CoinNames
from whalestack.sockets.detector import SpikeDetector, floors_of
from whalestack.sockets.filler import HistoryFiller
from whalestack.sockets.frames import Frame, read_rows
from whalestack.sockets.keeper import KeeperTimes, StreamKeeper
from whalestack.sockets.links import PRIVATE_TOPICS, BybitLink
from whalestack.sockets.public_feed import PublicFeed
from whalestack.sockets.public_streams import PublicStreams
from whalestack.sockets.recorder import Recorder
from whalestack.sockets.sender import JobSender
from whalestack.sockets.status import StreamsStatus
from whalestack.sockets.watching import WatchBoard

log = structlog.get_logger()

SHOW_EVERY_S = 0.2
SHOW_ALL_EVERY_S = 2.0
STORE_EVERY_S = 1.0
UNIVERSE_EVERY_S = 10.0
STATUS_EVERY_S = 1.0
EMPTY_UNIVERSE_EVERY_S = 1.0
LEAST_HOURS_EVERY_S = 60.0


class StreamsProcess:
    """Runs until it is told to stop; `run` is the whole process.

    Args:
        settings: addresses, keys, thresholds.
        db: history and the universe.
        live: the present.
        dispatcher: sends jobs to the queues; used from several threads.
        clock: market time.
        market: Bybit's public REST data; from the settings if not given.
        times: how the streams are watched.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        db: Database,
        live: LiveMarket,
        dispatcher: Dispatcher,
        clock: Clock,
        market: MarketPort | None = None,
        times: KeeperTimes | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._live = live
        self._times = times or KeeperTimes()
        self._hosts = bybit_hosts(settings)
        self._stopping = threading.Event()
        self._store = MarketStore(db)
        self.book = MarketBook(tick_spacing_ms=round(settings.tick_spacing_s * 1000))
        self.detector = SpikeDetector(
            floors_of(settings), refetch_repeat_ms=settings.refetch_cooldown_s * 1000
        )
        self.watches = WatchBoard()
        self.recorder = Recorder(self.book, live, self._store)
        self.urgent = JobSender("urgent", dispatcher)
        self.triggers = JobSender("triggers", dispatcher)
        self.spikes = JobSender("spikes", dispatcher)
        self.senders = (self.urgent, self.triggers, self.spikes)
        self.filler = HistoryFiller(
            market or BybitClient.from_settings(settings, clock), self._store, self.detector, clock
        )
        self.feed = PublicFeed(
            book=self.book,
            detector=self.detector,
            watches=self.watches,
            recorder=self.recorder,
            live=live,
            urgent=self.urgent,
            triggers=self.triggers,
            spikes=self.spikes,
            clock=clock,
            refetch_cooldown_s=settings.refetch_cooldown_s,
        )
        self.public = PublicStreams(self._hosts.public_ws, self.feed, self._after_public_open, self._times)
        self._names = CoinNames.of(())
        self.others: list[StreamKeeper] = []
        self._threads: list[threading.Thread] = []

    def run(self) -> None:
        """Start, wait for SIGTERM, SIGINT or `stop_soon`, and end cleanly."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._on_signal)
        self.start()
        self._stopping.wait()
        self.stop()

    def start(self) -> None:
        """Start every thread; returns at once."""
        log.info("streams_starting")
        for sender in self.senders:
            sender.start()
        self.others = [keeper for keeper in (self._private(), self._coinglass()) if keeper is not None]
        for keeper in self.others:
            keeper.start()
        self._begin("show", SHOW_EVERY_S, self._showing())
        self._begin("store", STORE_EVERY_S, self.recorder.store_due)
        self._begin("universe", EMPTY_UNIVERSE_EVERY_S, self._universe_turn())
        self._begin("hours", EMPTY_UNIVERSE_EVERY_S, self._hours_turn())

    def stop_soon(self) -> None:
        """Have `run` return; may be called from any thread or signal handler."""
        self._stopping.set()

    def stop(self) -> None:
        """Close the sockets, send and write what waits, end every thread."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(5.0)
        self.public.stop()
        for keeper in self.others:
            keeper.stop()
        self.filler.stop()
        self.recorder.store_due()
        for sender in self.senders:
            sender.stop()
        log.info("streams_stopped", rows_written=self.recorder.rows_written)

    def status(self) -> StreamsStatus:
        """How the streams are, as Redis shows it to the others."""
        keepers = [*self.public.keepers, *self.others]
        return StreamsStatus(
            at_ms=self._clock.now_ms(),
            streams={keeper.name: keeper.is_up for keeper in keepers},
            silent_s={keeper.name: keeper.silent_s for keeper in keepers},
            rebuilt=sum(keeper.rebuilt for keeper in keepers),
            coins=len(self.public.symbols),
            rows_written=self.recorder.rows_written,
            jobs_sent=sum(sender.sent for sender in self.senders),
            jobs_dropped=sum(sender.dropped for sender in self.senders),
            history_filled=self.filler.filled,
        )

    # --- the streams ------------------------------------------------------------

    def _private(self) -> StreamKeeper | None:
        key = self._settings.bybit_api_key.get_secret_value()
        secret = self._settings.bybit_api_secret.get_secret_value()
        if not key or not secret:
            log.warning("private_stream_off", why="BYBIT_API_KEY and BYBIT_API_SECRET are not set")
            return None
        return StreamKeeper(
            "private",
            lambda: BybitLink(
                "private",
                self._hosts.private_ws,
                lambda: PRIVATE_TOPICS,
                self._on_private,
                keys=(key, secret),
                pongs_count=True,
            ),
            after_open=self._after_private_open,
            times=self._times,
        )

    def _coinglass(self) -> StreamKeeper | None:
        key = self._settings.coinglass_api_key.get_secret_value()
        if not key:
            log.warning("coinglass_stream_off", why="COINGLASS_API_KEY is not set")
            return None
        return StreamKeeper(
            "coinglass",
            lambda: CoinglassLink(
                self._settings.coinglass_ws_url, key, lambda: self._names, self.book.apply_liquidations
            ),
            times=self._times,
        )

    def _on_private(self, frame: Frame) -> None:
        rows = read_rows(frame)
        if not has_news(frame.topic, rows):
            return
        kwargs: dict[str, object] = {
            "topic": frame.topic,
            "rows": rows,
            "received_ms": self._clock.now_ms(),
        }
        self.urgent.post(Job("trade.private_event", kwargs))

    def _after_private_open(self, missed_s: float | None) -> None:
        # What happened while nobody listened is not repeated by the stream: it must be asked for.
        self.urgent.post(Job("trade.poll"))

    def _after_public_open(self, symbols: Sequence[str], missed_s: float | None) -> None:
        missed_minutes = None if missed_s is None else missed_s / self._clock.real_seconds(60.0)
        self.filler.fill(symbols, missed_minutes)
        if missed_minutes is None:
            self.filler.fill_hours(symbols)

    # --- what runs beside them -----------------------------------------------------

    def _begin(self, name: str, every_s: float, turn: Callable[[], object]) -> None:
        thread = threading.Thread(target=self._repeat, args=(name, every_s, turn), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _repeat(self, name: str, every_s: float, turn: Callable[[], object]) -> None:
        is_down = False
        while not self._stopping.is_set():
            try:
                turn()
                is_down = False
            except (TryAgain, SQLAlchemyError) as error:
                if not is_down:
                    log.warning("streams_turn_failed", turn=name, error=str(error)[:200])
                is_down = True
            except Exception:  # the edge of a thread that must go on
                log.exception("streams_turn_failed", turn=name)
            self._stopping.wait(every_s)

    def _showing(self) -> Callable[[], None]:
        next_all_s = next_status_s = 0.0

        def turn() -> None:
            nonlocal next_all_s, next_status_s
            now_s = time.monotonic()
            show_all = now_s >= next_all_s
            self.recorder.show_changes(all_coins=show_all)
            if show_all:
                next_all_s = now_s + SHOW_ALL_EVERY_S
            self.watches.update(self._live.watches())
            self.feed.check_watches()
            if now_s >= next_status_s:
                self.status().put(self._live)
                next_status_s = now_s + STATUS_EVERY_S

        return turn

    def _universe_turn(self) -> Callable[[], None]:
        next_s = 0.0

        def turn() -> None:
            nonlocal next_s
            if time.monotonic() < next_s:
                return
            coins = self._store.followed_coins()[: self._settings.max_coins]
            if coins:
                next_s = time.monotonic() + UNIVERSE_EVERY_S
            self._names = CoinNames.of(coins)
            self.detector.set_thresholds(self._store.learned_thresholds())
            self._forget(self.public.follow([coin.symbol for coin in coins]))

        return turn

    def _hours_turn(self) -> Callable[[], None]:
        every_s = max(LEAST_HOURS_EVERY_S, self._clock.real_seconds(3600.0))
        next_s = time.monotonic() + every_s

        def turn() -> None:
            nonlocal next_s
            if time.monotonic() >= next_s:
                next_s = time.monotonic() + every_s
                self.filler.fill_hours(self.public.symbols)

        return turn

    def _forget(self, symbols: Iterable[str]) -> None:
        gone = list(symbols)
        self.book.forget(gone)
        for symbol in gone:
            self.detector.forget(symbol)
        self._live.forget(gone)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stopping.set()
