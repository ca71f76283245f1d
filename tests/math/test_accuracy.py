"""Clusters beside levels drawn at random: the rule, the matching, and what must not be seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whalestack.math.accuracy import BarGrid, Sightings, judge_beside_chance
from whalestack.math.accuracy_table import accuracy_table, kinds_of, most_observations
from whalestack.math.outcomes import Path, judge

BAR_MS = 300_000
DAY_BARS = 288


def walk(seed, count, sigma=0.002):
    """Bars of a random walk; sigma may be one for each bar."""
    rng = np.random.default_rng(seed)
    points = np.cumsum(rng.normal(0, 1, (count, 12)) * np.broadcast_to(sigma, count)[:, None] / 12**0.5)
    prices = 100 * np.exp(points.reshape(count, 12))
    return BarGrid(0, BAR_MS, prices.max(axis=1), prices.min(axis=1), prices[:, -1])


def looks(grid, bars, ratios, symbol="AUSDT"):
    """Clusters at these ratios to the price, seen as these bars open."""
    bars = np.asarray(bars)
    prices = grid.price_before(bars)
    return Sightings(symbol, "12h", bars * BAR_MS, prices, prices * ratios)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.booleans())
def test_a_hit_is_what_the_outcome_rule_says(seed, width, above):
    """The same verdicts as `judge`, one by one, on the same bars."""
    grid = walk(seed, 400)
    ratio = 1.01 if above else 0.99
    sightings = looks(grid, np.arange(300, 400), ratio)
    trials = judge_beside_chance(grid, sightings, width * BAR_MS)
    path = Path(np.arange(400) * BAR_MS, grid.highs, grid.lows, BAR_MS)
    verdicts = [
        judge(path, side="short" if above else "long", center=center, detected_price=price,
              detected_ms=int(seen), horizon_ms=int(seen) + width * BAR_MS, now_ms=400 * BAR_MS)
        for seen, price, center in zip(sightings.seen_ms, sightings.prices, sightings.centers, strict=True)
        if seen + width * BAR_MS <= 400 * BAR_MS
    ]  # fmt: skip
    assert trials.hits.tolist() == [float(verdict.hit) for verdict in verdicts]


def test_on_random_walks_clusters_are_worth_nothing():
    """Of 40 walks without any pull the intervals of 38 must hold 0 (95 %); and nobody beats both."""
    rng = np.random.default_rng(1)
    rows = []
    for seed in range(40):
        grid = walk(seed, 20 * DAY_BARS)
        bars = np.arange(DAY_BARS, 19 * DAY_BARS, 13)
        ratios = rng.choice([0.97, 0.985, 1.015, 1.03], bars.size)
        trials = judge_beside_chance(grid, looks(grid, bars, ratios), 144 * BAR_MS)
        rows += accuracy_table([trials], {"AUSDT": "small"}, min_observations=20, coins=False)[:1]
    for over in ([row.over_random for row in rows], [row.over_mirror for row in rows]):
        assert sum(each.low <= 0 <= each.high for each in over) >= 37
        assert np.mean([each.value for each in over]) == pytest.approx(0, abs=0.02)
    assert not any(row.verdict == "beats chance" for row in rows)


def test_levels_that_price_goes_to_beat_both():
    """Seen with the answer known: each level lies just inside the coming high or low."""
    grid = walk(8, 40 * DAY_BARS)
    bars = np.arange(DAY_BARS, 39 * DAY_BARS, 72)
    prices = grid.price_before(bars)
    highs = np.array([grid.highs[bar : bar + 144].max() for bar in bars])
    lows = np.array([grid.lows[bar : bar + 144].min() for bar in bars])
    up = highs / prices > prices / lows
    ratios = np.where(up, 1 + (highs / prices - 1) * 0.9, 1 - (1 - lows / prices) * 0.9)
    trials = judge_beside_chance(grid, looks(grid, bars, ratios), 144 * BAR_MS)
    (row,) = accuracy_table([trials], {"AUSDT": "small"}, min_observations=30, coins=False)[:1]
    assert row.verdict == "beats chance"
    assert row.hit.rate == 1.0
    assert row.lower_bound > 0.1


def test_chance_is_drawn_where_volatility_is_alike():
    """Ten calm and ten wild days in turn, levels seen in the wild ones only: chance is as in the wild."""
    wild = np.arange(120 * DAY_BARS) // (10 * DAY_BARS) % 2 == 1
    grid = walk(9, 120 * DAY_BARS, sigma=np.where(wild, 0.004, 0.0005))
    seen = np.flatnonzero(wild & np.roll(wild, DAY_BARS))[::7]
    trials = judge_beside_chance(grid, looks(grid, seen, 1.02), 144 * BAR_MS)
    assert trials.hits.mean() > 0.5
    assert trials.random_hits.mean() == pytest.approx(trials.hits.mean(), abs=0.06)


def test_by_hand_on_a_price_that_spikes_every_tenth_bar():
    """Price 100, a high of 103 in every tenth bar: a level at 102 is hit within ten bars always,
    within five in half of all moments; its mirror at 98.04 never."""
    highs = np.where(np.arange(1000) % 10 == 0, 103.0, 100.1)
    grid = BarGrid(0, BAR_MS, highs, np.full(1000, 99.9), np.full(1000, 100.0))
    bars = np.arange(400, 900)
    ten = judge_beside_chance(grid, looks(grid, bars, 1.02), 10 * BAR_MS)
    assert (ten.hits.mean(), ten.random_hits.mean(), ten.mirror_hits.mean()) == (1.0, 1.0, 0.0)
    five = judge_beside_chance(grid, looks(grid, bars, 1.02), 5 * BAR_MS)
    assert five.hits.mean() == 0.5
    assert five.random_hits.mean() == pytest.approx(0.5, abs=0.03)


def test_a_horizon_that_ends_after_the_data_is_not_judged():
    """Neither a miss nor, though it was reached already, a hit."""
    grid = walk(3, 600)
    trials = judge_beside_chance(grid, looks(grid, [500, 560], 1.0001), 50 * BAR_MS)
    assert trials.seen_ms.tolist() == [500 * BAR_MS]


def test_a_look_between_two_bars_counts_from_the_next():
    """The bar that was running began before anyone knew of the cluster."""
    highs = np.full(400, 100.1)
    highs[350] = 105.0
    grid = BarGrid(0, BAR_MS, highs, np.full(400, 99.9), np.full(400, 100.0))
    late = Sightings("AUSDT", "12h", np.array([350 * BAR_MS + 1]), np.array([100.0]), np.array([104.0]))
    in_time = Sightings("AUSDT", "12h", np.array([350 * BAR_MS]), np.array([100.0]), np.array([104.0]))
    assert judge_beside_chance(grid, late, 10 * BAR_MS).hits.tolist() == [0.0]
    assert judge_beside_chance(grid, in_time, 10 * BAR_MS).hits.tolist() == [1.0]


def test_windows_with_holes_are_left_out():
    """A tenth of the bars may be missing, not more."""
    grid = walk(4, 700)
    for bars in (grid.highs, grid.lows, grid.closes):
        bars[505:512] = np.nan
    trials = judge_beside_chance(grid, looks(grid, [420, 500], 1.01), 50 * BAR_MS)
    assert trials.seen_ms.tolist() == [420 * BAR_MS]


def test_nothing_after_the_end_is_seen():
    """What comes after the table's moment changes no figure in it."""
    grid, other = walk(5, 3000), walk(6, 3000)
    cut = 2000
    changed = BarGrid(
        0, BAR_MS, *(np.concatenate([mine[:cut], its[cut:]]) for mine, its in
                     ((grid.highs, other.highs), (grid.lows, other.lows), (grid.closes, other.closes)))
    )  # fmt: skip
    sightings = looks(grid, np.arange(300, 1900, 11), 1.01)
    early, late = (
        judge_beside_chance(each.before(cut * BAR_MS), sightings, 40 * BAR_MS) for each in (grid, changed)
    )
    for name in ("hits", "random_hits", "mirror_hits", "weights"):
        np.testing.assert_array_equal(getattr(early, name), getattr(late, name))
    np.testing.assert_array_equal(grid.volatility[: cut + 1], changed.volatility[: cut + 1])


