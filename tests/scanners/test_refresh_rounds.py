"""What becomes of a round when messages come twice, time runs out, hosts die or the plan is small."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select

from tests.scanners.heatmap_parts import FakeCoinglass
from tests.scanners.heatmap_scene import Scene
from whalestack.clients.coinglass.errors import (
    BudgetExhausted,
    CoinglassNoMap,
    CoinglassNotAllowed,
    CoinglassNotInPlan,
)
from whalestack.db.models import MapFailure, RefreshBatch
from whalestack.dispatch import Job
from whalestack.errors import StopAndTell
from whalestack.math.timeframes import SERVED_TIMEFRAMES
from whalestack.scanners.heatmap import HeatmapScanner
from whalestack.tasks.factory import make_app


def run(scanner: HeatmapScanner, job: Job) -> object:
    return scanner.fetch_batch(**job.kwargs)  # type: ignore[arg-type]


def refused_by_plan(timeframe: str, *coins: str) -> Callable[[str, str], Exception | None]:
    """The plan does not serve this range, for these coins or for all."""
    return lambda coin, name: (
        CoinglassNotInPlan(f"{coin} {name}: 403, not available for your current API plan")
        if name == timeframe and (not coins or coin in coins)
        else None
    )


def none_for(*coins: str) -> Callable[[str, str], Exception | None]:
    """These coins have no maps."""
    return lambda coin, name: CoinglassNoMap(f"{coin} {name}: none") if coin in coins else None


def test_a_batch_that_comes_twice_is_counted_once(scene: Scene) -> None:
    """Delivered again while the round runs: nothing is asked for, and the round waits for its other batch."""
    scene.add("AUSDT", "BUSDT")
    scanner = scene.scanner(heatmap_batch=8)
    round_id = scanner.start_round().round_id
    assert round_id is not None
    first, second = scene.jobs("heatmap.fetch_batch")
    run(scanner, first)
    asked = len(scene.coinglass.asked)
    again = scanner.fetch_batch(**first.kwargs)  # type: ignore[arg-type]
    assert (True, asked) == (again.dropped, len(scene.coinglass.asked))
    round_ = scene.round(round_id)
    assert ("running", 1, 9) == (round_.status, round_.batches_done, round_.maps_stored)
    run(scanner, second)
    round_ = scene.round(round_id)
    assert ("finished", 2, 18) == (round_.status, round_.batches_done, round_.maps_stored)
    assert 1 == len(scene.jobs("scan.ranking"))


def test_two_deliveries_at_the_same_time_are_counted_once(scene: Scene) -> None:
    """Both have begun before either has reported: the maps are stored by both, the round is told once."""
    scene.add("AUSDT", "BUSDT")
    first, second = scene.scanner(heatmap_batch=8), scene.scanner(heatmap_batch=8)
    round_id = first.start_round().round_id
    assert round_id is not None
    job, _ = scene.jobs("heatmap.fetch_batch")
    inside: list[object] = []

    def meanwhile(coin: str, timeframe: str) -> None:
        if not inside:
            inside.append(None)
            inside.append(run(second, job))

    scene.coinglass.answer = meanwhile
    outer = first.fetch_batch(**job.kwargs)  # type: ignore[arg-type]
    assert outer.dropped
    round_ = scene.round(round_id)
    assert (1, 9, "running") == (round_.batches_done, round_.maps_stored, round_.status)


def test_a_batch_without_calls_goes_on_as_another_one(scene: Scene) -> None:
    """Calls run out after the first coin: its maps are stored, the second coin's are handed on, and the
    round ends when they have come."""
    scene.add("AUSDT", "BUSDT")
    scanner = scene.scanner()
    round_id = scanner.start_round().round_id
    assert round_id is not None
    scene.coinglass.answer = lambda coin, timeframe: BudgetExhausted("none") if coin == "B" else None
    (job,) = scene.jobs("heatmap.fetch_batch")
    report = scanner.fetch_batch(**job.kwargs)  # type: ignore[arg-type]
    assert (8, False, ()) == (report.maps_left, report.ended_round, report.problems)
    scene.coinglass.answer = None
    rest = scene.jobs("heatmap.fetch_batch")[-1]
    assert [["BUSDT", name] for name in SERVED_TIMEFRAMES] == rest.kwargs["items"]
    assert scanner.fetch_batch(**job.kwargs).dropped  # type: ignore[arg-type]
    assert scanner.fetch_batch(**rest.kwargs).ended_round  # type: ignore[arg-type]
    round_ = scene.round(round_id)
    assert (2, 2, 18, 0) == (
        round_.batches_due,
        round_.batches_done,
        round_.maps_stored,
        round_.maps_failed,
    )


def test_no_call_begins_after_the_batchs_time(scene: Scene) -> None:
    """Each call of a slow CoinGlass takes 25 s of the 60 s: with 2 threads six are made, the others are
    handed on, so a batch is over before its task's time limit of 120 s."""
    scene.add("AUSDT", "BUSDT")
    scanner = scene.scanner(heatmap_concurrency=1, coinglass_timeout_s=15.0)
    real_s = [0.0]
    scanner._fetcher._monotonic = lambda: real_s[0]

    def slow(coin: str, timeframe: str) -> None:
        real_s[0] += 25.0

    scene.coinglass.answer = slow
    scanner.start_round()
    (job,) = scene.jobs("heatmap.fetch_batch")
    report = scanner.fetch_batch(**job.kwargs)  # type: ignore[arg-type]
    assert (3, 13) == (len(scene.coinglass.asked), report.maps_left)


