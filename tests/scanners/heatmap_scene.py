"""A heat-map scanner and everything around it, for tests of rounds."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import select

from tests.scanners.heatmap_parts import FakeCoinglass, add_coins
from whalestack.clock import ManualClock
from whalestack.config import Settings
from whalestack.db.engine import Database
from whalestack.db.live import LiveTick
from whalestack.db.map_heads import map_ages
from whalestack.db.models import LiquidationSnapshot, RefreshRound
from whalestack.dispatch import Job, RecordingDispatcher
from whalestack.scanners.heatmap import HeatmapScanner


class Scene:
    """A scanner and everything around it."""

    def __init__(
        self, db: Database, dispatcher: RecordingDispatcher, clock: ManualClock, settings: Settings
    ) -> None:
        self.db, self.dispatcher, self.clock, self.settings = db, dispatcher, clock, settings
        self.coinglass = FakeCoinglass(clock=clock)
        self.live: FakeLive | None = None
        self._scanners: list[HeatmapScanner] = []

    def scanner(self, **changes: object) -> HeatmapScanner:
        settings = self.settings.model_copy(update={"heatmap_concurrency": 2, **changes})
        scanner = HeatmapScanner(
            db=self.db, coinglass=self.coinglass, settings=settings, clock=self.clock, live=self.live
        )
        self._scanners.append(scanner)
        return scanner

    def add(self, *symbols: str, **changes: object) -> None:
        add_coins(self.db, self.clock.now(), *symbols, **changes)

    def jobs(self, task: str) -> list[Job]:
        return [job for job in self.dispatcher.jobs if job.task == task]

    def run_round(self, scanner: HeatmapScanner) -> int:
        report = scanner.start_round()
        assert report.round_id is not None, report.reason
        for job in self.jobs("heatmap.fetch_batch"):
            if job.kwargs["round_id"] == report.round_id:
                scanner.fetch_batch(**job.kwargs)  # type: ignore[arg-type]
        return report.round_id

    def round(self, round_id: int) -> RefreshRound:
        with self.db.begin() as work:
            found = work.session.get(RefreshRound, round_id)
            assert found is not None
            return found

    def snapshots(self, symbol: str) -> dict[str, LiquidationSnapshot]:
        """The latest of each range."""
        with self.db.begin() as work:
            query = select(LiquidationSnapshot).where(LiquidationSnapshot.symbol == symbol)
            rows = work.session.scalars(query.order_by(LiquidationSnapshot.fetched_at))
            return {row.timeframe: row for row in rows}

    def fetched_at(self, symbol: str, timeframe: str) -> datetime | None:
        """When a map last came."""
        with self.db.begin() as work:
            ages = {(age.symbol, age.timeframe): age.fetched_at for age in map_ages(work.session)}
        return ages[symbol, timeframe]

    def close(self) -> None:
        for scanner in self._scanners:
            scanner.close()


class FakeLive:
    """Bybit's prices."""

    def __init__(self, clock: ManualClock, prices: dict[str, float], error: Exception | None = None) -> None:
        self._clock, self._prices, self._error = clock, prices, error

    def get_many(self, symbols: Iterable[str]) -> dict[str, LiveTick]:
        if self._error:
            raise self._error
        return {name: LiveTick(name, self._clock.now_ms(), self._prices[name]) for name in symbols}
