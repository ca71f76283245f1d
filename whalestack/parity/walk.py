"""Walks a running system through its market: one price point, then everything it sets off.

What the schedule would do every so many seconds is done here when the backtest does it, see `step_to`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from whalestack.backtest.prepared import PreparedMarket
from whalestack.backtest.series import POINT_MS
from whalestack.clock import from_ms
from whalestack.db.heatmap_rows import StoredMap
from whalestack.db.heatmap_store import latest_maps
from whalestack.db.market_store import MarketStore
from whalestack.db.trading_store import active_plans
from whalestack.dispatch import Job
from whalestack.errors import StopAndTell
from whalestack.parity.held_jobs import MARK, symbol_of
from whalestack.parity.past import HOUR_MS, hour_rows, write_past
from whalestack.parity.system import SteppedSystem
from whalestack.sockets.keeper import StreamKeeper
from whalestack.sockets.links import BybitLink

NEWS = ("trade.", "trailing.")
TRIGGERS = ("trade.spike_seen", "scan.spike_seen")
# What repairs lost messages has nothing to do here, and is seen to have nothing to do.
EVERY_MINUTE = ("trade.reconcile", "trade.poll", "trade.sweep", "trailing.watchdog")
WHILE_PLANS_LIVE = ("trade.expire_plans", "trailing.sweep")
LESSONS = ("history.patterns", "history.thresholds")
MINUTE_MS = 60_000
GIVE_UP_S = 60.0
LOOK_EVERY_S = 0.001


@dataclass
class Walk:
    """One walk.

    Args:
        system: at its first moment.
        market: the same one, prepared for the backtest: its past and the order of its coins.
        rounds: every coin's maps at each refresh so far.
    """

    system: SteppedSystem
    market: PreparedMarket
    rounds: list[list[StoredMap]] = field(default_factory=list)

    # --- the way ------------------------------------------------------------------------------

    def warm_up(self, begin_ms: int) -> None:
        """Hear the market up to a moment without acting, so that its windows are full of price points."""
        self._until(self._is_warm, "the streams have no history")
        start_ms = self.system.clock.now_ms()
        for now_ms in range(start_ms + POINT_MS, begin_ms, POINT_MS):
            self.system.clock.set_ms(now_ms)
            self._hear()
        self._write()
        self._await_jobs()
        self.system.held.take(lambda _: True)
        self.system.streams.detector.tell_anew()

    def begin(self, now_ms: int) -> None:
        """Everything that a system does before it trades: maps, coins' records, a comparison with the
        exchange; then the moment's own step."""
        write_past(self.system.runtime.db, self.market, now_ms)
        self._refresh(now_ms)
        self.system.clock.set_ms(now_ms)
        self._learn()
        self._run("trade.reconcile")
        self._act(now_ms)

    def step_to(self, now_ms: int) -> None:
        """Move the market to its next price point, and do everything that follows from it.

        In the backtest's order: maps before the point, if a refresh is due; the exchange's news; plans
        that end and stops that follow; then the coins that triggered, each until it has no more to do.
        """
        if now_ms % (self.system.settings.refresh_interval_s * 1000) == 0:
            self._refresh(now_ms)
        self.system.clock.set_ms(now_ms)
        if now_ms % HOUR_MS == 0:
            MarketStore(self.system.runtime.db).put_bars(hour_rows(self.market, now_ms - HOUR_MS))
        self._act(now_ms)

    def _act(self, now_ms: int) -> None:
        self._hear()
        self._take_news()
        if now_ms % MINUTE_MS == 0:
            self._run_all(EVERY_MINUTE)
        if self._has_plans():
            self._run_all(WHILE_PLANS_LIVE)
        self._consider()
        # What was done on the exchange is told on the private stream.
        self._hear()
        self._take_news()

    def _refresh(self, now_ms: int) -> None:
        """What has closed by now is judged and mapped, before anything of the next candle is seen."""
        self.system.clock.set_ms(now_ms - 1)
        for symbol in self.market.coins:
            self.system.streams.book.keep(symbol)
        self._write()
        self._run_all(("history.outcomes", "heatmap.refresh"))
        with self.system.runtime.reading() as session:
            since = from_ms(now_ms - POINT_MS)
            self.rounds.append(latest_maps(session, since=since))

    def _learn(self) -> None:
        self._run_all(LESSONS)
        store = MarketStore(self.system.runtime.db)
        self.system.streams.detector.set_thresholds(store.learned_thresholds())

    # --- its parts ----------------------------------------------------------------------------

    def _take_news(self) -> None:
        """Write what was heard, then let what the exchange told be done, until nothing is left."""
        while True:
            self._await_jobs()
            self._write()
            if not self.system.held.let_go(
                lambda job: job.task.startswith(NEWS) and job.task not in TRIGGERS
            ):
                return
            self.system.idle.wait()
            self._hear()

    def _consider(self) -> None:
        """Have each coin that triggered be considered, in the market's order. Re-fetches are left out."""
        jobs = self.system.held.take(lambda _: True)
        order = list(self.market.coins)
        triggers = [job for job in jobs if job.task in TRIGGERS]
        for job in sorted(triggers, key=lambda job: order.index(symbol_of(job))):
            self.system.runtime.dispatcher.send(job)
            self.system.idle.wait()

    def _await_jobs(self) -> None:
        for sender in self.system.streams.senders:
            sender.post(Job(MARK))
            if not self.system.held.marked.acquire(timeout=GIVE_UP_S):
                raise StopAndTell("the streams' jobs do not leave")

    def _write(self) -> None:
        self.system.streams.recorder.show_changes(all_coins=True)
        self.system.streams.recorder.store_due()

    def _hear(self) -> None:
        """Have the simulator take its step, and wait until every frame of it was heard."""
        frames = self.system.ask_simulator("POST", "/sim/step")["frames"]
        if not isinstance(frames, dict):
            raise StopAndTell("the simulator does not count its frames")
        for path, keepers in self._keepers():
            self._await_frames(keepers, int(frames.get(f"WS {path}", 0)), path)

    def _await_frames(self, keepers: list[StreamKeeper], sent: int, path: str) -> None:
        self._until(lambda: heard(keepers) >= sent, f"{path} is not heard")

    def _keepers(self) -> Iterator[tuple[str, list[StreamKeeper]]]:
        streams = self.system.streams
        yield "/v5/public/linear", streams.public.keepers
        yield "/v5/private", [each for each in streams.others if each.name == "private"]

    def _run_all(self, tasks: tuple[str, ...]) -> None:
        for task in tasks:
            self._run(task)

    def _run(self, task: str) -> None:
        self.system.runtime.dispatcher.send(Job(task))
        self.system.idle.wait()

    def _has_plans(self) -> bool:
        with self.system.runtime.reading() as session:
            return bool(active_plans(session))

    def _is_warm(self) -> bool:
        status = self.system.streams.status()
        return status.history_filled >= status.coins >= len(self.market.coins) and all(
            status.streams.values()
        )

    def _until(self, holds: Callable[[], bool], otherwise: str) -> None:
        end_s = time.monotonic() + GIVE_UP_S
        while not holds():
            if time.monotonic() > end_s:
                raise StopAndTell(f"after {GIVE_UP_S:.0f} s {otherwise}")
            time.sleep(LOOK_EVERY_S)


def heard(keepers: list[StreamKeeper]) -> int:
    """Frames that came in on these streams' links."""
    return sum(each.link.frames for each in keepers if isinstance(each.link, BybitLink))
