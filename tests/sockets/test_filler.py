"""What the streams cannot tell is asked for by REST, and no failure leaves a coin unfollowed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from tests.sockets.fake_market import FakeMarket
from tests.sockets.waiting import wait_until
from whalestack.clients.bybit.types import Kline, OpenInterestPoint
from whalestack.clock import ManualClock
from whalestack.config import Settings
from whalestack.db.engine import Database
from whalestack.db.market_store import MarketStore
from whalestack.sockets.detector import SpikeDetector, floors_of
from whalestack.sockets.filler import (
    HOUR_MS,
    MINUTE_MS,
    MOST_MINUTES,
    WARM_UP_HOURS,
    WARM_UP_MINUTES,
    HistoryFiller,
    Pace,
    rows_of,
)


class Bench:
    """A filler over a fake market and a real database."""

    def __init__(self, settings: Settings, db: Database, clock: ManualClock) -> None:
        self.clock, self.market, self.store = clock, FakeMarket(clock), MarketStore(db)
        self.detector = SpikeDetector(floors_of(settings))
        self.filler = HistoryFiller(
            self.market, self.store, self.detector, clock, pace=Pace(1000.0, sleep=lambda seconds: None)
        )

    def fill(self, *symbols: str, missed_minutes: float | None = None) -> None:
        self.detector.hold(symbols)
        done = self.filler.filled + self.filler.failed + len(symbols)
        self.filler.fill(symbols, missed_minutes)
        wait_until(lambda: self.filler.filled + self.filler.failed == done)

    def is_followed(self, symbol: str) -> bool:
        """Whether the detector takes the coin's ticks: a jump of 3 % is seen."""
        return self.detector.on_tick(symbol, self.clock.now_ms(), 103.0, 1000.0) is not None


@pytest.fixture
def bench(settings: Settings, db: Database, clock: ManualClock) -> Iterator[Bench]:
    one = Bench(settings, db, clock)
    yield one
    one.filler.stop()


def test_a_fresh_coin_knows_its_windows_at_the_first_tick(bench: Bench, db: Database) -> None:
    bench.fill("AIAUSDT")

    assert bench.is_followed("AIAUSDT")
    with db.begin() as work:
        counted = work.session.execute(text("select count(*), count(open_interest) from candles")).one()
    # The minute that is still open is left to the stream.
    assert (WARM_UP_MINUTES - 1, WARM_UP_MINUTES - 1) == tuple(counted)


def test_a_coin_whose_history_fails_is_followed_all_the_same(bench: Bench) -> None:
    bench.market.failing = {"AIAUSDT"}
    bench.fill("AIAUSDT", "BIOUSDT")

    assert (1, 1) == (bench.filler.filled, bench.filler.failed)
    assert bench.is_followed("BIOUSDT")
    assert not bench.is_followed("AIAUSDT")

    bench.clock.advance(60)
    assert bench.detector.on_tick("AIAUSDT", bench.clock.now_ms(), 110.0, 1000.0) is not None


def test_a_gap_is_asked_for_and_no_more(bench: Bench) -> None:
    bench.fill("AIAUSDT", missed_minutes=2.5)

    assert [("AIAUSDT", "1", 5)] == bench.market.asked


def test_a_restart_asks_for_what_the_database_lacks(bench: Bench) -> None:
    bench.fill("AIAUSDT")
    bench.clock.advance(300 * 60)
    bench.fill("AIAUSDT")
    bench.clock.advance(100_000 * 60)
    bench.fill("AIAUSDT")

    asked = [limit for _, what, limit in bench.market.asked if what == "1"]
    assert [WARM_UP_MINUTES, 303, MOST_MINUTES] == asked


def test_hours_are_stored_for_weeks_and_then_the_last_ones(bench: Bench) -> None:
    for expected in (WARM_UP_HOURS, 6):
        bench.filler.fill_hours(["AIAUSDT"])
        wait_until(lambda expected=expected: ("AIAUSDT", "60", expected) in bench.market.asked)
    bench.filler.stop()

    assert bench.clock.now_ms() // HOUR_MS * HOUR_MS - HOUR_MS == bench.store.last_bar_ms("AIAUSDT", "60")


def test_open_interest_counts_at_the_end_of_its_bar() -> None:
    """A point of 12:05 is that of the bar which ends then, not of the one that begins."""
    five = 5 * MINUTE_MS
    bars = [Kline("X", "1", five + n * MINUTE_MS, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0) for n in (-2, -1, 0)]
    rows = rows_of(bars, [OpenInterestPoint(0, 10.0), OpenInterestPoint(five, 20.0)], MINUTE_MS)

    assert [10.0, 20.0, 20.0] == [row.open_interest for row in rows]


def test_calls_leave_at_an_even_rate() -> None:
    slept: list[float] = []
    pace = Pace(10.0, sleep=slept.append)

    for _ in range(4):
        pace.wait()

    assert [pytest.approx(expected, abs=0.05) for expected in (0.1, 0.2, 0.3)] == slept
