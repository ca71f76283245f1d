"""The score and the order."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whalestack.math.ranking import Candidate, cluster_size_pct, rank, score, shrunk_rate


def candidate(symbol, ratio=0.7, size=100.0, success=0.5, direction="LONG", blocked=None):
    return Candidate(symbol, direction, ratio, size, success, blocked)


@pytest.mark.parametrize(
    ("ratio", "size", "success", "expected"),
    [
        (0.7, 150, 0.5, 90.0),  # 35 + 45 + 10
        (0.5, 0, 0.0, 25.0),  # 25 + 0 + 0
        (1.0, 200, 1.0, 130.0),  # 50 + 60 + 20
        (1.0, 5000, 1.0, 130.0),  # the size is capped at 200
    ],
)
def test_score_by_hand(ratio, size, success, expected):
    """ratio*50 + min(size, 200)*0.3 + success*20."""
    assert score(ratio, size, success) == pytest.approx(expected)


def test_shrunk_rate_by_hand():
    """(3 + 0.5*20) / (4 + 20) = 13/24; with nothing at all it is the prior; with no prior the record."""
    assert shrunk_rate(3, 4, 0.5, 20) == pytest.approx(13 / 24)
    assert shrunk_rate(0, 0, 0.4, 20) == pytest.approx(0.4)
    assert shrunk_rate(0, 0, 0.4, 0) == pytest.approx(0.4)
    assert shrunk_rate(3, 4, 0.5, 0) == 0.75


@given(st.integers(0, 1000), st.integers(0, 1000), st.floats(0, 1), st.floats(0.1, 100))
def test_shrunk_rate_lies_between_record_and_prior(hits, misses, prior, weight):
    """It is drawn toward the prior and never past it."""
    n = hits + misses
    rate = shrunk_rate(hits, n, prior, weight)
    record = hits / n if n else prior
    assert min(record, prior) - 1e-12 <= rate <= max(record, prior) + 1e-12


def test_cluster_size_in_per_cent_of_the_typical_one():
    """30M over 20M is 150 %; an unknown typical size counts as typical."""
    assert cluster_size_pct(30e6, 20e6) == 150.0
    assert cluster_size_pct(30e6, None) == 100.0
    assert cluster_size_pct(30e6, 0.0) == 100.0


def test_the_top_is_kept_and_every_other_coin_says_why():
    """Scores: A 25+30+10=65 (neutral), B 40+30+10=80, C 35+30+10=75, D 45+30+10=85, E blocked."""
    coins = [
        candidate("A", 0.5, direction="NEUTRAL"),
        candidate("B", 0.8),
        candidate("C", 0.7),
        candidate("D", 0.9),
        candidate("E", 0.99, blocked="a major"),
    ]
    assert [(c.symbol, c.rank, c.dropped_reason) for c in rank(coins, top=2)] == [
        ("D", 1, None),
        ("B", 2, None),
        ("C", None, "place 3, below the top 2"),
        ("E", None, "a major"),
        ("A", None, "neutral: the larger side has 50.0 %"),
    ]


@given(st.lists(st.tuples(st.floats(0.5, 1), st.floats(0, 400)), max_size=15), st.randoms())
def test_the_order_does_not_depend_on_the_order_of_arrival(rows, shuffler: random.Random):
    """Ties are broken by imbalance and symbol, so any worker computes the same ranking."""
    coins = [candidate(f"C{i:02}", ratio, size) for i, (ratio, size) in enumerate(rows)]
    shuffled = list(coins)
    shuffler.shuffle(shuffled)
    assert rank(shuffled, top=5) == rank(coins, top=5)
    assert len(rank(coins, top=5)) == len(coins)