def test_draws_come_from_the_seed_and_the_coin():
    """Twice the same; another seed, or another coin, draws others."""
    grid = walk(11, 3000)
    sightings = looks(grid, np.arange(300, 2900, 11), 1.01)
    first, again = (judge_beside_chance(grid, sightings, 40 * BAR_MS) for _ in range(2))
    np.testing.assert_array_equal(first.random_hits, again.random_hits)
    reseeded = judge_beside_chance(grid, sightings, 40 * BAR_MS, seed=1)
    renamed = judge_beside_chance(
        grid, looks(grid, np.arange(300, 2900, 11), 1.01, symbol="BUSDT"), 40 * BAR_MS
    )
    assert (first.random_hits != reseeded.random_hits).any()
    assert (first.random_hits != renamed.random_hits).any()


def test_clusters_of_one_horizon_and_side_share_a_vote():
    """Ten looks within a horizon above, five below: two votes."""
    grid = walk(12, 800)
    bars = np.concatenate([np.arange(400, 410), np.arange(400, 405)])
    trials = judge_beside_chance(grid, looks(grid, bars, np.repeat([1.01, 0.99], [10, 5])), 100 * BAR_MS)
    assert trials.weights.sum() == pytest.approx(2.0)


def test_little_is_called_too_few():
    """Whatever it shows."""
    grid = walk(13, 800)
    trials = judge_beside_chance(grid, looks(grid, np.arange(400, 500), 1.001), 100 * BAR_MS)
    rows = accuracy_table([trials], {"AUSDT": "small"}, min_observations=30)
    assert {row.verdict for row in rows} == {"too few"}
    assert [(row.scope, row.group) for row in rows] == [
        ("all", "all"), ("kind", "small"), ("coin", "AUSDT"),
    ]  # fmt: skip


