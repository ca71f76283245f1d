"""Movers, spikes and thresholds, from minutes in a real database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import event, select

from tests.scanners.market_rows import add_minutes, add_thresholds
from whalestack.clock import ManualClock
from whalestack.config import Settings
from whalestack.db.engine import Database
from whalestack.db.live import LiveMarket
from whalestack.db.market_frames import load_frame
from whalestack.db.models import CoinThreshold, FastPriceMover, OiVolumeSpike
from whalestack.dispatch import Job, RecordingDispatcher
from whalestack.errors import TryAgain
from whalestack.math.triggers import MarketMove, is_mover
from whalestack.scanners.movers import MoverScanner
from whalestack.scanners.moves import MinuteMoves, MoveScanner, load_minute
from whalestack.scanners.spikes import SpikeScanner
from whalestack.scanners.thresholds import ThresholdScanner, floors_of, load_thresholds

HOUR = 70  # minutes that every window needs


@pytest.fixture
def live(redis_state_url: str) -> Iterator[LiveMarket]:
    with redis.Redis.from_url(redis_state_url) as client:
        yield LiveMarket(client)


@dataclass
class Looking:
    """One looker, shown the minute that has just closed."""

    db: Database
    settings: Settings
    clock: ManualClock
    looker: MoverScanner | SpikeScanner

    def scan(self) -> Any:
        with self.db.begin() as work:
            minute = load_minute(work.session, self.settings, self.clock.now())
        return self.looker.look(minute)


@pytest.fixture
def movers(db: Database, live: LiveMarket, settings: Settings, clock: ManualClock) -> Looking:
    looker = MoverScanner(db=db, live=live, settings=settings, clock=clock)
    return Looking(db, settings, clock, looker)


@pytest.fixture
def spikes(db: Database, live: LiveMarket, settings: Settings, clock: ManualClock) -> Looking:
    looker = SpikeScanner(db=db, live=live, settings=settings, clock=clock)
    return Looking(db, settings, clock, looker)


def test_a_frame_holds_the_closed_minutes_of_all_coins(db: Database, clock: ManualClock):
    """Two coins, the second with a gap; the minute that is open now is not in it."""
    now = clock.now()
    add_minutes(db, "AUSDT", now, [1.0, 2.0, 3.0], interest=[None, 5.0, 6.0])
    add_minutes(db, "BUSDT", now - timedelta(minutes=1), [7.0])
    clock.advance(30)
    with db.begin() as work:
        frame = load_frame(work.session, now=clock.now(), minutes=3)
    assert frame.symbols == ("AUSDT", "BUSDT")
    assert frame.ended_at == now
    assert frame.prices.tolist()[0] == [1.0, 2.0, 3.0]
    assert [value == value for value in frame.prices.tolist()[1]] == [False, True, False]
    assert frame.prices[1, 1] == 7.0
    assert frame.open_interest.tolist()[0][1:] == [5.0, 6.0]


def test_an_empty_market_has_no_movers_and_no_spikes(movers: Looking, spikes: Looking):
    """Nothing recorded yet is not an error."""
    assert movers.scan().coins == 0
    assert spikes.scan().coins == 0


def test_movers_are_stored_and_refetched_fastest_first(
    db: Database,
    movers: Looking,
    clock: ManualClock,
    dispatcher: RecordingDispatcher,
    settings: Settings,
):
    """A: +3 % in a minute. B: -6 % over five. C: +1 %, not a mover."""
    add_minutes(db, "AUSDT", clock.now(), [100.0] * HOUR + [103.0])
    add_minutes(db, "BUSDT", clock.now(), [100.0] * HOUR + [99.0, 98.0, 97.0, 95.5, 94.0])
    add_minutes(db, "CUSDT", clock.now(), [100.0] * HOUR + [101.0])
    report = movers.scan()
    assert (report.coins, report.movers, report.refetched) == (3, ("BUSDT", "AUSDT"), ("BUSDT", "AUSDT"))
    assert dispatcher.jobs == [
        Job("refetch.coin", {"symbol": symbol, "reason": "mover"}, expires_s=settings.heatmap_max_age_s)
        for symbol in ("BUSDT", "AUSDT")
    ]
    with db.begin() as work:
        rows = {row.symbol: row for row in work.session.scalars(select(FastPriceMover))}
    assert rows["AUSDT"].price_1min_change == pytest.approx(3.0)
    assert rows["BUSDT"].price_5min_change == pytest.approx(-6.0)
    assert {row.detected_at for row in rows.values()} == {clock.now()}


def test_a_second_look_at_the_same_minute_changes_nothing(
    db: Database, movers: Looking, clock: ManualClock, dispatcher: RecordingDispatcher
):
    """Beat twice, or a redelivered task: one row, one refetch."""
    add_minutes(db, "AUSDT", clock.now(), [100.0] * HOUR + [103.0])
    movers.scan()
    assert movers.scan().refetched == ()
    with db.begin() as work:
        assert len(work.session.scalars(select(FastPriceMover)).all()) == 1
    assert len(dispatcher.jobs) == 1


def test_what_is_ordinary_for_a_coin_is_no_mover(db: Database, movers: Looking, clock: ManualClock):
    """A coin that often moves 4 % in a minute must move more than that; learned never undercuts the floor."""
    for symbol, learned in (("AUSDT", 4.0), ("BUSDT", 0.1), ("CUSDT", None)):
        add_minutes(db, symbol, clock.now(), [100.0] * HOUR + [103.0 if symbol == "AUSDT" else 101.9])
        if learned is not None:
            add_thresholds(db, symbol, clock.now(), mover_1m_pct=learned)
    assert movers.scan().movers == ()


def test_a_coin_without_a_bar_for_the_minute_is_left_out(db: Database, movers: Looking, clock: ManualClock):
    """Its last bar is two minutes old: what it did in the last minute is not known."""
    add_minutes(db, "AUSDT", clock.now() - timedelta(minutes=2), [100.0] * HOUR + [110.0])
    assert movers.scan().coins == 0


def test_a_mover_is_stored_without_redis(
    db: Database, settings: Settings, clock: ManualClock, dispatcher: RecordingDispatcher
):
    """The cool-down is not known then, and the next refresh brings the maps anyway."""
    dead = LiveMarket(redis.Redis(port=1, retry=Retry(NoBackoff(), 0)))
    add_minutes(db, "AUSDT", clock.now(), [100.0] * HOUR + [103.0])
    looker = MoverScanner(db=db, live=dead, settings=settings, clock=clock)
    report = Looking(db, settings, clock, looker).scan()
    assert (report.movers, report.refetched, dispatcher.jobs) == (("AUSDT",), (), [])


def test_spikes_of_interest_or_volume(
    db: Database, spikes: Looking, clock: ManualClock, dispatcher: RecordingDispatcher
):
    """A: open interest -4 %. B: volume 3 times. C: both with the price: told to the signal scanner.

    The spikes are ordered by how many times their threshold they reach: C 10/1.5, B 3/1.5, A 4/3.
    """
    flat = [100.0] * HOUR
    add_minutes(db, "AUSDT", clock.now(), [*flat, 100.0], interest=[1000.0] * HOUR + [960.0])
    add_minutes(db, "BUSDT", clock.now(), [*flat, *flat[:5]], turnover=[10.0] * HOUR + [30.0] * 5)
    add_minutes(
        db, "CUSDT", clock.now(), [*flat, *[102.0] * 5],
        turnover=[10.0] * HOUR + [100.0] * 5, interest=[1000.0] * HOUR + [1050.0] * 5,
    )  # fmt: skip
    report = spikes.scan()
    assert (report.spikes, report.triggers) == (("CUSDT", "BUSDT", "AUSDT"), ("CUSDT",))
    assert Job("scan.spike_seen", {"symbol": "CUSDT"}, expires_s=60) in dispatcher.jobs
    refetches = [job.kwargs["symbol"] for job in dispatcher.jobs if job.task == "refetch.coin"]
    assert refetches == ["CUSDT", "BUSDT", "AUSDT"]
    with db.begin() as work:
        rows = {row.symbol: row for row in work.session.scalars(select(OiVolumeSpike))}
    assert rows["AUSDT"].oi_change_pct == pytest.approx(-4.0)
    assert rows["BUSDT"].volume_spike_ratio == pytest.approx(3.0)
    assert rows["CUSDT"].price_change_pct == pytest.approx(2.0)


def test_a_mover_and_a_spike_of_one_coin_are_one_refetch(
    db: Database,
    movers: Looking,
    spikes: Looking,
    clock: ManualClock,
    dispatcher: RecordingDispatcher,
):
    """One cool-down for whoever asks; over, it is asked for again."""
    add_minutes(db, "AUSDT", clock.now(), [100.0] * HOUR + [110.0], turnover=[10.0] * HOUR + [90.0])
    assert movers.scan().refetched == ("AUSDT",)
    assert spikes.scan().refetched == ()


def test_unknown_open_interest_is_no_spike(db: Database, spikes: Looking, clock: ManualClock):
    """A coin whose open interest was never seen is judged by its volume."""
    add_minutes(db, "AUSDT", clock.now(), [100.0] * 71, interest=None)
    report = spikes.scan()
    assert (report.coins, report.spikes) == (1, ())


@contextmanager
def statements(db: Database) -> Iterator[list[str]]:
    """What is asked of the database in the block."""
    asked: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(db.engine, "before_cursor_execute", note)


def test_the_market_is_read_once_a_minute_for_movers_and_spikes(
    db: Database, movers: Looking, spikes: Looking, settings: Settings, clock: ManualClock
):
    """Both look at the same frame: one reading of the candles, two services, two tables."""
    for symbol in ("AUSDT", "BUSDT", "CUSDT"):
        add_minutes(db, symbol, clock.now(), [100.0] * HOUR + [103.0], turnover=[10.0] * HOUR + [90.0])
    both = MoveScanner(db=db, settings=settings, clock=clock, lookers=(movers.looker, spikes.looker))
    with statements(db) as asked:
        both.scan()
    assert len([text for text in asked if "from candles" in text]) == 1
    with db.begin() as work:
        assert len(work.session.scalars(select(FastPriceMover)).all()) == 3
        assert len(work.session.scalars(select(OiVolumeSpike)).all()) == 3


def test_where_one_looker_fails_the_other_has_looked(
    db: Database, spikes: Looking, settings: Settings, clock: ManualClock
):
    """The error goes on to the task, after everybody's turn."""

    class Broken:
        def look(self, minute: MinuteMoves) -> None:
            raise TryAgain("the database was away for a moment")

    add_minutes(db, "AUSDT", clock.now(), [100.0] * HOUR + [100.0], interest=[1000.0] * HOUR + [960.0])
    both = MoveScanner(db=db, settings=settings, clock=clock, lookers=(Broken(), spikes.looker))
    with pytest.raises(TryAgain):
        both.scan()
    with db.begin() as work:
        assert len(work.session.scalars(select(OiVolumeSpike)).all()) == 1


