"""What is stored comes back, and clusters are followed from map to map."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from tests.scanners.heatmap_parts import add_coins
from whalestack.clock import ManualClock
from whalestack.db.cluster_store import learn_cluster_sizes, standing_clusters
from whalestack.db.engine import Database
from whalestack.db.heatmap_rows import FetchedMap, StoredMap
from whalestack.db.heatmap_store import RESTATED_AFTER, StoreCounts, latest_maps, store_maps
from whalestack.db.map_heads import map_ages
from whalestack.db.models import CoinThreshold, LiquidationCluster, LiquidationSnapshot
from whalestack.db.packed import SMALLEST
from whalestack.db.trading_inputs import map_times
from whalestack.math.clusters import Cluster
from whalestack.math.heatmap import LevelMap

SYMBOL = "EVAAUSDT"
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def a_map(
    at: datetime,
    *clusters: Cluster,
    timeframe: str = "7d",
    prices: tuple[float, ...] = (96.0, 98.0, 102.0, 104.0),
    values: tuple[float, ...] = (5.0, 0.0, 7.0, 9.0),
    symbol: str = SYMBOL,
    price: float = 100.0,
    source: str = "coinglass:model2",
) -> FetchedMap:
    level_map = LevelMap(
        timeframe, price, np.array(prices), np.array(values), map_time_ms=round(at.timestamp() * 1000)
    )
    return FetchedMap(symbol, level_map, clusters, at, at, source)


def above(low: float, high: float, usd: float = 1000.0, timeframe: str = "7d") -> Cluster:
    return Cluster(timeframe, "short", low, high, (low + high) / 2, usd, low - 100.0)


def store(db: Database, *maps: FetchedMap) -> StoreCounts:
    with db.begin() as work:
        return store_maps(work.session, maps)


def clusters(db: Database) -> list[LiquidationCluster]:
    with db.begin() as work:
        return list(work.session.scalars(select(LiquidationCluster).order_by(LiquidationCluster.id)))


@pytest.fixture
def now(db: Database, clock: ManualClock) -> datetime:
    add_coins(db, clock.now(), SYMBOL)
    return clock.now()


def test_a_map_comes_back_as_it_was_stored(db: Database, now: datetime) -> None:
    """Levels without value are left out; the rest keeps price, value, times and mark."""
    store(db, a_map(now))
    with db.begin() as work:
        (found,) = latest_maps(work.session, since=LONG_AGO)
    assert [96.0, 102.0, 104.0] == found.level_map.prices.tolist()
    assert [5.0, 7.0, 9.0] == found.level_map.values.tolist()
    assert (SYMBOL, "7d", now, 100.0) == (
        found.symbol,
        found.level_map.timeframe,
        found.fetched_at,
        found.level_map.price,
    )
    assert not found.level_map.derived


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(levels=st.dictionaries(st.floats(1e-18, 1e18), st.floats(0, 1e18), min_size=1, max_size=50))
def test_any_map_keeps_five_significant_digits(db: Database, levels: dict[float, float]) -> None:
    """From the price of a thousand millionths to that of an index, from nothing to all the money there is."""
    at = datetime(2025, 10, 19, tzinfo=UTC)
    prices = tuple(sorted(levels))
    with db.begin() as work:
        fetched = a_map(at, prices=prices, values=tuple(levels[price] for price in prices), symbol="ONE")
        store_maps(work.session, [fetched])
        row = work.session.execute(
            select(LiquidationSnapshot.prices, LiquidationSnapshot.values).where(
                LiquidationSnapshot.symbol == "ONE"
            )
        ).one()
        work.session.rollback()
    held = [price for price in prices if levels[price] >= SMALLEST]
    assert pytest.approx(held, rel=5e-6) == row.prices
    assert pytest.approx([levels[price] for price in held], rel=5e-6) == row.values


def test_a_map_of_nothing_is_stored(db: Database, now: datetime) -> None:
    """A derived map may be empty: nothing came in the last 14 days."""
    store(db, a_map(now, values=(0.0, 0.0, 0.0, 0.0)))
    with db.begin() as work:
        (found,) = latest_maps(work.session, since=LONG_AGO)
    assert 0 == found.level_map.values.size


def test_only_the_latest_map_counts_and_not_too_old_a_one(db: Database, now: datetime) -> None:
    """Two of the 7d range and an old one of the 30d range."""
    store(db, a_map(now - timedelta(days=2), timeframe="30d"), a_map(now - timedelta(seconds=300)))
    store(db, a_map(now, values=(1.0, 1.0, 1.0, 1.0)))
    with db.begin() as work:
        (found,) = latest_maps(work.session, since=now - timedelta(days=1))
        assert [] == latest_maps(work.session, since=LONG_AGO, symbol="OTHERUSDT")
    assert (now, 4.0) == (found.fetched_at, found.level_map.values.sum())


def rows(db: Database) -> list[LiquidationSnapshot]:
    with db.begin() as work:
        query = select(LiquidationSnapshot).order_by(LiquidationSnapshot.fetched_at)
        return list(work.session.scalars(query))


def latest(db: Database, since: datetime = LONG_AGO) -> StoredMap:
    with db.begin() as work:
        (found,) = latest_maps(work.session, since=since)
    return found


def test_an_unchanged_map_is_seen_again_without_a_row(db: Database, now: datetime) -> None:
    """The same levels and values five minutes later: as fresh as a new one, at the price of that moment."""
    assert 0 == store(db, a_map(now)).unchanged
    later = now + timedelta(seconds=300)
    counts = store(db, a_map(later, price=100.5))
    assert (1, 1) == (counts.stored, counts.unchanged)
    assert [now] == [row.fetched_at for row in rows(db)]
    found = latest(db, since=now)
    assert (later, 100.5, 21.0) == (
        found.fetched_at,
        found.level_map.price,
        found.level_map.values.sum(),
    )
    with db.begin() as work:
        assert {later} == set(map_times(work.session, SYMBOL, now).values())
        assert later in {age.fetched_at for age in map_ages(work.session)}


def test_another_source_is_another_map(db: Database, now: datetime) -> None:
    """Model 1 may say what model 2 said; the row tells who."""
    store(db, a_map(now))
    assert 0 == store(db, a_map(now + timedelta(seconds=300), source="coinglass:model1")).unchanged
    assert ["coinglass:model2", "coinglass:model1"] == [row.source for row in rows(db)]


def test_clusters_of_an_unchanged_map_are_seen_again(db: Database, now: datetime) -> None:
    """They stand in the latest map, so nothing may take them for gone."""
    store(db, a_map(now, above(102.0, 104.0)))
    later = now + timedelta(seconds=300)
    store(db, a_map(later, above(102.0, 104.0)))
    with db.begin() as work:
        (standing,) = standing_clusters(work.session, latest_maps(work.session, since=now))
    assert [later] == [each.last_seen_at for each in clusters(db)]
    assert 102.0 == standing.price_low


def test_a_map_that_stands_for_long_is_stated_anew(db: Database, now: datetime) -> None:
    """Retention would take its only row; so it has a younger one every few hours."""
    fetches = [now + each * timedelta(hours=1) for each in range(10)]
    for at in fetches:
        store(db, a_map(at))
    assert [fetches[0], fetches[4], fetches[8]] == [row.fetched_at for row in rows(db)]
    assert timedelta(hours=4) == RESTATED_AFTER


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(seen=st.lists(st.tuples(st.integers(1, 20), st.booleans()), min_size=1, max_size=12))
def test_history_tells_what_stood_when(db: Database, now: datetime, seen: list[tuple[int, bool]]) -> None:
    """Every fetch lies in the span of the map that it showed, and no span reaches into another."""
    at, shown = now, []
    with db.begin() as work:
        for minutes, is_other in seen:
            at += timedelta(minutes=minutes)
            store_maps(work.session, [a_map(at, values=(1.0, 1.0, 1.0, 2.0 if is_other else 1.0))])
            shown.append((at, is_other))
        spans = work.session.execute(
            text(
                "select stood_from, seen_until, max(level.value) = 2 as is_other from liquidation_map_spans"
                " join liquidation_snapshots s using (symbol, timeframe)"
                " cross join lateral map_levels(s.prices, s.values) as level"
                " where s.fetched_at = stood_from group by 1, 2 order by 1"
            )
        ).all()
        work.session.rollback()
    assert all(one.seen_until < other.stood_from for one, other in pairwise(spans))
    for fetched_at, is_other in shown:
        (of,) = [span for span in spans if span.stood_from <= fetched_at <= span.seen_until]
        assert is_other == of.is_other


def test_an_outage_is_not_a_time_in_which_a_map_stood(db: Database, now: datetime) -> None:
    """Nobody looked for two hours: nothing is known of them."""
    after = now + timedelta(hours=2)
    store(db, a_map(now), a_map(now + timedelta(minutes=5)))
    store(db, a_map(after, values=(1.0, 1.0, 1.0, 1.0)))
    with db.begin() as work:
        query = "select stood_from, seen_until from liquidation_map_spans order by 1"
        spans = [tuple(row) for row in work.session.execute(text(query))]
    assert [(now, now + timedelta(minutes=5)), (after, after)] == spans


def test_a_map_that_comes_late_changes_nothing(db: Database, now: datetime) -> None:
    """A slow round stores what it fetched before a re-fetch: the newer map stays the latest."""
    store(db, a_map(now))
    counts = store(db, a_map(now - timedelta(seconds=20), values=(9.0, 9.0, 9.0, 9.0)))
    assert (1, 0) == (counts.stored, counts.unchanged)
    assert [now] == [row.fetched_at for row in rows(db)]
    assert (now, 21.0) == (latest(db).fetched_at, latest(db).level_map.values.sum())


def test_heads_that_move_stay_in_their_pages(db: Database, now: datetime) -> None:
    """Thousands are rewritten every five minutes: without room for it the index would grow with each."""
    with db.begin() as work:
        options = work.session.scalar(text("select reloptions from pg_class where relname = 'map_heads'"))
        indexes = work.session.scalar(text("select count(*) from pg_indexes where tablename = 'map_heads'"))
    assert (["fillfactor=50"], 1) == (options, indexes)


def test_ages_name_what_was_never_fetched(db: Database, now: datetime) -> None:
    """Nine ranges, one of them fetched."""
    store(db, a_map(now))
    with db.begin() as work:
        ages = {age.timeframe: age.fetched_at for age in map_ages(work.session)}
    assert 9 == len(ages)
    assert (now, None) == (ages["7d"], ages["1y"])


def test_a_cluster_seen_again_is_the_same_cluster(db: Database, now: datetime) -> None:
    """Its band stays as detected, its value and last sight follow."""
    store(db, a_map(now, above(102.0, 104.0, 1000.0)))
    later = now + timedelta(seconds=300)
    counts = store(db, a_map(later, above(102.5, 104.5, 1500.0)))
    (row,) = clusters(db)
    assert (0, 1) == (counts.clusters_new, counts.clusters_seen)
    assert (102.0, 104.0, 1500.0) == (row.price_low, row.price_high, row.leverage)
    assert (now, later) == (row.detected_at, row.last_seen_at)
    assert now + timedelta(days=7) == row.horizon_at


def test_a_cluster_elsewhere_is_another_one(db: Database, now: datetime) -> None:
    """Its centre lies outside of the band, also where the bands touch."""
    store(db, a_map(now, above(102.0, 104.0)))
    counts = store(db, a_map(now + timedelta(seconds=300), above(104.0, 114.0)))
    assert 1 == counts.clusters_new


def test_sides_ranges_and_coins_are_kept_apart(db: Database, now: datetime) -> None:
    """The same band on another side, range or coin is another cluster."""
    add_coins(db, now, "COAIUSDT")
    store(db, a_map(now, above(102.0, 104.0)))
    below = Cluster("7d", "long", 102.0, 104.0, 103.0, 1.0, 1.0)
    counts = store(
        db,
        a_map(now + timedelta(seconds=1), below),
        a_map(now + timedelta(seconds=1), above(102.0, 104.0, timeframe="30d"), timeframe="30d"),
        a_map(now + timedelta(seconds=1), above(102.0, 104.0), symbol="COAIUSDT"),
    )
    assert 3 == counts.clusters_new


def test_two_clusters_in_one_band_are_parts_of_it(db: Database, now: datetime) -> None:
    """A band that was one and is two now holds what both hold."""
    store(db, a_map(now, above(102.0, 106.0, 1000.0)))
    later = now + timedelta(seconds=300)
    store(db, a_map(later, above(102.0, 103.0, 300.0), above(104.0, 106.0, 500.0)))
    (row,) = clusters(db)
    assert 800.0 == row.leverage


def test_a_decided_cluster_is_not_revived(db: Database, now: datetime) -> None:
    """Once hit, what stands there later is new."""
    store(db, a_map(now, above(102.0, 104.0)))
    with db.begin() as work:
        work.session.execute(LiquidationCluster.__table__.update().values(hit_target=True))
    assert 1 == store(db, a_map(now + timedelta(seconds=300), above(102.0, 104.0))).clusters_new


def test_only_what_the_latest_map_shows_stands(db: Database, now: datetime) -> None:
    """A cluster that is gone from its map stands no more, though it is not judged yet."""
    store(db, a_map(now, above(102.0, 103.0), above(110.0, 111.0)))
    store(db, a_map(now + timedelta(seconds=300), above(110.0, 111.0)))
    with db.begin() as work:
        found = standing_clusters(work.session, latest_maps(work.session, since=LONG_AGO))
    assert [110.0] == [each.price_low for each in found]


def test_nothing_is_stored_of_nothing(db: Database) -> None:
    """An empty batch."""
    assert StoreCounts() == store(db)
    with db.begin() as work:
        assert [] == standing_clusters(work.session, [])


def sizes(db: Database) -> dict[str, tuple[float, float, int]]:
    with db.begin() as work:
        return {
            row.symbol: (row.avg_cluster_size, row.min_cluster_threshold, row.cluster_observations)
            for row in work.session.scalars(select(CoinThreshold))
        }


def test_the_typical_size_is_the_mean_of_what_was_seen(db: Database, now: datetime) -> None:
    """100, 200 and 600 USD have a mean of 300; a quarter of it is noise."""
    for seen in (100.0, 200.0, 600.0):
        with db.begin() as work:
            learn_cluster_sizes(work.session, {SYMBOL: seen}, now)
    assert {SYMBOL: (pytest.approx(300.0), pytest.approx(75.0), 3)} == sizes(db)


def test_a_seed_gives_way_to_the_first_thing_seen(db: Database, now: datetime) -> None:
    """The owner's 10M for small coins is no observation; the rest of the row stays."""
    with db.begin() as work:
        work.session.add(
            CoinThreshold(
                symbol=SYMBOL,
                min_cluster_threshold=1e6,
                avg_cluster_size=1e7,
                oi_change_pct=4.0,
                last_updated=now,
            )
        )
    with db.begin() as work:
        learn_cluster_sizes(work.session, {SYMBOL: 500.0}, now + timedelta(days=1))
    assert {SYMBOL: (500.0, 125.0, 1)} == sizes(db)
    with db.begin() as work:
        row = work.session.get(CoinThreshold, SYMBOL)
        assert row is not None
        assert (4.0, now) == (row.oi_change_pct, row.last_updated)


