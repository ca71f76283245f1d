"""Hit rates from what was collected: judged beside chance, stored whole, and what follows for a coin."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import insert, select, text

from tests.scanners.market_rows import add_coin
from whalestack.clock import ManualClock, to_ms
from whalestack.config import Settings
from whalestack.db.accuracy_store import five_minute_bars, latest_table, store_rows
from whalestack.db.coin_inputs import coin_inputs
from whalestack.db.engine import Database
from whalestack.db.models import AccuracyRecord, LiquidationCluster
from whalestack.math.accuracy_bars import fives_of
from whalestack.math.accuracy_table import AccuracyRow, rows_about, unproven_ranges
from whalestack.math.chance import Difference, Share
from whalestack.scanners.accuracy import AccuracyScanner

DAY = timedelta(days=1)
DAYS = 9

_MINUTES = text(
    """
    insert into candles (symbol, interval, start_at, open, high, low, close, volume, turnover_usd)
    select :symbol, '1', :first + n * interval '1 minute', price, price * 1.0005, price * 0.9995, price, 1, 1
    from unnest(cast(:prices as float8[])) with ordinality as bars(price, n)
    """
)


def add_history(db: Database, clock: ManualClock, symbol: str, seed: int) -> None:
    """Nine days of minutes and, every three hours, a cluster on each side."""
    add_coin(db, symbol, clock.now(), turnover_24h_usd=1e6, is_major=False)
    rng = np.random.default_rng(seed)
    prices = 100 * np.exp(np.cumsum(rng.normal(0, 0.0007, DAYS * 1440)))
    first = clock.now() - DAYS * DAY
    rows = []
    for minute in range(1440, (DAYS - 1) * 1440, 180):
        price = float(prices[minute])
        for side, ratio in (("short", 1.02), ("long", 1 / 1.02)):
            center, seen = price * ratio, first + timedelta(minutes=minute + 1)
            rows.append({
                "symbol": symbol, "timeframe": "12h", "price_low": center, "price_high": center,
                "price_center": center, "leverage": 1.0, "side": side, "detected_price": price,
                "distance_pct": 1.0, "detected_at": seen, "last_seen_at": seen, "horizon_at": seen + DAY / 2,
            })  # fmt: skip
    with db.begin() as work:
        work.session.execute(_MINUTES, {"symbol": symbol, "first": first, "prices": prices.tolist()})
        work.session.execute(insert(LiquidationCluster), rows)


@pytest.fixture
def scanner(db: Database, clock: ManualClock) -> AccuracyScanner:
    settings = Settings(_env_file=None, accuracy_min_observations=10)
    return AccuracyScanner(db=db, settings=settings, clock=clock)


def test_the_table_is_measured_stored_and_read_back(
    db: Database, scanner: AccuracyScanner, clock: ManualClock
) -> None:
    """Two coins without any pull; the rows that come back are those that were made."""
    add_history(db, clock, "AUSDT", 1)
    add_history(db, clock, "BUSDT", 2)
    report = scanner.scan()
    assert (report.coins, report.clusters > 150) == (2, True)
    with db.begin() as work:
        table = latest_table(work.session)
    about = coin_inputs(db, "AUSDT", clock.now(), clock.now()).accuracy
    assert table is not None
    assert table[0] == clock.now()
    stored, made = ({(row.scope, row.group): row for row in rows} for rows in (table[1], report.rows))
    assert set(stored) == {("all", "all"), ("kind", "small"), ("coin", "AUSDT"), ("coin", "BUSDT")}
    assert all(stored[key].hit.rate == pytest.approx(made[key].hit.rate) for key in made)
    assert all(stored[key].lower_bound == pytest.approx(made[key].lower_bound) for key in made)
    assert {(row.scope, row.group) for row in about} == set(stored) - {("coin", "BUSDT")}
    assert stored["all", "all"].verdict != "beats chance"


def test_single_coins_of_old_tables_are_forgotten(
    db: Database, scanner: AccuracyScanner, clock: ManualClock
) -> None:
    """After KEEP_LOGS_DAYS; what was said of all coins stays."""
    add_history(db, clock, "AUSDT", 4)
    with db.begin() as work:
        old = [row("all", "all", "not shown"), row("coin", "AUSDT", "not shown")]
        store_rows(work.session, old, source="model", now=clock.now() - 91 * DAY)
    scanner.scan()
    with db.begin() as work:
        kept = work.session.scalars(
            select(AccuracyRecord.scope).where(AccuracyRecord.computed_at < clock.now())
        )
        assert list(kept) == ["all"]


def test_only_windows_that_are_over_count(db: Database, scanner: AccuracyScanner, clock: ManualClock) -> None:
    """A cluster whose horizon ends later than now is no miss yet."""
    add_history(db, clock, "AUSDT", 3)
    with db.begin() as work:
        work.session.execute(
            text("update liquidation_clusters set horizon_at = horizon_at + interval '30 d'")
        )
    assert scanner.scan().clusters == 0


def test_longer_ranges_are_judged_on_hours(
    db: Database, scanner: AccuracyScanner, clock: ManualClock
) -> None:
    """7d clusters of a coin whose hours reach back forty days, and whose minutes do not."""
    add_coin(db, "AUSDT", clock.now(), turnover_24h_usd=1e6)
    seen = [clock.now() - (10 + days) * DAY for days in range(20)]
    with db.begin() as work:
        work.session.execute(
            text(
                "insert into candles (symbol, interval, start_at, open, high, low, close, volume,"
                " turnover_usd) select 'AUSDT', '60', :now - n * interval '1 hour', 100, 101, 99, 100, 1, 1"
                " from generate_series(1, 960) as n"
            ),
            {"now": clock.now().replace(minute=0, second=0, microsecond=0)},
        )
        work.session.execute(insert(LiquidationCluster), [{
            "symbol": "AUSDT", "timeframe": "7d", "price_low": 100.5, "price_high": 100.5,
            "price_center": 100.5, "leverage": 1.0, "side": "short", "detected_price": 100.0,
            "distance_pct": 0.5, "detected_at": moment, "last_seen_at": moment,
            "horizon_at": moment + 7 * DAY,
        } for moment in seen])  # fmt: skip
    report = scanner.scan()
    assert (report.clusters, report.rows[0].timeframe, report.rows[0].hit.rate) == (20, "7d", 1.0)
    assert report.rows[0].verdict == "too few"


def test_bars_are_put_together_from_minutes(db: Database, clock: ManualClock) -> None:
    """Highest high, lowest low, last close; a bar of which most minutes are missing is none."""
    add_coin(db, "AUSDT", clock.now())
    first = clock.now().replace(minute=0, second=0, microsecond=0) - DAY
    prices = [10.0, 12.0, 9.0, 11.0, 10.5, 10.0, 10.0]
    with db.begin() as work:
        shifted = first - timedelta(minutes=1)
        work.session.execute(_MINUTES, {"symbol": "AUSDT", "first": shifted, "prices": prices})
        grid = five_minute_bars(work.session, "AUSDT", since=first, now=clock.now())
    assert grid is not None
    assert grid.highs.tolist() == [pytest.approx(12.006)]
    assert (grid.lows[0], grid.closes[0]) == (pytest.approx(8.9955), 10.5)


def row(scope: str, group: str, verdict: str, timeframe: str = "7d") -> AccuracyRow:
    share, difference = Share(0.5, 0.4, 0.6, 200), Difference(0.0, -0.1, 0.1)
    return AccuracyRow(
        scope, group, timeframe, 500, 200, 9, 3.0, share, share, share, difference, difference, verdict
    )  # type: ignore[arg-type]


def test_the_finest_row_with_enough_observations_decides() -> None:
    """The coin's own, else its kind's, else everyone's; where none has enough, nothing is refused."""
    everyone, kind = row("all", "all", "not shown"), row("kind", "small", "beats chance")
    own = row("coin", "AUSDT", "below chance")
    few = row("coin", "AUSDT", "too few")
    assert unproven_ranges([everyone, kind, own]) == {"7d": own}
    assert unproven_ranges([everyone, kind, few]) == {}
    assert unproven_ranges([everyone, few]) == {"7d": everyone}
    assert unproven_ranges([few, row("all", "all", "too few")]) == {}
    assert unproven_ranges([row("all", "all", "not shown", "30d"), kind]).keys() == {"30d"}