def wave(minutes: int) -> list[float]:
    """A price that jumps by 5 % every fifth minute and back."""
    return [105.0 if index % 10 == 5 else 100.0 for index in range(minutes)]


def test_thresholds_are_learned_from_the_coins_own_past(db: Database, settings: Settings, clock: ManualClock):
    """A fifth of its minutes move by about 5 %: that is its 95th percentile, above the floor of 2 %.

    315 five-minute changes a minute apart are 63 observations; an hour of them would not be enough.
    """
    add_thresholds(db, "AUSDT", clock.now())
    add_thresholds(db, "BUSDT", clock.now())
    add_minutes(db, "AUSDT", clock.now(), wave(320))
    add_minutes(db, "BUSDT", clock.now(), wave(90))
    report = ThresholdScanner(db=db, settings=settings, clock=clock).scan()
    assert (report.learned, report.too_little) == (("AUSDT",), ("BUSDT",))
    with db.begin() as work:
        in_force = load_thresholds(work.session, settings)
        stored = work.session.get_one(CoinThreshold, "AUSDT")
    assert in_force["AUSDT"].mover_1m_pct == pytest.approx(5.0)
    assert in_force["BUSDT"].mover_1m_pct == settings.mover_1m_pct
    assert in_force["AUSDT"].volume_ratio == settings.trigger_volume_ratio
    assert (stored.observations, stored.avg_cluster_size) == (63, 10.0)


