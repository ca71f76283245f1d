"""How old the maps are said to be, on the command line and in the rows for dashboards."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from sqlalchemy import select
from typer.testing import CliRunner, Result

from tests.scanners.heatmap_parts import FakeCoinglass
from tests.scanners.heatmap_scene import Scene
from whalestack.cli import app, base
from whalestack.clients.coinglass.errors import CoinglassNoMap
from whalestack.config import Settings
from whalestack.db.models import ApiUsage
from whalestack.math.timeframes import TIMEFRAMES
from whalestack.runtime import Runtime
from whalestack.scanners.freshness import FreshnessScanner


def freshness(scene: Scene) -> FreshnessScanner:
    return FreshnessScanner(db=scene.db, settings=scene.settings, clock=scene.clock)


def usage(scene: Scene) -> dict[str, ApiUsage]:
    """The latest row of each range."""
    with scene.db.begin() as work:
        query = select(ApiUsage).where(ApiUsage.service == "freshness").order_by(ApiUsage.ts)
        return {row.endpoint: row for row in work.session.scalars(query)}


def test_ages_are_counted_from_the_fetch(scene: Scene) -> None:
    """Two coins fetched 100 s apart, a third one never: 1 of 3 is late, and it is named first."""
    scene.add("AUSDT", "BUSDT", "CUSDT")
    scanner = scene.scanner()
    scanner.refetch("AUSDT", "test")
    scene.clock.advance(100)
    scanner.refetch("BUSDT", "test")
    scene.clock.advance(50)
    found = freshness(scene).measure(1200)
    (row,) = (each for each in found.ranges if each.timeframe == "7d")
    assert (3, 1, 50.0, 100.0, 150.0) == (row.coins, row.never, row.newest_s, row.median_s, row.oldest_s)
    assert (600.0, 33.33, 0) == (row.bound_s, row.late_pct, row.failing)
    assert ("CUSDT", None, True) == (
        found.all_maps[0].symbol,
        found.all_maps[0].age_s,
        found.all_maps[0].is_late,
    )
    assert set(TIMEFRAMES) == {each.timeframe for each in found.ranges}


def test_a_map_beyond_its_bound_is_late_and_says_why(scene: Scene) -> None:
    """10 minutes and a second after the only fetch that brought it. The derived map goes with its source."""
    scene.add("AUSDT")
    scanner = scene.scanner()
    scanner.refetch("AUSDT", "test")
    scene.coinglass.answer = lambda coin, timeframe: (
        CoinglassNoMap("none left") if timeframe == "30d" else None
    )
    scene.clock.advance(601)
    scanner.refetch("AUSDT", "test")
    found = freshness(scene).measure(1200)
    late = {each.timeframe: each.problem for each in found.all_maps if each.is_late}
    assert {"30d": "AUSDT 30d: none left", "14d": "AUSDT 30d: none left"} == late


def test_the_bound_follows_from_the_plan(scene: Scene) -> None:
    """A coin's 8 maps at 1 call a minute, 5 a round less the reserve: half of 4 calls a round, 4 rounds
    between two tries, and one more."""
    scene.add("AUSDT")
    found = freshness(scene).measure(1)
    assert (4, 5 * 300) == (found.calls_per_round, found.bound_s)


def test_each_round_writes_rows_for_dashboards(scene: Scene) -> None:
    """At its start and at its end, also when the start is refused; one row a range."""
    scene.add("AUSDT")
    scanner = scene.scanner()
    scanner.start_round()
    assert 1 == usage(scene)["7d"].details["never"]
    scanner.fetch_batch(**scene.jobs("heatmap.fetch_batch")[0].kwargs)  # type: ignore[arg-type]
    assert (0, 0.0) == (usage(scene)["7d"].details["never"], usage(scene)["7d"].details["oldest_s"])
    scene.clock.advance(300)
    scanner.start_round()
    scene.clock.advance(60)
    assert scanner.start_round().round_id is None
    rows = usage(scene)
    assert set(TIMEFRAMES) == set(rows)
    assert (360.0, 0) == (rows["1y"].details["oldest_s"], rows["1y"].calls)
    assert scene.clock.now() - rows["1y"].ts < timedelta(seconds=60)


@pytest.fixture
def command_line(scene: Scene, monkeypatch: pytest.MonkeyPatch, service_settings: Settings) -> Runtime:
    """A process of which the coin AUSDT was fetched 100 s ago and BUSDT never."""
    scene.add("AUSDT", "BUSDT")
    scene.coinglass = FakeCoinglass(calls_per_min=1200, clock=scene.clock)
    scene.scanner().refetch("AUSDT", "test")
    scene.clock.advance(100)
    runtime = Runtime(service_settings, scene.dispatcher)
    runtime.clock = scene.clock
    monkeypatch.setattr(base, "get_settings", lambda: service_settings)
    monkeypatch.setattr(base, "get_runtime", lambda: runtime)
    return runtime


def whalestack(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def test_the_command_shows_each_range_and_the_worst_maps(command_line: Runtime) -> None:
    """A table for people; exit code 1, because a coin has no maps."""
    result = whalestack("freshness")
    assert 1 == result.exit_code
    assert "a round fetches all of 16 maps, none should be older than 600 s" in result.stdout
    assert "9 maps are older than they should be" in result.stdout
    assert "BUSDT" in result.stdout


def test_the_command_speaks_json_to_programs(command_line: Runtime) -> None:
    """Ranges and late maps."""
    document = json.loads(whalestack("freshness", "--json").stdout)
    assert 9 == len(document["ranges"])
    assert {"BUSDT"} == {row["symbol"] for row in document["late"]}
    assert 100.0 == document["ranges"][0]["oldest_s"]


def test_one_coins_maps_are_shown_alone(command_line: Runtime) -> None:
    """Exit code 0: all of them are in time."""
    result = whalestack("freshness", "--symbol", "ausdt", "--json")
    assert 0 == result.exit_code
    assert {("AUSDT", 100.0)} == {(row["symbol"], row["age_s"]) for row in json.loads(result.stdout)}
    assert 1 == whalestack("freshness", "--symbol", "NOSUCH").exit_code
