"""What each coin's past says of its clusters."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from tests.scanners.market_rows import add_cluster, add_coin, add_minutes
from whalestack.clock import ManualClock
from whalestack.config import Settings
from whalestack.db.engine import Database
from whalestack.db.models import CoinLiquidationPattern
from whalestack.scanners.coin_history import CoinHistoryReport, CoinHistoryScanner

HOUR = timedelta(hours=1)


@pytest.fixture
def scanner(db: Database, settings: Settings, clock: ManualClock) -> CoinHistoryScanner:
    return CoinHistoryScanner(db=db, settings=settings, clock=clock)


def pattern(db: Database, symbol: str = "AUSDT", timeframe: str = "12h") -> CoinLiquidationPattern:
    with db.begin() as work:
        return work.session.get_one(CoinLiquidationPattern, (symbol, timeframe))


def add_judged(
    db: Database,
    clock: ManualClock,
    *,
    hit: bool,
    adverse: float = 1.0,
    hours_ago: int = 24,
    took: timedelta = HOUR,
    symbol: str = "AUSDT",
    usd: float = 1e6,
) -> None:
    detected = clock.now() - hours_ago * HOUR
    add_cluster(
        db, symbol, detected, hit_target=hit, hit_at=detected + took if hit else None,
        decided_at=clock.now(), adverse_wick_pct=adverse, leverage=usd,
    )  # fmt: skip


def test_a_record_by_hand(db: Database, scanner: CoinHistoryScanner, clock: ManualClock):
    """Three hits (one after a run of 12 % against it, which no stop of 10 % survives) and a miss.

    2 of 4; market the same 0 of 0 before, prior 0.5 worth 20: (2 + 10) / (4 + 20) = 0.5.
    Mean time of the two successes: (1 h + 3 h) / 2; speeds 5 % in 1 h and in 3 h, median 3.33 % an hour.
    Wilson's interval of 2 of 4: 0.150 to 0.850.
    """
    add_coin(db, "AUSDT", clock.now())
    add_judged(db, clock, hit=True, usd=2e6)
    add_judged(db, clock, hit=True, took=3 * HOUR)
    add_judged(db, clock, hit=True, adverse=12.0)
    add_judged(db, clock, hit=False)
    assert scanner.scan() == CoinHistoryReport(coins=1, patterns=1, observations=4)
    row = pattern(db)
    assert (row.hits, row.observations) == (2, 4)
    assert row.success_rate == pytest.approx(12 / 24)
    assert row.avg_time_to_target == pytest.approx(7200)
    assert row.speed_pct_per_h == pytest.approx(10 / 3)
    assert (row.success_low, row.success_high) == (
        pytest.approx(0.150, abs=1e-3),
        pytest.approx(0.850, abs=1e-3),
    )
    assert row.avg_cluster_size == pytest.approx(1.25e6)


def test_early_hits_do_not_count_before_their_horizon(
    db: Database, scanner: CoinHistoryScanner, clock: ManualClock
):
    """Five 12-hour clusters of an hour ago were hit at once; those that will be missed are still waiting."""
    add_coin(db, "AUSDT", clock.now())
    for _ in range(5):
        add_judged(db, clock, hit=True, hours_ago=1, took=timedelta(minutes=5))
    scanner.scan()
    row = pattern(db)
    assert (row.hits, row.observations, row.success_rate) == (0, 0, 0.5)


def test_wicks_come_from_the_runs_before_hits_where_there_are_enough(
    db: Database, scanner: CoinHistoryScanner, clock: ManualClock
):
    """Eleven hits above after runs down of 0 to 10 %: the 90 % quantile is 9. Below there were none:
    the hourly wicks up stand in. An hour of minutes at 100 with one high of 106 is a wick of 6 %.
    """
    add_coin(db, "AUSDT", clock.now())
    for adverse in range(11):
        add_judged(db, clock, hit=True, adverse=float(adverse))
    add_minutes(db, "AUSDT", clock.now(), [100.0] * 60, highs=[106.0] + [100.0] * 59)
    scanner.scan()
    row = pattern(db)
    assert row.max_wick_down_pct == pytest.approx(9.0)
    assert row.max_wick_up_pct == pytest.approx(6.0)


def test_a_coin_without_candles_and_hits_has_no_wicks(
    db: Database, scanner: CoinHistoryScanner, clock: ManualClock
):
    """None, so that the stop keeps its far bound."""
    add_coin(db, "AUSDT", clock.now())
    add_judged(db, clock, hit=False)
    scanner.scan()
    assert (pattern(db).max_wick_up_pct, pattern(db).max_wick_down_pct) == (None, None)


def test_little_is_shrunk_toward_the_market(db: Database, scanner: CoinHistoryScanner, clock: ManualClock):
    """B has 80 of 100. A, with 1 of 1, is drawn toward the market:
    prior (80 + 10) / (100 + 20) = 0.75, then (1 + 0.75 * 20) / (1 + 20).
    """
    add_coin(db, "BUSDT", clock.now())
    for index in range(100):
        add_judged(db, clock, hit=index < 80, symbol="BUSDT")
    scanner.scan()
    add_coin(db, "AUSDT", clock.now())
    add_judged(db, clock, hit=True)
    scanner.scan()
    assert pattern(db).success_rate == pytest.approx((1 + 0.75 * 20) / 21)


def test_what_trades_came_to_is_kept(db: Database, scanner: CoinHistoryScanner, clock: ManualClock):
    """The trader counts its trades in the same row."""
    add_coin(db, "AUSDT", clock.now())
    add_judged(db, clock, hit=True)
    scanner.scan()
    with db.begin() as work:
        work.session.execute(update(CoinLiquidationPattern).values(trades=3, trade_wins=2))
    add_judged(db, clock, hit=False)
    scanner.refresh("AUSDT")
    row = pattern(db)
    assert (row.trades, row.trade_wins, row.observations) == (3, 2, 2)


def test_a_record_is_learned_once_a_day(db: Database, scanner: CoinHistoryScanner, clock: ManualClock):
    """Fresh ones rest; skipped coins and coins without clusters are not looked at."""
    add_coin(db, "AUSDT", clock.now())
    add_coin(db, "BUSDT", clock.now())
    add_coin(db, "CUSDT", clock.now(), skipped_reason="delisted")
    add_judged(db, clock, hit=True)
    add_judged(db, clock, hit=True, symbol="CUSDT")
    assert scanner.scan().coins == 1
    assert scanner.scan().coins == 0
    clock.advance(86_401)
    assert scanner.scan().coins == 1
    with db.begin() as work:
        assert len(work.session.scalars(select(CoinLiquidationPattern)).all()) == 1