def test_kinds_by_name_and_turnover():
    """A fifth of five coins that are no majors is one."""
    turnover = {"BTCUSDT": 9e9, "A": 5.0, "B": 4.0, "C": 3.0, "D": 2.0, "E": 1.0}
    kinds = kinds_of(turnover, frozenset({"BTCUSDT"}), 20.0)
    assert kinds == {"BTCUSDT": "major", "A": "large"} | dict.fromkeys("BCDE", "small")


def test_bars_off_the_grid_are_refused():
    """A bar that opens in the middle of another."""
    one = np.ones(2)
    with pytest.raises(ValueError, match="do not open every"):
        BarGrid.of(np.array([0, 7]), one, one, one, BAR_MS)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 10_000), st.lists(st.integers(1, 12), min_size=1, max_size=3), st.sampled_from([36, 144])
)
def test_no_row_has_more_observations_than_its_moments_allow(seed, coins, width):
    """The bound by which the backtest knows, before anything is judged, that a table can say nothing."""
    rng, horizon_ms, trials, seen = np.random.default_rng(seed), width * BAR_MS, [], []
    for number, count in enumerate(coins):
        bars = np.sort(rng.integers(300, 1500, count))
        sightings = looks(walk(seed + number, 2000), bars, rng.choice([0.99, 0.997, 1.003, 1.01], count))
        seen.append(sightings.seen_ms)
        trial = judge_beside_chance(walk(seed + number, 2000), sightings, horizon_ms)
        trials.append(replace(trial, symbol=f"C{number}"))
    rows = accuracy_table(trials, {each.symbol: "small" for each in trials}, min_observations=1)
    most, periods = most_observations(seen, horizon_ms)

    assert max(row.votes for row in rows) <= most
    assert max(row.hit.n for row in rows) <= most + 1e-9
    assert max(row.periods for row in rows) <= periods
    assert most_observations([], horizon_ms) == (0, 0)
