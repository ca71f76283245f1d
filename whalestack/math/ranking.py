"""The score of a coin, and the order of coins."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from whalestack.math.directions import RankedDirection

CLUSTER_SIZE_CAP_PCT = 200.0
TYPICAL_PCT = 100.0


@dataclass(frozen=True)
class Candidate:
    """What one coin brings to the ranking.

    Args:
        symbol: of the coin.
        direction: NEUTRAL is dropped.
        imbalance_ratio: the larger side's share, 0.5 to 1.
        cluster_size_pct: dominant side over the coin's typical one, per cent.
        historical_success: 0 to 1, shrunk.
        blocked_reason: why it must not be ranked at all (a major, no fresh map), else None.
    """

    symbol: str
    direction: RankedDirection
    imbalance_ratio: float
    cluster_size_pct: float
    historical_success: float
    blocked_reason: str | None = None


@dataclass(frozen=True)
class RankedCoin:
    """A coin's place. Either `rank` (1 is best) or `dropped_reason` is given."""

    symbol: str
    rank: int | None
    score: float | None
    dropped_reason: str | None


def score(imbalance_ratio: float, cluster_size_pct: float, historical_success: float) -> float:
    """`imbalance_ratio*50 + min(cluster_size_pct, 200)*0.3 + historical_success*20`.

    Args:
        imbalance_ratio: 0.5 to 1.
        cluster_size_pct: per cent of the coin's typical size, not negative.
        historical_success: 0 to 1.

    Returns:
        25 to 130.
    """
    return imbalance_ratio * 50 + min(cluster_size_pct, CLUSTER_SIZE_CAP_PCT) * 0.3 + historical_success * 20


def cluster_size_pct(dominant_usd: float, typical_usd: float | None) -> float:
    """The dominant side's size over the coin's typical one, in per cent.

    A coin whose typical size is not known yet counts as typical (100): it is neither
    favoured nor punished for being new.
    """
    if typical_usd is None or typical_usd <= 0:
        return TYPICAL_PCT
    return dominant_usd / typical_usd * 100


def shrunk_rate(hits: float, n: float, prior: float, weight: float) -> float:
    """A success rate drawn toward the market's mean while there is little.

    `(hits + prior*weight) / (n + weight)`: the mean of a beta distribution whose prior is
    worth `weight` observations.

    Args:
        hits: successes, 0 to n.
        n: observations.
        prior: the market's mean rate, 0 to 1.
        weight: how many observations the prior is worth.

    Returns:
        0 to 1; the prior itself while there is nothing at all.
    """
    if n + weight <= 0:
        return prior
    return (hits + prior * weight) / (n + weight)


def rank(candidates: Iterable[Candidate], *, top: int) -> tuple[RankedCoin, ...]:
    """Order the coins by score; every one that is not among the first `top` says why.

    Ties go to the larger imbalance, then to the symbol, so that the order is one and the
    same wherever it is computed.

    Returns:
        The ranked coins, best first, then the dropped ones.
    """
    judged = [(candidate, _score_of(candidate)) for candidate in candidates]
    judged.sort(key=lambda pair: (-pair[1], -pair[0].imbalance_ratio, pair[0].symbol))
    eligible = [pair for pair in judged if _drop_reason(pair[0]) is None]
    ranked = [
        RankedCoin(candidate.symbol, place, points, None)
        for place, (candidate, points) in enumerate(eligible[:top], start=1)
    ]
    below = [
        RankedCoin(candidate.symbol, None, points, f"place {place}, below the top {top}")
        for place, (candidate, points) in enumerate(eligible[top:], start=top + 1)
    ]
    dropped = [
        RankedCoin(candidate.symbol, None, points, reason)
        for candidate, points in judged
        if (reason := _drop_reason(candidate)) is not None
    ]
    return (*ranked, *below, *dropped)


def _score_of(candidate: Candidate) -> float:
    return score(candidate.imbalance_ratio, candidate.cluster_size_pct, candidate.historical_success)


def _drop_reason(candidate: Candidate) -> str | None:
    if candidate.blocked_reason is not None:
        return candidate.blocked_reason
    if candidate.direction == "NEUTRAL":
        return f"neutral: the larger side has {candidate.imbalance_ratio * 100:.1f} %"
    return None
