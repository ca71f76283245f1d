"""What came of a cluster: the rule by which each one is judged, once.

- Only bars that open at or after the detection count. A bar that was running then began
  before anyone knew of the cluster.
- **Hit**: a bar reaches the cluster's centre (its high for one above, its low for one
  below), for the centre is where a take-profit lies. A gap over the centre is a hit. The
  hit is dated to the end of the bar, when it was known.
- **Miss**: no bar that ends by the horizon reached it.
- **Adverse run**: the farthest that price went the other way from the price at detection,
  the bar of the hit included: which of its ends came first is not known, so the worse is taken.
- **Beyond**: how far price ran past the far edge in the hour from the hit's bar on.
- **Came back**: how far price returned from the farthest point of that hour within it. Only
  bars after the farthest point's own count: which of a bar's ends came first is not known.
- **Unknown**: bars for less than nine tenths of the time are there. Then nothing is judged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whalestack.math.directions import ClusterSide
from whalestack.math.heatmap import Floats

LEAST_COVERAGE = 0.9


@dataclass(frozen=True, eq=False)
class Path:
    """Bars of one coin in time order.

    Args:
        starts_ms: (N,) opening of each bar, market ms.
        highs, lows: (N,).
        bar_ms: length of a bar.
    """

    starts_ms: NDArray[np.int64]
    highs: Floats
    lows: Floats
    bar_ms: int

    def between(self, start_ms: int, end_ms: int) -> Path:
        """The bars that open at or after `start_ms` and end by `end_ms`."""
        first = int(np.searchsorted(self.starts_ms, start_ms))
        last = int(np.searchsorted(self.starts_ms, end_ms - self.bar_ms, side="right"))
        span = slice(first, max(last, first))
        return Path(self.starts_ms[span], self.highs[span], self.lows[span], self.bar_ms)


@dataclass(frozen=True)
class Verdict:
    """What came of a cluster.

    Args:
        hit: whether the centre was reached within the horizon.
        hit_ms: end of the bar that reached it, market ms; None for a miss.
        adverse_pct: see above, at least 0.
    """

    hit: bool
    hit_ms: int | None
    adverse_pct: float


def first_hit(path: Path, side: ClusterSide, center: float) -> int | None:
    """The index of the first bar that reaches the centre, None if no bar does."""
    reached = path.highs >= center if side == "short" else path.lows <= center
    return int(np.argmax(reached)) if reached.any() else None


def judge(
    path: Path,
    *,
    side: ClusterSide,
    center: float,
    detected_price: float,
    detected_ms: int,
    horizon_ms: int,
    now_ms: int,
) -> Verdict | None:
    """The verdict on one cluster, None while there is none.

    Args:
        path: bars of the coin, from the detection on.
        side: of the cluster.
        center: its centre, price.
        detected_price: the coin's price when it was detected, above 0.
        detected_ms, horizon_ms: from when to when it is followed, market ms.
        now_ms: bars that have not ended by now are not looked at.
    """
    followed = path.between(detected_ms, min(horizon_ms, now_ms))
    index = first_hit(followed, side, center)
    if index is not None:
        seen = Path(
            followed.starts_ms[: index + 1],
            followed.highs[: index + 1],
            followed.lows[: index + 1],
            path.bar_ms,
        )
        hit_ms = int(followed.starts_ms[index]) + path.bar_ms
        return Verdict(True, hit_ms, adverse_run_pct(seen, side, detected_price))
    if now_ms < horizon_ms or not is_covered(followed, detected_ms, horizon_ms):
        return None
    return Verdict(False, None, adverse_run_pct(followed, side, detected_price))


def is_covered(path: Path, start_ms: int, end_ms: int) -> bool:
    """Whether bars for at least nine tenths of the time are there."""
    asked = (end_ms - start_ms) // path.bar_ms
    return path.starts_ms.size >= LEAST_COVERAGE * asked


def adverse_run_pct(path: Path, side: ClusterSide, detected_price: float) -> float:
    """How far price went away from the cluster, per cent of the price at detection, at least 0."""
    if path.starts_ms.size == 0:
        return 0.0
    against = detected_price - path.lows.min() if side == "short" else path.highs.max() - detected_price
    return max(float(against) / detected_price * 100, 0.0)


def beyond_run_pct(path: Path, side: ClusterSide, far_edge: float) -> float:
    """How far price went past the far edge, per cent of the edge, at least 0.

    Args:
        path: the bars from the hit's on.
        side: of the cluster.
        far_edge: price, above 0.
    """
    if path.starts_ms.size == 0:
        return 0.0
    past = path.highs.max() - far_edge if side == "short" else far_edge - path.lows.min()
    return max(float(past) / far_edge * 100, 0.0)


def came_back_pct(path: Path, side: ClusterSide) -> float:
    """How far price came back from its farthest point, per cent of that point, at least 0.

    Args:
        path: the bars from the hit's on.
        side: of the cluster: the farthest point beyond one above is the highest high.
    """
    if path.starts_ms.size == 0:
        return 0.0
    turn = int(np.argmax(path.highs) if side == "short" else np.argmin(path.lows))
    highs, lows = path.highs[turn + 1 :], path.lows[turn + 1 :]
    if highs.size == 0:
        return 0.0
    if side == "short":
        return max(float(path.highs[turn] - lows.min()) / float(path.highs[turn]) * 100, 0.0)
    return max(float(highs.max() - path.lows[turn]) / float(path.lows[turn]) * 100, 0.0)
