"""Old rows go and young ones stay, counted in market time; on plain PostgreSQL and on TimescaleDB."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, text

from whalestack.clock import ManualClock
from whalestack.config import Settings
from whalestack.db import retention
from whalestack.db.engine import Database
from whalestack.db.models import Base, Candle, MarketTick
from whalestack.db.retention import Means, Retention, keep_days
from whalestack.db.timescale import TIME_TABLES, is_installed


def store_ticks(db: Database, clock: ManualClock, *ages_days: float) -> None:
    with db.begin() as work:
        work.session.add_all(
            MarketTick(symbol="EVAAUSDT", ts=clock.now() - timedelta(days=age), price=1.0)
            for age in ages_days
        )


def ages_left(db: Database, clock: ManualClock) -> list[float]:
    with db.begin() as work:
        moments = work.session.scalars(select(MarketTick.ts).order_by(MarketTick.ts.desc())).all()
    return [(clock.now() - moment).total_seconds() / 86_400 for moment in moments]


@pytest.fixture
def market_settings(settings: Settings) -> Settings:
    """A market that is played back, so wall-clock policies would be wrong for it."""
    return settings.model_copy(update={"clock_speed": 60.0, "keep_ticks_days": 30, "keep_candles_days": 400})


def is_plain(db: Database) -> bool:
    with db.begin() as work:
        return not is_installed(work.session.connection())


def test_old_rows_go_and_young_ones_stay(db: Database, market_settings: Settings, clock: ManualClock) -> None:
    # 33 days: chunks of TimescaleDB hold a day and go only as a whole.
    store_ticks(db, clock, 0, 29, 33, 90)

    Retention(db, market_settings, clock).apply()

    assert [0, 29] == ages_left(db, clock)


def test_each_table_has_its_own_age(db: Database, market_settings: Settings, clock: ManualClock) -> None:
    old = {"open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "volume": 1.0, "turnover_usd": 1.0}
    with db.begin() as work:
        for age_days in (90, 500):
            start_at = clock.now() - timedelta(days=age_days)
            work.session.add(Candle(symbol="EVAAUSDT", interval="1", start_at=start_at, **old))

    Retention(db, market_settings, clock).apply()

    with db.begin() as work:
        assert [clock.now() - timedelta(days=90)] == work.session.scalars(select(Candle.start_at)).all()


def test_a_large_backlog_is_removed_over_several_runs(
    db: Database, market_settings: Settings, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_plain(db):
        pytest.skip("TimescaleDB drops whole chunks; there are no batches")
    monkeypatch.setattr(retention, "DELETE_BATCH_ROWS", 2)
    monkeypatch.setattr(retention, "MAX_BATCHES", len(TIME_TABLES) + 5)
    store_ticks(db, clock, *range(40, 80))
    keeper = Retention(db, market_settings, clock)
    reports = [keeper.apply()]
    while not reports[-1].is_complete:
        reports.append(keeper.apply())

    assert (40, []) == (
        sum(report.removed.get("market_ticks", 0) for report in reports),
        ages_left(db, clock),
    )
    assert len(reports) > 1


def test_what_was_done_is_reported(db: Database, market_settings: Settings, clock: ManualClock) -> None:
    store_ticks(db, clock, 0, 90)
    expected = (Means.ROWS if is_plain(db) else Means.CHUNKS, {"market_ticks": 1}, True)

    report = Retention(db, market_settings, clock).apply()

    assert expected == (report.means, report.removed, report.is_complete)


def test_every_table_that_only_grows_has_an_age(settings: Settings) -> None:
    assert {table.name for table in TIME_TABLES} == set(keep_days(settings))


@pytest.mark.parametrize("table", TIME_TABLES, ids=lambda table: table.name)
def test_a_time_table_has_its_time_in_every_unique_key(table: object) -> None:
    model = Base.metadata.tables[table.name]  # type: ignore[attr-defined]
    unique = [index.columns for index in model.indexes if index.unique] + [model.primary_key.columns]

    assert all(table.time_column in columns for columns in unique)  # type: ignore[attr-defined]


def test_the_extension_decides_how(db: Database, settings: Settings, clock: ManualClock) -> None:
    with db.begin() as work:
        extensions = work.session.scalars(text("select extname from pg_extension")).all()
    expected = Means.POLICIES if "timescaledb" in extensions else Means.ROWS

    assert expected == Retention(db, settings, clock).apply().means
