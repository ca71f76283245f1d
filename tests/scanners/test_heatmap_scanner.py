"""Rounds, batches and re-fetches against a real database: what fails is named and harms nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from tests.scanners.heatmap_parts import FakeCoinglass, a_heatmap, failing, pairs
from tests.scanners.heatmap_scene import FakeLive, Scene
from whalestack.clients.coinglass.errors import (
    BudgetUnavailable,
    CoinglassBadReply,
    CoinglassNoMap,
    CoinglassNotAllowed,
    CoinglassUnavailable,
)
from whalestack.clients.coinglass.types import EndpointUsage
from whalestack.db.models import ApiUsage, LiquidationCluster
from whalestack.dispatch import Job
from whalestack.errors import TryAgain
from whalestack.math.timeframes import SERVED_TIMEFRAMES, TIMEFRAMES


def test_a_round_fetches_every_range_of_every_coin(scene: Scene) -> None:
    """2 coins, 8 served ranges: 16 maps asked for, 18 stored with the derived 14d."""
    scene.add("EVAAUSDT", "1000PEPEUSDT")
    round_ = scene.round(scene.run_round(scene.scanner()))
    assert {(coin, timeframe, False) for coin in ("EVAA", "PEPE") for timeframe in SERVED_TIMEFRAMES} == set(
        scene.coinglass.asked
    )
    assert (2, 16, 18, 0) == (round_.coins, round_.maps_due, round_.maps_stored, round_.maps_failed)
    assert set(TIMEFRAMES) == set(scene.snapshots("EVAAUSDT"))


def test_the_last_batch_ends_the_round_and_asks_for_a_ranking(scene: Scene) -> None:
    """4 coins in batches of 2: two batches, one ranking, after the second."""
    scene.add("AUSDT", "BUSDT", "CUSDT", "DUSDT")
    scanner = scene.scanner(heatmap_batch=16)
    report = scanner.start_round()
    first, second = scene.jobs("heatmap.fetch_batch")
    assert not scanner.fetch_batch(**first.kwargs).ended_round  # type: ignore[arg-type]
    assert [] == scene.jobs("scan.ranking")
    assert scanner.fetch_batch(**second.kwargs).ended_round  # type: ignore[arg-type]
    assert 1 == len(scene.jobs("scan.ranking"))
    assert report.round_id is not None
    assert "finished" == scene.round(report.round_id).status


def test_prices_are_stored_in_bybit_units(scene: Scene) -> None:
    """One contract unit of 1000PEPEUSDT holds 1000 PEPE: a CoinGlass price of 100 is 100,000."""
    scene.add("1000PEPEUSDT")
    scene.run_round(scene.scanner())
    snapshot = scene.snapshots("1000PEPEUSDT")["7d"]
    assert 100_000.0 == snapshot.price
    assert pytest.approx([90_000.0, 110_000.0], rel=1e-6) == [snapshot.prices[0], snapshot.prices[-1]]


def test_14d_is_derived_from_30d_and_says_so(scene: Scene) -> None:
    """Half of the 1000 USD has stood for the month, half came yesterday: 500 are younger than 14 days."""
    scene.add("EVAAUSDT")
    scene.run_round(scene.scanner())
    stored = scene.snapshots("EVAAUSDT")
    assert (False, True) == (stored["30d"].derived, stored["14d"].derived)
    assert (1000.0, 500.0) == (max(stored["30d"].values), max(stored["14d"].values))


def test_one_failing_map_harms_no_other(scene: Scene) -> None:
    """Of 16 maps two fail in different ways: named with coin and range, the rest is stored."""
    scene.add("EVAAUSDT", "COAIUSDT")
    scene.coinglass.answer = failing(
        {
            ("EVAA", "7d"): CoinglassUnavailable("heat map of EVAA 7d: timeout"),
            ("COAI", "1y"): CoinglassBadReply("heat map of COAI 1y: y_axis holds something"),
        }
    )
    round_ = scene.round(scene.run_round(scene.scanner()))
    assert (2, 16) == (round_.maps_failed, round_.maps_stored)
    assert ["COAIUSDT 1y: heat map of COAI 1y: y_axis holds something"] == [
        each for each in round_.problems if each.startswith("COAI")
    ]
    assert ["EVAAUSDT 7d: heat map of EVAA 7d: timeout"] == [
        each for each in round_.problems if each.startswith("EVAA")
    ]
    assert "7d" in scene.snapshots("COAIUSDT")


def test_the_last_good_snapshot_is_kept(scene: Scene) -> None:
    """A second round fails for EVAA altogether: what the first one brought still stands."""
    scene.add("EVAAUSDT", "COAIUSDT")
    scanner = scene.scanner()
    scene.run_round(scanner)
    good = scene.clock.now()
    scene.clock.advance(300)
    scene.coinglass.answer = lambda coin, timeframe: CoinglassNoMap("gone") if coin == "EVAA" else None
    scene.run_round(scanner)
    assert good == scene.fetched_at("EVAAUSDT", "7d")
    assert good + timedelta(seconds=300) == scene.fetched_at("COAIUSDT", "7d")
    assert good == scene.snapshots("EVAAUSDT")["7d"].fetched_at


def test_a_map_the_mathematics_refuses_is_named_too(scene: Scene) -> None:
    """A value that is no number."""
    scene.add("EVAAUSDT")
    broken = a_heatmap("EVAA", "7d")
    broken.values[3] = float("nan")
    scene.coinglass.answer = lambda coin, timeframe: broken if timeframe == "7d" else None
    round_ = scene.round(scene.run_round(scene.scanner()))
    assert ["EVAAUSDT 7d: a cell's value is negative or not a number"] == round_.problems


def test_a_wrong_key_stops_the_batch(scene: Scene) -> None:
    """The answer would be the same for all 16 maps: with 2 threads at most a few are asked for."""
    scene.add("EVAAUSDT", "COAIUSDT")
    scene.coinglass.answer = lambda coin, timeframe: CoinglassNotAllowed("401 (Upgrade plan)")
    round_ = scene.round(scene.run_round(scene.scanner()))
    assert len(scene.coinglass.asked) <= 4
    assert 16 == round_.maps_failed
    assert all("Upgrade plan" in each for each in round_.problems)


def test_problems_of_a_round_are_bounded(scene: Scene) -> None:
    """A dead CoinGlass writes no book: of 128 failures 50 sentences are kept, or one batch more."""
    scene.add(*(f"C{i}USDT" for i in range(16)))
    scene.coinglass.answer = lambda coin, timeframe: CoinglassUnavailable(f"{coin} {timeframe}")
    round_ = scene.round(scene.run_round(scene.scanner(heatmap_batch=40)))
    assert 128 == round_.maps_failed
    assert 50 <= len(round_.problems) <= 90


def test_a_running_round_is_not_started_again(scene: Scene) -> None:
    """The second start is refused with a reason and sends nothing."""
    scene.add("EVAAUSDT")
    scanner = scene.scanner()
    first = scanner.start_round()
    second = scanner.start_round()
    assert (None, f"round {first.round_id} is still running") == (second.round_id, second.reason)
    assert 1 == len(scene.jobs("heatmap.fetch_batch"))


def test_a_round_that_never_ends_is_given_up(scene: Scene) -> None:
    """After 3 intervals of 300 s the next one starts; its late batch is dropped unasked."""
    scene.add("EVAAUSDT")
    scanner = scene.scanner()
    lost = scanner.start_round()
    scene.clock.advance(901)
    report = scanner.start_round()
    assert (lost.round_id,) == report.given_up
    assert lost.round_id is not None
    assert "given_up" == scene.round(lost.round_id).status
    assert 1 == len(scene.jobs("scan.ranking"))
    assert scanner.fetch_batch(lost.round_id, "0", pairs("EVAAUSDT", ["7d"])).dropped
    assert [] == scene.coinglass.asked


def test_batches_expire_with_their_round(scene: Scene) -> None:
    """A message that waited longer than the round may last is worth nothing."""
    scene.add("EVAAUSDT")
    scene.scanner().start_round()
    (job,) = scene.jobs("heatmap.fetch_batch")
    assert 900 == job.expires_s


def test_a_batch_delivered_twice_ends_a_round_once(scene: Scene) -> None:
    """The second delivery finds the round over."""
    scene.add("EVAAUSDT")
    scanner = scene.scanner()
    scene.run_round(scanner)
    (job,) = scene.jobs("heatmap.fetch_batch")
    assert scanner.fetch_batch(**job.kwargs).dropped  # type: ignore[arg-type]
    assert 1 == len(scene.jobs("scan.ranking"))


def test_without_coins_the_universe_is_asked_for(scene: Scene) -> None:
    """The first round of a fresh system."""
    report = scene.scanner().start_round()
    assert (None, "no coin is followed yet") == (report.round_id, report.reason)
    assert 1 == len(scene.jobs("scan.universe"))


def test_skipped_coins_are_not_fetched(scene: Scene) -> None:
    """A coin that one side lacks, and one that was dropped while its batch waited."""
    scene.add("EVAAUSDT")
    scene.add("LOSTUSDT", coinglass_symbol=None, skipped_reason="no such coin at CoinGlass")
    scanner = scene.scanner()
    report = scanner.start_round()
    assert 1 == report.coins
    assert report.round_id is not None
    batch = scanner.fetch_batch(report.round_id, "0", pairs("LOSTUSDT", ["7d"]))
    assert ("LOSTUSDT 7d: the coin is not followed any more",) == batch.problems


def test_a_small_plan_fetches_what_is_most_overdue(scene: Scene) -> None:
    """30 calls a minute, 4 % reserved, rounds of 60 s: 28 maps of 40; in the next round the other 12."""
    scene.add(*(f"C{i}USDT" for i in range(5)))
    scene.coinglass = FakeCoinglass(calls_per_min=30, clock=scene.clock)
    scanner = scene.scanner(refresh_interval_s=60)
    first = scene.round(scene.run_round(scanner))
    assert 28 == first.maps_due
    asked = set(scene.coinglass.asked)
    scene.clock.advance(60)
    scene.coinglass.asked.clear()
    scene.run_round(scanner)
    assert 40 == len(asked | set(scene.coinglass.asked))


def test_without_a_budget_no_round_is_started(scene: Scene) -> None:
    """Fail closed."""

    class NoBudget:
        @property
        def calls_per_min(self) -> int:
            raise BudgetUnavailable("away")

    scene.add("EVAAUSDT")
    scene.coinglass.budget = NoBudget()  # type: ignore[assignment]
    scanner = scene.scanner()
    with pytest.raises(BudgetUnavailable):
        scanner.start_round()
    assert [] == scene.dispatcher.jobs


def test_calls_are_written_down(scene: Scene) -> None:
    """Two batches in one minute add up in one row."""
    scene.add("AUSDT", "BUSDT")
    scanner = scene.scanner(heatmap_batch=8)
    report = scanner.start_round()
    for job in scene.jobs("heatmap.fetch_batch"):
        scene.coinglass.usage = [EndpointUsage("/heatmap", 8, 1, 0, 1200)]
        scanner.fetch_batch(**job.kwargs)  # type: ignore[arg-type]
    assert 2 == report.batches
    with scene.db.begin() as work:
        (row,) = work.session.scalars(select(ApiUsage).where(ApiUsage.service == "coinglass"))
    assert ("coinglass", "/heatmap", 16, 2, 1200) == (
        row.service,
        row.endpoint,
        row.calls,
        row.errors,
        row.limit_per_min,
    )


def test_a_map_in_another_unit_is_refused(scene: Scene) -> None:
    """CoinGlass's 100 times 1000 coins is 100,000; Bybit trades at 100: a wrong multiplier."""
    scene.add("1000PEPEUSDT", "EVAAUSDT")
    scene.live = FakeLive(scene.clock, {"1000PEPEUSDT": 100.0, "EVAAUSDT": 101.0})
    round_ = scene.round(scene.run_round(scene.scanner()))
    assert (8, 9) == (round_.maps_failed, round_.maps_stored)
    assert "1000PEPEUSDT" in round_.problems[0]
    assert "its price is 1e+03 times Bybit's" in round_.problems[0]


