"""How sure a share is: intervals for one, for the difference of two, and what repetition is worth."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from whalestack.math.heatmap import Floats

Z_95 = 1.959963984540054


@dataclass(frozen=True)
class Share:
    """A share with its interval.

    Args:
        rate: 0 to 1.
        low, high: bounds, 0 to 1.
        n: independent observations that it rests on; need not be whole.
    """

    rate: float
    low: float
    high: float
    n: float


@dataclass(frozen=True)
class Difference:
    """One share less another, with its interval, -1 to 1."""

    value: float
    low: float
    high: float


def wilson(rate: float, n: float, z: float = Z_95) -> Share:
    """Wilson's score interval (Wilson 1927, J. Am. Stat. Assoc. 22:209; without continuity correction).

    Args:
        rate: observed share, 0 to 1.
        n: observations; with none nothing is known: 0 to 1.
        z: normal quantile, 1.96 for 95 %.

    Raises:
        ValueError: the rate is no share or n is negative.
    """
    if not (0 <= rate <= 1 and n >= 0):
        raise ValueError(f"{rate} of {n} observations is no share")
    middle = (n * rate + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * sqrt(n * rate * (1 - rate) + z * z / 4)
    # Rounding must not put the bound of nothing, or of everything, a hair beyond it.
    return Share(rate, max(min(middle - half, rate), 0.0), min(max(middle + half, rate), 1.0), n)


def newcombe(first: Share, second: Share) -> Difference:
    """The difference of two shares (Newcombe 1998, Statistics in Medicine 17:873, method 10).

    The shares count as independent. Where they rise and fall together, as shares of the same
    hours do, the true interval is narrower: this one errs on the careful side.
    """
    value = first.rate - second.rate
    return Difference(
        value,
        value - sqrt((first.rate - first.low) ** 2 + (second.high - second.rate) ** 2),
        value + sqrt((first.high - first.rate) ** 2 + (second.rate - second.low) ** 2),
    )


def independent_observations(values: Floats, weights: Floats, periods: NDArray[np.int64]) -> float:
    """How many independent observations give a weighted share the spread that its periods show.

    Coins rise and fall together, so a thousand clusters of one afternoon are not a thousand
    experiments. The variance of the share is taken between periods (the ratio estimator of
    cluster sampling: Cochran, Sampling Techniques, 1977, 11.1), and the binomial variance over
    it is the number that counts (Kish's effective sample size), at most the sum of weights.
    Where every period says the same (all hit, none hit) each period counts once.

    Args:
        values: (N,) 0 to 1.
        weights: (N,) above 0.
        periods: (N,) stretch of time each value belongs to.
    """
    if values.size == 0:
        return 0.0
    total = float(weights.sum())
    rate = float(weights @ values) / total
    _, places = np.unique(periods, return_inverse=True)
    residuals = np.bincount(places, weights * (values - rate))
    count = residuals.size
    if count < 2:
        return 1.0
    spread = float(residuals @ residuals) / total**2 * count / (count - 1)
    binomial = rate * (1 - rate)
    if binomial <= 0 or spread <= 0:
        return min(float(count), total)
    return min(binomial / spread, total)


def share_of(values: Floats, weights: Floats, periods: NDArray[np.int64]) -> Share:
    """The weighted share with Wilson's interval over its independent observations; see above."""
    if values.size == 0:
        return wilson(0.0, 0.0)
    rate = min(max(float(weights @ values / weights.sum()), 0.0), 1.0)
    return wilson(rate, independent_observations(values, weights, periods))