def test_thresholds_are_learned_again_after_a_day(db: Database, settings: Settings, clock: ManualClock):
    """Fresh ones rest; one with too little past is looked at again after an hour."""
    scanner = ThresholdScanner(db=db, settings=settings, clock=clock)
    add_thresholds(db, "AUSDT", clock.now())
    add_thresholds(db, "BUSDT", clock.now())
    add_minutes(db, "AUSDT", clock.now(), wave(320))
    add_minutes(db, "BUSDT", clock.now(), [100.0] * 20)
    scanner.scan()
    assert scanner.scan().learned == ()
    clock.advance(3601)
    again = scanner.scan()
    assert (again.learned, again.too_little) == ((), ("BUSDT",))
    clock.advance(86_400)
    assert set(scanner.scan().learned) == {"AUSDT"}


def test_one_coin_is_learned_on_demand(db: Database, settings: Settings, clock: ManualClock):
    """Before a trade; a coin without a row has nowhere to write and does no harm."""
    scanner = ThresholdScanner(db=db, settings=settings, clock=clock)
    add_thresholds(db, "AUSDT", clock.now())
    add_minutes(db, "AUSDT", clock.now(), wave(320))
    assert scanner.refresh("AUSDT").learned == ("AUSDT",)
    assert scanner.refresh("NOUSDT").too_little == ("NOUSDT",)