def test_without_live_prices_maps_are_believed(scene: Scene) -> None:
    """The check is a safety net; its Redis may be away."""
    scene.add("EVAAUSDT")
    scene.live = FakeLive(scene.clock, {}, TryAgain("away"))
    assert 9 == scene.round(scene.run_round(scene.scanner())).maps_stored


def test_refetch_brings_every_range_at_once(scene: Scene) -> None:
    """Urgent, one coin, and then the signal."""
    scene.add("EVAAUSDT", "COAIUSDT")
    report = scene.scanner().refetch("EVAAUSDT", "pre-trade", then_signal_id=7)
    assert {("EVAA", timeframe, True) for timeframe in SERVED_TIMEFRAMES} == set(scene.coinglass.asked)
    assert (9, ()) == (report.counts.stored, report.problems)
    assert [Job("trade.act_on_signal", {"signal_id": 7}, expires_s=120)] == scene.dispatcher.jobs


def test_refetch_without_a_signal_sends_nothing(scene: Scene) -> None:
    """A mover is only looked at."""
    scene.add("EVAAUSDT")
    scene.scanner().refetch("EVAAUSDT", "mover")
    assert [] == scene.dispatcher.jobs


def test_a_failed_refetch_still_leaves_the_signal_to_its_agent(scene: Scene) -> None:
    """The agent sees how old the maps are and says so when it refuses."""
    scene.add("EVAAUSDT")
    scene.coinglass.answer = lambda coin, timeframe: CoinglassUnavailable(f"{coin} {timeframe}")
    report = scene.scanner().refetch("EVAAUSDT", "pre-trade", then_signal_id=7)
    assert (0, 8) == (report.counts.stored, len(report.problems))
    assert 1 == len(scene.jobs("trade.act_on_signal"))


def test_refetch_of_an_unknown_coin_is_named(scene: Scene) -> None:
    """Nothing is asked for, nothing raised."""
    report = scene.scanner().refetch("NOBODYUSDT", "mover")
    assert ("NOBODYUSDT: the coin is not followed",) == report.problems
    assert [] == scene.coinglass.asked


def test_clusters_are_stored_with_their_map(scene: Scene) -> None:
    """One above and one below in each of the 9 maps."""
    scene.add("EVAAUSDT")
    scene.run_round(scene.scanner())
    with scene.db.begin() as work:
        by_side = dict(
            work.session.execute(
                select(LiquidationCluster.side, func.count()).group_by(LiquidationCluster.side)
            ).all()
        )
    assert {"short": 9, "long": 9} == by_side
