"""The table of hit rates against chance: by range, by kind of coin and by coin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from whalestack.math.accuracy import Trials
from whalestack.math.chance import Difference, Share, newcombe, share_of
from whalestack.math.heatmap import Floats, Ints
from whalestack.math.timeframes import TIMEFRAMES

CoinKind = Literal["major", "large", "small"]
Scope = Literal["all", "kind", "coin"]
Verdict = Literal["beats chance", "not shown", "below chance", "too few"]

ALL = "all"
_FINENESS: tuple[Scope, ...] = ("coin", "kind", "all")
LEAST_PERIODS = 5
"""Fewer separate stretches of market than this show nothing, however many coins there are."""
PERIOD_HORIZONS = 2
"""Coins are pooled over stretches of two horizons, so that windows seldom reach into the next."""


@dataclass(frozen=True)
class AccuracyRow:
    """One line: how often the clusters of a group were hit, beside chance.

    Args:
        scope: what `group` names: everything, a kind of coin, or a coin.
        group: "all", "major", "large", "small" or a symbol.
        timeframe: the range.
        clusters: sightings judged.
        votes: of them that watch price by themselves (a coin, side and horizon).
        periods: separate stretches of market time.
        distance_pct: median distance of the centres.
        hit, random, mirror: shares with 95 % intervals; `n` is independent observations.
        over_random, over_mirror: the clusters' share less chance's, with 95 % intervals.
        verdict: see `verdict_of`.
        kind: of the coin, None for groups.
    """

    scope: Scope
    group: str
    timeframe: str
    clusters: int
    votes: int
    periods: int
    distance_pct: float
    hit: Share
    random: Share
    mirror: Share
    over_random: Difference
    over_mirror: Difference
    verdict: Verdict
    kind: CoinKind | None = None

    @property
    def lower_bound(self) -> float:
        """The smaller of both differences' lower bounds: above 0 beats chance."""
        return min(self.over_random.low, self.over_mirror.low)


def kinds_of(
    turnover_usd: Mapping[str, float], majors: frozenset[str], large_share_pct: float
) -> dict[str, CoinKind]:
    """Major by name, large by a place among the first in turnover, else small.

    Args:
        turnover_usd: each coin's turnover over the same time.
        majors: symbols.
        large_share_pct: per cent of the coins that are no majors which count as large.
    """
    others = sorted((each for each in turnover_usd if each not in majors), key=lambda s: -turnover_usd[s])
    large = set(others[: round(len(others) * large_share_pct / 100)])
    return {
        symbol: "major" if symbol in majors else "large" if symbol in large else "small"
        for symbol in turnover_usd
    }


def accuracy_table(
    trials: Sequence[Trials],
    kinds: Mapping[str, CoinKind],
    *,
    min_observations: float,
    coins: bool = True,
) -> tuple[AccuracyRow, ...]:
    """All rows: ranges in order, for each everything, the kinds, the coins.

    Args:
        trials: one for each coin and range.
        kinds: of every coin in `trials`.
        min_observations: independent ones that are enough for a verdict.
        coins: whether to make a row for each coin as well.
    """
    rows: list[AccuracyRow] = []
    for timeframe in TIMEFRAMES:
        here = [each for each in trials if each.timeframe == timeframe and each.hits.size]
        groups: dict[tuple[Scope, str], list[Trials]] = {}
        for each in here:
            groups.setdefault(("all", ALL), []).append(each)
        for kind in ("major", "large", "small"):
            of_kind = [each for each in here if kinds[each.symbol] == kind]
            if of_kind:
                groups["kind", kind] = of_kind
        for each in sorted(here, key=lambda t: t.symbol) if coins else ():
            groups["coin", each.symbol] = [each]
        rows += [
            _row(scope, name, kinds[name] if scope == "coin" else None, group, min_observations)
            for (scope, name), group in groups.items()
        ]
    return tuple(rows)