def test_a_round_that_took_its_whole_interval_is_followed_at_once(scene: Scene) -> None:
    """Its successor's tick was refused; until the next one, calls would lie idle for 5 minutes."""
    scene.add("AUSDT", "BUSDT")
    scanner = scene.scanner(heatmap_batch=8)
    scanner.start_round()
    first, second = scene.jobs("heatmap.fetch_batch")
    run(scanner, first)
    scene.clock.advance(299)
    run(scanner, first)
    assert [] == scene.jobs("heatmap.refresh")
    scene.clock.advance(1)
    run(scanner, second)
    assert 1 == len(scene.jobs("heatmap.refresh"))


def test_a_round_in_time_is_followed_by_its_tick(scene: Scene) -> None:
    """Nothing needs to be sent."""
    scene.add("AUSDT")
    scene.run_round(scene.scanner())
    assert [] == scene.jobs("heatmap.refresh")


def test_a_round_whose_host_died_does_not_hold_back_the_next_one(scene: Scene) -> None:
    """One of two batches never reports. 90 s after the other one did, the tick gives the round up and
    starts anew; before that it still counts as running."""
    scene.add("AUSDT", "BUSDT")
    scanner = scene.scanner(heatmap_batch=8)
    lost = scanner.start_round()
    first, second = scene.jobs("heatmap.fetch_batch")
    scene.clock.advance(200)
    run(scanner, first)
    scene.clock.advance(89)
    assert "is still running" in (scanner.start_round().reason or "")
    scene.clock.advance(2)
    assert (lost.round_id,) == scanner.start_round().given_up
    late = scanner.fetch_batch(**second.kwargs)  # type: ignore[arg-type]
    assert late.dropped


def test_the_death_of_a_worker_runs_its_batch_again(scene: Scene) -> None:
    """The message is acknowledged after the work: it may be, because a batch counts once."""
    app = make_app(scene.settings)
    app.loader.import_default_modules()
    task = app.tasks["heatmap.fetch_batch"]
    assert (True, True) == (task.acks_late, task.reject_on_worker_lost)


def test_reports_of_earlier_rounds_are_not_kept(scene: Scene) -> None:
    """The table stays as small as one round."""
    scene.add("AUSDT")
    scanner = scene.scanner()
    for _ in range(3):
        scene.run_round(scanner)
        scene.clock.advance(300)
    with scene.db.begin() as work:
        assert 1 == len(work.session.scalars(select(RefreshBatch)).all())