LEARNED = ("oi_change_pct", "volume_ratio", "price_change_pct", "mover_1m_pct", "mover_5m_pct")


@pytest.mark.parametrize("cut", [330, 347, 391, 450, 511])
def test_thresholds_never_look_into_the_future(
    db: Database, settings: Settings, clock: ManualClock, cut: int
):
    """What is learned at a moment is the same whether or not the market's later minutes are known.

    The minutes after the cut are wild, so a single one of them that counted would show; the bar
    that is still open at the cut is in the table too, as the stream writes it.
    """
    random = np.random.default_rng(cut)
    calm = 100 * np.exp(np.cumsum(random.normal(0, 0.02, cut)))
    wild = calm[-1] * np.exp(np.cumsum(random.normal(0, 0.3, 40)))
    turnover = np.concatenate([random.uniform(5, 15, cut), random.uniform(1e3, 1e5, 40)])
    interest = np.concatenate([1000 + 30 * random.random(cut), random.uniform(100, 9000, 40)])
    end = clock.now() + timedelta(minutes=40)
    columns = {"turnover": turnover.tolist(), "interest": interest.tolist()}
    add_minutes(db, "AUSDT", end, [*calm.tolist(), *wild.tolist()], **columns)
    add_minutes(
        db, "BUSDT", clock.now(), calm.tolist(),
        turnover=turnover[:cut].tolist(), interest=interest[:cut].tolist(),
    )  # fmt: skip
    clock.advance(30)
    for symbol in ("AUSDT", "BUSDT"):
        add_thresholds(db, symbol, clock.now())
    report = ThresholdScanner(db=db, settings=settings, clock=clock).scan()
    assert set(report.learned) == {"AUSDT", "BUSDT"}
    with db.begin() as work:
        knows_more, knows_less = (work.session.get_one(CoinThreshold, each) for each in ("AUSDT", "BUSDT"))
        learned = [[getattr(row, name) for name in LEARNED] for row in (knows_more, knows_less)]
    assert learned[0] == learned[1]
    assert learned[0][3] > settings.mover_1m_pct


def test_what_was_learned_stays_until_it_is_learned_again(
    db: Database, settings: Settings, clock: ManualClock
):
    """A wild hour after the learning is judged by what was learned before it: it cannot excuse itself."""
    scanner = ThresholdScanner(db=db, settings=settings, clock=clock)
    add_thresholds(db, "AUSDT", clock.now())
    add_minutes(db, "AUSDT", clock.now(), [100.0] * 320)
    scanner.scan()
    clock.advance(3600)
    add_minutes(db, "AUSDT", clock.now(), wave(60))
    scanner.scan()
    with db.begin() as work:
        assert load_thresholds(work.session, settings)["AUSDT"].mover_1m_pct == settings.mover_1m_pct


def test_a_coin_with_little_history_keeps_the_floors_in_every_measure(
    db: Database, settings: Settings, clock: ManualClock
):
    """59 observations of 60 wanted: however wild they were, the design's figures stand."""
    add_thresholds(db, "AUSDT", clock.now())
    add_minutes(db, "AUSDT", clock.now(), wave(59 * 5 + 5))
    ThresholdScanner(db=db, settings=settings, clock=clock).scan()
    with db.begin() as work:
        assert load_thresholds(work.session, settings)["AUSDT"] == floors_of(settings)


def test_two_coins_with_the_same_move_are_judged_by_their_own_past(
    db: Database, settings: Settings, clock: ManualClock
):
    """5 % in a minute is an ordinary minute of the one and a mover of the other."""
    for symbol, past in (("AUSDT", wave(320)), ("BUSDT", [100.0] * 320)):
        add_thresholds(db, symbol, clock.now())
        add_minutes(db, symbol, clock.now(), past)
    ThresholdScanner(db=db, settings=settings, clock=clock).scan()
    with db.begin() as work:
        learned = load_thresholds(work.session, settings)
    move = MarketMove(4.9, None, None, None)
    assert [is_mover(move, learned[symbol]) for symbol in ("AUSDT", "BUSDT")] == [False, True]