def is_enough(n: float, periods: int, min_observations: float) -> bool:
    """Whether so many independent observations, in so many separate stretches, allow any verdict."""
    return n >= min_observations and periods >= LEAST_PERIODS


def most_observations(seen_ms: Sequence[Ints], horizon_ms: int) -> tuple[int, int]:
    """Bounds that are quickly known: no row of a range has more observations or stretches than these.

    Args:
        seen_ms: (N,) ascending for each coin, moments of its looks.
        horizon_ms: of the range.

    Returns:
        Independent observations, of which a coin's side has one in a horizon, and stretches.
    """
    spans = [(int(each[0]), int(each[-1])) for each in seen_ms if each.size]
    if not spans:
        return 0, 0

    def blocks(first_ms: int, last_ms: int, length_ms: int) -> int:
        return last_ms // length_ms - first_ms // length_ms + 1

    whole = min(first for first, _ in spans), max(last for _, last in spans)
    votes = sum(2 * blocks(*span, horizon_ms) for span in spans)
    return votes, blocks(*whole, PERIOD_HORIZONS * horizon_ms)


def verdict_of(
    n: float, periods: int, over_random: Difference, over_mirror: Difference, min_observations: float
) -> Verdict:
    """What a row shows.

    "too few": independent observations, or stretches of market, for any verdict.
    "beats chance": the lower bounds of both differences are above 0.
    "below chance": the upper bound of one of them is below 0.
    "not shown": anything else.
    """
    if not is_enough(n, periods, min_observations):
        return "too few"
    if min(over_random.low, over_mirror.low) > 0:
        return "beats chance"
    if min(over_random.high, over_mirror.high) < 0:
        return "below chance"
    return "not shown"


def rows_about(rows: Iterable[AccuracyRow], symbol: str) -> list[AccuracyRow]:
    """The rows of one table that say something of a coin, as `db.coin_inputs` chooses them: its own,
    those of the kind that its own name, everyone's. A coin without a row of its own has no kind.

    Args:
        rows: of one table.
        symbol: of the coin.
    """
    table = list(rows)
    own = [row for row in table if row.scope == "coin" and row.group == symbol]
    groups = {("all", ALL), *(("kind", row.kind) for row in own)}
    return own + [row for row in table if (row.scope, row.group) in groups]


def unproven_ranges(rows: Iterable[AccuracyRow]) -> dict[str, AccuracyRow]:
    """The ranges whose clusters are not shown to beat chance, each with the row that decides.

    A coin's own row decides where it has enough observations, else its kind's, else
    everyone's. Where none has, nothing is known and the range is not in the result.

    Args:
        rows: of one table, about one coin.
    """
    deciding: dict[str, AccuracyRow] = {}
    for row in sorted(rows, key=lambda each: _FINENESS.index(each.scope)):
        if row.verdict != "too few":
            deciding.setdefault(row.timeframe, row)
    return {name: row for name, row in deciding.items() if row.verdict != "beats chance"}


def _row(
    scope: Scope, name: str, kind: CoinKind | None, group: Sequence[Trials], min_observations: float
) -> AccuracyRow:
    def joined(field: str) -> Floats:
        return np.concatenate([getattr(each, field) for each in group])

    weights = joined("weights")
    period_ms = PERIOD_HORIZONS * group[0].horizon_ms
    periods = joined("seen_ms").astype(np.int64) // period_ms
    hit, random, mirror = (
        share_of(joined(field), weights, periods) for field in ("hits", "random_hits", "mirror_hits")
    )
    count = int(np.unique(periods).size)
    over_random, over_mirror = newcombe(hit, random), newcombe(hit, mirror)
    return AccuracyRow(
        scope, name, group[0].timeframe, weights.size, round(float(weights.sum())), count,
        float(np.median(joined("distances_pct"))), hit, random, mirror, over_random, over_mirror,
        verdict_of(hit.n, count, over_random, over_mirror, min_observations), kind,
    )  # fmt: skip
