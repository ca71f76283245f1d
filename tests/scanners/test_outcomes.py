"""Clusters are followed until they are hit or their horizon has passed, and judged once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from tests.scanners.market_rows import add_cluster, add_minutes
from whalestack.clock import ManualClock
from whalestack.db.engine import Database
from whalestack.db.models import AgentLog, LiquidationCluster
from whalestack.scanners.outcomes import OutcomeReport, OutcomeScanner

MINUTE = timedelta(minutes=1)


@pytest.fixture
def scanner(db: Database, clock: ManualClock) -> OutcomeScanner:
    return OutcomeScanner(db=db, clock=clock)


def cluster(db: Database, cluster_id: int) -> LiquidationCluster:
    with db.begin() as work:
        return work.session.get_one(LiquidationCluster, cluster_id)


def test_a_hit_is_written_with_its_time_and_the_run_against_it(
    db: Database, scanner: OutcomeScanner, clock: ManualClock
):
    """Detected at 100, centre 105: down to 97, then 105.5 in the third minute."""
    detected = clock.now()
    hit, waiting = (
        add_cluster(db, "AUSDT", detected),
        add_cluster(db, "AUSDT", detected, center=106.0, high=107.0),
    )
    clock.advance(180)
    add_minutes(db, "AUSDT", clock.now(), [99, 98, 105], highs=[100, 99, 105.5], lows=[98, 97, 98])
    assert scanner.scan() == OutcomeReport(looked_at=1, hits=1, misses=0, given_up=0, measured=0)
    row = cluster(db, hit)
    assert (row.hit_target, row.hit_at, row.decided_at) == (True, clock.now(), clock.now())
    assert row.adverse_wick_pct == pytest.approx(3.0)
    assert cluster(db, waiting).hit_target is None


def test_what_happened_before_the_detection_does_not_count(
    db: Database, scanner: OutcomeScanner, clock: ManualClock
):
    """The price was at 106 a minute before the cluster was seen."""
    add_minutes(db, "AUSDT", clock.now(), [106.0, 100.0])
    found = add_cluster(db, "AUSDT", clock.now())
    clock.advance(60)
    add_minutes(db, "AUSDT", clock.now(), [100.0])
    assert scanner.scan().hits == 0
    assert cluster(db, found).hit_target is None


def test_a_miss_is_a_horizon_that_passed(db: Database, scanner: OutcomeScanner, clock: ManualClock):
    """Ten quiet minutes; the long one below is 2 % away from its cluster's worst."""
    detected = clock.now()
    found = add_cluster(
        db, "AUSDT", detected, side="long", low=94.0, center=95.0, high=96.0, horizon=10 * MINUTE
    )
    clock.advance(600)
    add_minutes(db, "AUSDT", clock.now(), [100.0] * 10, highs=[102.0] * 10)
    assert scanner.scan().misses == 1
    row = cluster(db, found)
    assert (row.hit_target, row.hit_at) == (False, None)
    assert row.adverse_wick_pct == pytest.approx(2.0)


def test_a_verdict_is_given_once(db: Database, scanner: OutcomeScanner, clock: ManualClock):
    """A missed cluster that is reached later stays missed."""
    found = add_cluster(db, "AUSDT", clock.now(), horizon=10 * MINUTE)
    clock.advance(600)
    add_minutes(db, "AUSDT", clock.now(), [100.0] * 10)
    scanner.scan()
    clock.advance(60)
    add_minutes(db, "AUSDT", clock.now(), [110.0])
    assert scanner.scan() == OutcomeReport(0, 0, 0, 0, 0)
    assert cluster(db, found).hit_target is False


def test_bars_that_come_late_still_count(db: Database, scanner: OutcomeScanner, clock: ManualClock):
    """A stream was away for half an hour: its bars arrive after the scan that had passed them."""
    found = add_cluster(db, "AUSDT", clock.now())
    clock.advance(1800)
    assert scanner.scan().looked_at == 0
    clock.advance(60)
    add_minutes(db, "AUSDT", clock.now() - 20 * MINUTE, [105.0])
    assert scanner.scan().hits == 1
    assert cluster(db, found).hit_at == clock.now() - 20 * MINUTE


def test_without_bars_nothing_is_judged_and_after_a_day_it_is_given_up(
    db: Database, scanner: OutcomeScanner, clock: ManualClock
):
    """Unknown is not a miss."""
    found = add_cluster(db, "AUSDT", clock.now(), horizon=10 * MINUTE)
    clock.advance(700)
    assert scanner.scan() == OutcomeReport(1, 0, 0, 0, 0)
    clock.advance(86_400)
    assert scanner.scan() == OutcomeReport(1, 0, 0, 1, 0)
    row = cluster(db, found)
    assert (row.hit_target, row.decided_at) == (None, clock.now())
    assert scanner.scan().looked_at == 0


def test_the_run_beyond_is_measured_an_hour_after_the_hit(
    db: Database, scanner: OutcomeScanner, clock: ManualClock
):
    """Far edge 106; within the hour price reaches 111.3, 5 % past it, and comes back to 100, 10.15 % of it;
    what comes later does not count."""
    found = add_cluster(db, "AUSDT", clock.now())
    clock.advance(60)
    add_minutes(db, "AUSDT", clock.now(), [105.0])
    scanner.scan()
    clock.advance(3660)
    add_minutes(db, "AUSDT", clock.now(), [111.3] * 30 + [100.0] * 29 + [150.0] * 2)
    assert scanner.scan().measured == 1
    assert cluster(db, found).beyond_pct == pytest.approx(5.0)
    assert cluster(db, found).came_back_pct == pytest.approx(11.3 / 111.3 * 100)
    assert scanner.scan().measured == 0


def test_how_far_it_got_is_logged(db: Database, scanner: OutcomeScanner, clock: ManualClock):
    """The next scan begins from there; only a week of such rows is kept."""
    scanner.scan()
    clock.advance(8 * 86_400)
    scanner.scan()
    with db.begin() as work:
        [row] = work.session.scalars(select(AgentLog).where(AgentLog.agent_name == "outcomes"))
    assert row.details == {"until_ms": clock.now_ms(), "hits": 0, "misses": 0, "given_up": 0}


def test_a_row_that_is_being_written_is_passed_over_and_found_again(
    db: Database, scanner: OutcomeScanner, clock: ManualClock
):
    """A heat-map batch holds the row: no waiting, no deadlock, and the hit is not lost."""
    found = add_cluster(db, "AUSDT", clock.now())
    clock.advance(60)
    add_minutes(db, "AUSDT", clock.now(), [105.0])
    with db.begin() as work:
        work.session.get_one(LiquidationCluster, found, with_for_update=True)
        assert scanner.scan() == OutcomeReport(1, 0, 0, 0, 0)
    assert scanner.scan().hits == 1