def test_a_round_and_a_refetch_at_once_store_a_cluster_once(db: Database, now: datetime) -> None:
    """Eight transactions with the same cluster begin together: one row, seen by the others."""
    together = threading.Barrier(8)

    def work(place: int) -> StoreCounts:
        fetched = a_map(now + timedelta(milliseconds=place), above(102.0, 104.0))
        together.wait(5)
        return store(db, fetched)

    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(work, range(8)))
    assert (1, 7) == (sum(each.clusters_new for each in counts), sum(each.clusters_seen for each in counts))
    (row,) = clusters(db)
    assert now + timedelta(milliseconds=7) == row.last_seen_at


def test_batches_with_the_same_coins_in_another_order_do_not_block_each_other(
    db: Database, now: datetime
) -> None:
    """Locks are taken in the order of the names, whatever the order of the maps."""
    names = [f"C{i}USDT" for i in range(6)]
    add_coins(db, now, *names)
    together = threading.Barrier(4)

    def work(place: int) -> int:
        ordered = names if place % 2 else names[::-1]
        at = now + timedelta(milliseconds=place)
        together.wait(5)
        return store(db, *(a_map(at, above(102.0, 104.0), symbol=name) for name in ordered)).stored

    with ThreadPoolExecutor(4) as pool:
        assert [6, 6, 6, 6] == list(pool.map(work, range(4)))
    assert 6 == len(clusters(db))
