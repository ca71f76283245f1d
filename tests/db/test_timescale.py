"""On a server that has TimescaleDB, the migrations really use it.

The embedded server has no such extension: point WHALESTACK_TEST_DATABASE_URL at one that has.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, text

from whalestack.clock import ManualClock
from whalestack.config import Settings
from whalestack.db import timescale
from whalestack.db.engine import Database
from whalestack.db.heatmap_store import RESTATED_AFTER
from whalestack.db.models import LiquidationSnapshot
from whalestack.db.retention import Means, Retention, keep_days
from whalestack.db.timescale import TIME_TABLES, has_policies, is_available, retention_days

NOW = datetime.now(UTC).replace(microsecond=0)  # the server's policies count from its own clock


@pytest.fixture
def timescale_db(db: Database) -> Database:
    with db.begin() as work:
        connection = work.session.connection()
        if not is_available(connection):
            pytest.skip(
                "this PostgreSQL has no TimescaleDB; set WHALESTACK_TEST_DATABASE_URL to one that has"
            )
        if not has_policies(connection):
            pytest.skip("this build of TimescaleDB has no compression (Apache-only)")
    return db


def store_maps(db: Database, *ages_days: float) -> None:
    with db.begin() as work:
        work.session.add_all(
            LiquidationSnapshot(
                symbol="EVAAUSDT",
                timeframe="7d",
                fetched_at=NOW - timedelta(days=age),
                price=2.0,
                prices=[1.5, 2.5],
                values=[1000.0, 3000.0],
                source="coinglass",
            )
            for age in ages_days
        )


def run_job(db: Database, procedure: str, table: str) -> None:
    """Run a background job now, as its schedule would."""
    query = text(
        "select job_id from timescaledb_information.jobs where proc_name = :name and hypertable_name = :table"
    )
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        job = connection.execute(query, {"name": procedure, "table": table}).scalar_one()
        connection.execute(text(f"call run_job({job})"))


def maps_in(connection: Connection) -> list[datetime]:
    return list(
        connection.execute(text("select fetched_at from liquidation_snapshots order by 1 desc")).scalars()
    )


def test_every_time_table_is_a_hypertable_with_compression(timescale_db: Database) -> None:
    with timescale_db.begin() as work:
        rows = work.session.execute(
            text("select hypertable_name, compression_enabled from timescaledb_information.hypertables")
        )
        found = {row.hypertable_name: row.compression_enabled for row in rows}

    assert {table.name: True for table in TIME_TABLES} == found


def test_each_hypertable_has_its_two_policies(timescale_db: Database) -> None:
    with timescale_db.begin() as work:
        rows = work.session.execute(
            text(
                "select hypertable_name, proc_name from timescaledb_information.jobs"
                " where hypertable_name is not null"
            )
        )
        found = {(row.hypertable_name, row.proc_name) for row in rows}
    policies = ("policy_compression", "policy_retention")

    assert {(table.name, policy) for table in TIME_TABLES for policy in policies} == found


def test_the_compression_job_compresses_old_chunks_and_nothing_is_lost(timescale_db: Database) -> None:
    store_maps(timescale_db, 0, 2, 3)

    run_job(timescale_db, "policy_compression", "liquidation_snapshots")

    with timescale_db.begin() as work:
        compressed = work.session.execute(
            text("select is_compressed from timescaledb_information.chunks order by range_start")
        ).scalars()
        assert [True, True, False] == list(compressed)
        assert [NOW, NOW - timedelta(days=2), NOW - timedelta(days=3)] == maps_in(work.session.connection())


def test_the_newest_maps_are_never_in_a_compressed_chunk() -> None:
    """A map that stands is written anew before its row is old enough to be compressed."""
    (maps,) = (table for table in TIME_TABLES if table.name == "liquidation_snapshots")

    assert timedelta(days=maps.compress_after_days) > RESTATED_AFTER


def test_a_late_row_can_be_written_into_a_compressed_chunk(timescale_db: Database) -> None:
    store_maps(timescale_db, 3)
    run_job(timescale_db, "policy_compression", "liquidation_snapshots")

    store_maps(timescale_db, 3.01)

    with timescale_db.begin() as work:
        assert len(maps_in(work.session.connection())) == 2


def test_the_retention_job_drops_what_is_too_old(timescale_db: Database) -> None:
    store_maps(timescale_db, 0, 40)

    run_job(timescale_db, "policy_retention", "liquidation_snapshots")

    with timescale_db.begin() as work:
        assert [NOW] == maps_in(work.session.connection())


def test_policies_follow_the_settings(timescale_db: Database, settings: Settings, clock: ManualClock) -> None:
    shorter = settings.model_copy(update={"keep_snapshots_days": 7})
    keeper = Retention(timescale_db, shorter, clock)

    first, second = keeper.apply(), keeper.apply()

    assert (Means.POLICIES, {"liquidation_snapshots": 7, "coin_rankings": 7}) == (first.means, first.policies)
    assert {} == second.policies
    with timescale_db.begin() as work:
        assert keep_days(shorter) == retention_days(work.session.connection())


def test_a_market_that_is_played_back_has_no_wall_clock_policies(
    timescale_db: Database, settings: Settings, clock: ManualClock
) -> None:
    """They would drop a recorded market as too old the moment it is stored."""
    Retention(timescale_db, settings.model_copy(update={"clock_speed": 60.0}), clock).apply()

    with timescale_db.begin() as work:
        assert {} == retention_days(work.session.connection())


def test_policies_that_the_server_fails_to_run_are_run_by_the_task(
    timescale_db: Database, settings: Settings, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_maps(timescale_db, 0, 3, 40)
    with timescale_db.begin() as work:
        jobs = work.session.execute(
            text(
                "select job_id, proc_name from timescaledb_information.jobs"
                " where hypertable_name = 'liquidation_snapshots'"
            )
        ).all()
    failing = {row.job_id: row.proc_name for row in jobs}
    monkeypatch.setattr(timescale, "failing_jobs", lambda _connection: failing)

    report = Retention(timescale_db, settings, clock).apply()

    assert ("policy_compression", "policy_retention") == report.run_here
    with timescale_db.begin() as work:
        compressed = work.session.execute(
            text("select is_compressed from timescaledb_information.chunks order by range_start")
        ).scalars()
        assert [True, False] == list(compressed)
        assert [NOW, NOW - timedelta(days=3)] == maps_in(work.session.connection())


def test_a_failed_run_of_a_policy_is_seen(timescale_db: Database) -> None:
    """The server's own record of runs is what decides; here it is written by hand."""
    with timescale_db.begin() as work:
        connection = work.session.connection()
        connection.execute(text("select _timescaledb_functions.stop_background_workers()"))
        job = connection.execute(
            text(
                "select job_id from timescaledb_information.jobs"
                " where hypertable_name = 'candles' and proc_name = 'policy_retention'"
            )
        ).scalar_one()
        connection.execute(
            text(
                "insert into _timescaledb_internal.bgw_job_stat values"
                " (:job, now(), now(), now(), '-infinity', false, 1, '0', '0', 0, 1, 0, 1, 0, 0)"
                " on conflict (job_id) do update set last_run_success = false"
            ),
            {"job": job},
        )

        assert "policy_retention candles" == timescale.failing_jobs(connection)[job]