def test_a_table_without_rows_is_no_table(db: Database, clock: ManualClock) -> None:
    """Before any horizon has passed there is nothing to store."""
    with db.begin() as work:
        store_rows(work.session, (), source="model", now=clock.now())
        assert latest_table(work.session) is None


def test_minutes_make_the_same_bars_without_a_database(db: Database, clock: ManualClock) -> None:
    """As the backtest puts them together: with holes, and from a moment inside a bar on."""
    add_coin(db, "AUSDT", clock.now())
    rng, first = np.random.default_rng(5), clock.now() - DAY
    prices = 100 + rng.random(600)
    with db.begin() as work:
        work.session.execute(_MINUTES, {"symbol": "AUSDT", "first": first, "prices": prices.tolist()})
        work.session.execute(
            text("delete from candles where extract(minute from start_at)::int % 20 in (1, 2, 3, 9)")
        )
        since = first + timedelta(minutes=7)
        stored = five_minute_bars(work.session, "AUSDT", since=since, now=clock.now())
        kept = work.session.execute(
            text("select start_at, high, low, close from candles where start_at >= :since order by start_at"),
            {"since": since},
        ).all()
    made = fives_of(
        np.array([to_ms(row.start_at) for row in kept]),
        *(np.array([getattr(row, name) for row in kept]) for name in ("high", "low", "close")),
    )
    assert stored is not None
    assert made is not None
    assert (stored.first_ms, np.isnan(stored.highs).any()) == (made.first_ms, True)
    for name in ("highs", "lows", "closes"):
        assert np.array_equal(getattr(stored, name), getattr(made, name), equal_nan=True)


def test_a_coin_without_a_row_of_its_own_has_no_kind() -> None:
    """What a decision reads of a table, and what the backtest takes of it."""
    own = replace(row("coin", "AUSDT", "too few"), kind="small")
    table = [
        row("all", "all", "not shown"),
        row("kind", "small", "not shown"),
        row("kind", "large", "too few"),
    ]

    assert {each.group for each in rows_about([*table, own], "AUSDT")} == {"all", "small", "AUSDT"}
    assert {each.group for each in rows_about([*table, own], "BUSDT")} == {"all"}