def test_problem_coins_do_not_crowd_out_a_small_plan(scene: Scene) -> None:
    """Two coins never have a map: 16 of 32 maps, more than the 12 calls of a round. The others' maps all
    come within the bound of 6 rounds, because what failed counts as tried."""
    scene.add("GONEUSDT", "LOSTUSDT", "AUSDT", "BUSDT")
    scene.coinglass = FakeCoinglass(calls_per_min=13, answer=none_for("GONE", "LOST"), clock=scene.clock)
    scanner = scene.scanner(refresh_interval_s=60)
    for _ in range(6):
        assert 12 == scene.round(scene.run_round(scanner)).maps_due
        scene.clock.advance(60)
    for symbol in ("AUSDT", "BUSDT"):
        for timeframe in SERVED_TIMEFRAMES:
            came_at = scene.fetched_at(symbol, timeframe)
            assert came_at is not None
            assert scene.clock.now() - came_at <= timedelta(seconds=6 * 60)
    with scene.db.begin() as work:
        failures = {(row.symbol, row.timeframe): row for row in work.session.scalars(select(MapFailure))}
    assert 16 == len(failures)
    assert "GONE 7d: none" in failures["GONEUSDT", "7d"].problem


def test_a_map_that_comes_again_has_no_failure_any_more(scene: Scene) -> None:
    """Its failures in a row are counted until then."""
    scene.add("AUSDT")
    scanner = scene.scanner()
    scene.coinglass.answer = lambda coin, timeframe: CoinglassNoMap("none") if timeframe == "7d" else None
    for failures in (1, 2):
        scene.run_round(scanner)
        with scene.db.begin() as work:
            (row,) = work.session.scalars(select(MapFailure))
        assert ("7d", failures) == (row.timeframe, row.failures)
    scene.coinglass.answer = None
    scene.run_round(scanner)
    with scene.db.begin() as work:
        assert [] == work.session.scalars(select(MapFailure)).all()


def test_a_plan_without_heat_maps_is_said_by_name(scene: Scene) -> None:
    """And costs no call."""
    scene.add("AUSDT")
    with pytest.raises(StopAndTell, match=r"plan standard serves no heat maps: it takes professional"):
        scene.scanner(coinglass_plan="standard").start_round()
    assert [] == scene.coinglass.asked


def test_a_range_the_plan_lacks_stops_that_range_alone(scene: Scene) -> None:
    """The 1y map is refused: the other seven come. The next round tries it for one coin only, and asks
    for all again once that one has come."""
    scene.add("AUSDT", "BUSDT", "CUSDT")
    scanner = scene.scanner(heatmap_concurrency=1)
    scene.coinglass.answer = refused_by_plan("1y")
    first = scene.round(scene.run_round(scanner))
    assert (24, 3 * 8, 3) == (first.maps_due, first.maps_stored, first.maps_failed)
    assert 1 == sum(name == "1y" for _, name, _ in scene.coinglass.asked)
    assert any("your current API plan" in problem for problem in first.problems)
    scene.clock.advance(300)
    report = scanner.start_round()
    assert (("1y",), 22, 0) == (report.ranges_not_served, report.maps, report.maps_left_out)
    run(scanner, scene.jobs("heatmap.fetch_batch")[-1])
    scene.clock.advance(300)
    scene.coinglass.answer = None
    assert 22 == scene.round(scene.run_round(scanner)).maps_due
    scene.clock.advance(300)
    assert 24 == scene.round(scene.run_round(scanner)).maps_due


def test_one_coins_refusal_is_not_taken_for_the_plans(scene: Scene) -> None:
    """B's 1y map is refused by the plan, A's is served: the next round asks for all."""
    scene.add("AUSDT", "BUSDT")
    scanner = scene.scanner(heatmap_batch=8)
    scene.coinglass.answer = refused_by_plan("1y", "B")
    scene.run_round(scanner)
    scene.clock.advance(300)
    assert 16 == scene.round(scene.run_round(scanner)).maps_due


def test_a_wrong_key_stops_every_range(scene: Scene) -> None:
    """It is no matter of the plan."""
    scene.add("AUSDT")
    scene.coinglass.answer = lambda coin, timeframe: CoinglassNotAllowed("400 (Invalid API key provided)")
    scene.run_round(scene.scanner(heatmap_concurrency=1))
    assert 1 == len(scene.coinglass.asked)
