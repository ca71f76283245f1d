"""A signal: a watched coin begins to move the way it is ranked."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import insert, select

from tests.scanners.market_rows import add_minutes, add_ranking, add_thresholds
from whalestack.clock import ManualClock
from whalestack.config import Settings
from whalestack.db.engine import Database
from whalestack.db.live import LiveMarket, LiveTick
from whalestack.db.models import MarketTick, OutboxMessage, Signal
from whalestack.dispatch import Job, RecordingDispatcher
from whalestack.math.triggers import MarketMove
from whalestack.scanners.signals import SeenMove, SignalScanner


@pytest.fixture
def live(redis_state_url: str) -> Iterator[LiveMarket]:
    with redis.Redis.from_url(redis_state_url) as client:
        yield LiveMarket(client)


@pytest.fixture
def scanner(db: Database, live: LiveMarket, settings: Settings, clock: ManualClock) -> SignalScanner:
    return SignalScanner(db=db, live=live, settings=settings, clock=clock)


def add_burst(db: Database, clock: ManualClock, symbol: str = "AUSDT", *, price: float = 102.0) -> None:
    """Over an hour of quiet, then five minutes of +2 %, +5 % open interest, 4 times the volume."""
    add_minutes(
        db, symbol, clock.now(), [100.0] * 75 + [price] * 5,
        turnover=[10.0] * 75 + [40.0] * 5, interest=[1000.0] * 75 + [1050.0] * 5,
    )  # fmt: skip


def signals(db: Database) -> list[Signal]:
    with db.begin() as work:
        return list(work.session.scalars(select(Signal).order_by(Signal.id)))


def test_a_watched_coin_that_triggers_makes_a_signal_a_message_and_a_job(
    db: Database,
    scanner: SignalScanner,
    clock: ManualClock,
    dispatcher: RecordingDispatcher,
    settings: Settings,
):
    """All in one transaction; the job leaves after it."""
    add_burst(db, clock)
    add_ranking(db, "AUSDT", clock.now() - timedelta(minutes=1), 2)
    report = scanner.consider("AUSDT")
    assert report.reasons == ()
    [signal] = signals(db)
    assert (signal.id, signal.symbol, signal.direction, signal.rank) == (report.signal_id, "AUSDT", "LONG", 2)
    assert (signal.status, signal.scanner, signal.score) == ("new", "signals", 90.0)
    assert signal.price == 102.0
    assert signal.price_change_pct == pytest.approx(2.0)
    assert signal.oi_change_pct == pytest.approx(5.0)
    assert signal.volume_spike_ratio == pytest.approx(4.0)
    with db.begin() as work:
        messages = work.session.scalars(select(OutboxMessage)).all()
    assert messages
    assert {(message.kind, message.event_key, message.symbol) for message in messages} == {
        ("signal", f"signal:{signal.id}", "AUSDT")
    }
    assert all("AUSDT" in message.text and "LONG" in message.text for message in messages)
    job = Job("trade.act_on_signal", {"signal_id": signal.id}, expires_s=settings.signal_max_age_s)
    assert job in dispatcher.jobs


def test_who_has_the_traders_act_at_once_sends_them_no_job(
    db: Database, scanner: SignalScanner, clock: ManualClock, dispatcher: RecordingDispatcher
) -> None:
    """The message leaves all the same."""
    add_burst(db, clock)
    add_ranking(db, "AUSDT", clock.now() - timedelta(minutes=1), 2)
    assert scanner.consider("AUSDT", hand_on=False).signal_id is not None
    assert {job.task for job in dispatcher.jobs} == {"broadcast.deliver"}


@pytest.mark.parametrize(
    ("ranking", "reason"),
    [
        (None, "there is no ranking yet"),
        ({"rank": 4}, "rank 4, watched are the first 3"),
        ({"rank": None}, "not ranked: neutral"),
        ({"rank": 1, "symbol": "ZUSDT"}, "not in the latest ranking"),
        ({"rank": 1, "age_s": 901}, "the latest ranking is 901 s old"),
        ({"rank": 1, "direction": "NEUTRAL"}, "ranked NEUTRAL"),
    ],
)
def test_a_coin_that_is_not_watched_makes_none_and_says_why(
    db: Database, scanner: SignalScanner, clock: ManualClock, dispatcher: RecordingDispatcher, ranking, reason
):
    """However hard it moves."""
    add_burst(db, clock)
    if ranking is not None:
        at = clock.now() - timedelta(seconds=ranking.get("age_s", 60))
        add_ranking(db, ranking.get("symbol", "AUSDT"), at, ranking["rank"], ranking.get("direction", "LONG"))
    report = scanner.consider("AUSDT")
    assert (report.signal_id, report.reasons) == (None, (reason,))
    assert (signals(db), dispatcher.jobs) == ([], [])


def test_only_the_latest_ranking_counts(db: Database, scanner: SignalScanner, clock: ManualClock):
    """First a minute ago, fifth now."""
    add_burst(db, clock)
    add_ranking(db, "AUSDT", clock.now() - timedelta(minutes=2), 1)
    add_ranking(db, "AUSDT", clock.now() - timedelta(minutes=1), 5)
    assert scanner.consider("AUSDT").reasons == ("rank 5, watched are the first 3",)


def test_a_move_against_the_ranking_is_no_signal(db: Database, scanner: SignalScanner, clock: ManualClock):
    """Ranked SHORT, the price rises."""
    add_burst(db, clock)
    add_ranking(db, "AUSDT", clock.now(), 1, "SHORT")
    [reason] = scanner.consider("AUSDT").reasons
    assert reason == "price toward SHORT -2.00 %, 1.00 % needed"


def test_a_short_is_the_mirror(db: Database, scanner: SignalScanner, clock: ManualClock):
    """Ranked SHORT, the price falls by 2 % while open interest rises."""
    add_burst(db, clock, price=98.0)
    add_ranking(db, "AUSDT", clock.now(), 1, "SHORT")
    assert scanner.consider("AUSDT").signal_id is not None
    assert signals(db)[0].price_change_pct == pytest.approx(-2.0)


def test_the_coins_own_thresholds_count(db: Database, scanner: SignalScanner, clock: ManualClock):
    """5 % of open interest is ordinary for a coin that has learned 6 %."""
    add_burst(db, clock)
    add_ranking(db, "AUSDT", clock.now(), 1)
    add_thresholds(db, "AUSDT", clock.now(), oi_change_pct=6.0)
    assert scanner.consider("AUSDT").reasons == ("open interest 5.00 %, 6.00 % needed",)


def test_one_occasion_makes_one_signal(
    db: Database, scanner: SignalScanner, clock: ManualClock, dispatcher: RecordingDispatcher
):
    """Seen again a second later, and again over the edge of the time slot, it is the same occasion."""
    clock.advance(840)
    add_burst(db, clock)
    add_ranking(db, "AUSDT", clock.now(), 1)
    first = scanner.consider("AUSDT")
    clock.advance(1)
    second = scanner.consider("AUSDT")
    clock.advance(59)
    add_minutes(db, "AUSDT", clock.now(), [105.0], turnover=60.0, interest=1060.0)
    third = scanner.consider("AUSDT")
    assert first.signal_id is not None
    assert second.reasons == third.reasons == ("this occasion has its signal",)
    assert len([job for job in dispatcher.jobs if job.task == "trade.act_on_signal"]) == 1


def test_many_workers_at_once_make_one_signal(
    db: Database, scanner: SignalScanner, clock: ManualClock, dispatcher: RecordingDispatcher
):
    """The database decides the race: one row, one message for each channel, one job."""
    add_burst(db, clock)
    add_ranking(db, "AUSDT", clock.now(), 1)
    with ThreadPoolExecutor(6) as pool:
        reports = list(pool.map(scanner.consider, ["AUSDT"] * 12))
    assert len([report for report in reports if report.signal_id is not None]) == 1
    assert len(signals(db)) == 1
    assert len([job for job in dispatcher.jobs if job.task == "trade.act_on_signal"]) == 1


def test_after_the_cool_down_there_is_a_new_occasion(
    db: Database, scanner: SignalScanner, clock: ManualClock
):
    """A second burst half an hour later."""
    add_burst(db, clock)
    add_ranking(db, "AUSDT", clock.now(), 1)
    assert scanner.consider("AUSDT").signal_id is not None
    clock.advance(1800)
    add_minutes(
        db, "AUSDT", clock.now(), [102.0] * 25 + [105.0] * 5,
        turnover=[20.0] * 25 + [90.0] * 5, interest=[1050.0] * 25 + [1200.0] * 5,
    )  # fmt: skip
    add_ranking(db, "AUSDT", clock.now(), 1)
    assert scanner.consider("AUSDT").signal_id is not None
    assert len(signals(db)) == 2


def test_the_tick_of_this_second_decides(
    db: Database, scanner: SignalScanner, live: LiveMarket, clock: ManualClock
):
    """The bars are quiet in price; the live tick, a moment newer, is not."""
    add_minutes(
        db, "AUSDT", clock.now(), [100.0] * 80,
        turnover=[10.0] * 75 + [40.0] * 5, interest=[1000.0] * 80,
    )  # fmt: skip
    add_ranking(db, "AUSDT", clock.now(), 1)
    assert scanner.consider("AUSDT").signal_id is None
    live.put_many([LiveTick("AUSDT", clock.now_ms() + 50, last=103.0, open_interest=1040.0)])
    assert scanner.consider("AUSDT").signal_id is not None
    assert signals(db)[0].price == 103.0


def test_a_coin_without_a_fresh_price_makes_none(db: Database, scanner: SignalScanner, clock: ManualClock):
    """Its last bar is ten minutes old."""
    add_burst(db, clock)
    clock.advance(600)
    add_ranking(db, "AUSDT", clock.now(), 1)
    assert scanner.consider("AUSDT").reasons == ("no fresh price",)


def test_without_redis_the_databases_latest_tick_counts(db: Database, settings: Settings, clock: ManualClock):
    """The state Redis being away must not lose a signal."""
    dead = LiveMarket(redis.Redis(port=1, retry=Retry(NoBackoff(), 0)))
    add_burst(db, clock, price=100.0)
    add_ranking(db, "AUSDT", clock.now(), 1)
    with db.begin() as work:
        tick = {"symbol": "AUSDT", "ts": clock.now(), "price": 104.0, "open_interest": 1060.0}
        work.session.execute(insert(MarketTick).values(**tick))
    report = SignalScanner(db=db, live=dead, settings=settings, clock=clock).consider("AUSDT")
    assert report.reasons == ()
    assert signals(db)[0].price == 104.0


@pytest.mark.parametrize(("age_s", "expected"), [(2, 103.0), (60, 102.0)])
def test_a_move_seen_at_its_tick_counts_while_it_is_fresh(
    db: Database, scanner: SignalScanner, clock: ManualClock, age_s: int, expected: float
):
    """It need not be measured twice; an old one is, for the move may be over."""
    add_burst(db, clock)
    add_ranking(db, "AUSDT", clock.now(), 1)
    seen = SeenMove(MarketMove(0.5, 3.0, 4.0, 2.0, 103.0), clock.now_ms() - age_s * 1000)
    assert scanner.consider("AUSDT", seen).reasons == ()
    assert signals(db)[0].price == expected


def test_a_seen_move_that_is_too_small_makes_none(db: Database, scanner: SignalScanner, clock: ManualClock):
    """What the streams saw is judged here again, in the ranked direction."""
    add_ranking(db, "AUSDT", clock.now(), 1)
    seen = SeenMove(MarketMove(0.5, -3.0, 4.0, 2.0, 97.0), clock.now_ms())
    assert scanner.consider("AUSDT", seen).signal_id is None


def test_the_traders_job_leaves_before_the_messages(
    db: Database, scanner: SignalScanner, clock: ManualClock, dispatcher: RecordingDispatcher
):
    """Nobody waits for a channel to be told."""
    add_burst(db, clock)
    add_ranking(db, "AUSDT", clock.now(), 1)
    scanner.consider("AUSDT")
    assert dispatcher.jobs[0].task == "trade.act_on_signal"
    assert len(dispatcher.jobs) > 1
