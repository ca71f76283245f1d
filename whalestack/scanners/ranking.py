"""The ranking: every followed coin scored from its latest maps; every dropped one says why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy.orm import Session

from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.db.cluster_store import NOISE_SHARE, StandingCluster, learn_cluster_sizes, standing_clusters
from whalestack.db.engine import Database
from whalestack.db.heatmap_rows import StoredMap
from whalestack.db.heatmap_store import latest_maps
from whalestack.db.ranking_store import (
    RankableCoin,
    Record,
    insert_ranking,
    rankable_coins,
    records,
    round_ended_since_ranking,
    typical_sizes,
)
from whalestack.math.directions import target_side
from whalestack.math.imbalance import Imbalance, aggregate_imbalance
from whalestack.math.ranking import Candidate, RankedCoin, cluster_size_pct, rank, shrunk_rate
from whalestack.math.timeframes import TIMEFRAMES, may_trade_range
from whalestack.scanners.leading_clusters import nearest_target, side_size_usd

log = structlog.get_logger()


@dataclass(frozen=True)
class TopCoin:
    """One ranked coin."""

    rank: int
    symbol: str
    direction: str
    score: float
    target_price: float


@dataclass(frozen=True)
class RankingReport:
    """One ranking.

    Args:
        created_at: market time; names the ranking's rows.
        top: the ranked coins, best first.
        dropped: coins that were not ranked; why stands in their rows.
        sizes_learned: coins whose typical cluster size was moved.
    """

    created_at: datetime
    top: tuple[TopCoin, ...]
    dropped: int
    sizes_learned: int


@dataclass(frozen=True)
class _Judged:
    """What one coin brings, and what it was made of."""

    candidate: Candidate
    imbalance: Imbalance
    target: StandingCluster | None = None
    price: float | None = None
    typical_now_usd: float = 0.0
    observations: int = 0
    maps: tuple[StoredMap, ...] = ()


class RankingScanner:
    """Ranks every followed coin.

    Args:
        db: of this process.
        settings: how many are ranked, the neutral band, the prior of success.
        clock: market time.
    """

    def __init__(self, *, db: Database, settings: Settings, clock: Clock) -> None:
        self._db = db
        self._settings = settings
        self._clock = clock

    def rank(self) -> RankingReport:
        """Rank now and write one row for each followed coin.

        After a refresh has ended, each coin's typical cluster size learns from it; the
        ranking itself is made with what was typical before.
        """
        now = self._clock.now()
        since = now - timedelta(seconds=self._settings.ranking_map_max_age_s)
        with self._db.begin() as work:
            judged = self._judge_all(work.session, since)
            places = rank([each.candidate for each in judged.values()], top=self._settings.ranking_top)
            learned = self._learn(work.session, judged, now)
            insert_ranking(work.session, [_row(place, judged[place.symbol], now) for place in places])
        top = tuple(_top(place, judged[place.symbol]) for place in places if place.rank is not None)
        log.info(
            "coins_ranked",
            ranked=len(top),
            dropped=len(places) - len(top),
            first=[f"{each.symbol} {each.direction}" for each in top[: self._settings.ranking_watch]],
        )
        return RankingReport(now, top, len(places) - len(top), learned)

    def _judge_all(self, session: Session, since: datetime) -> dict[str, _Judged]:
        maps = latest_maps(session, since=since)
        maps_of: dict[str, list[StoredMap]] = defaultdict(list)
        for each in maps:
            maps_of[each.symbol].append(each)
        history = History(records(session), typical_sizes(session), self._settings)
        targets = [each for each in maps if each.level_map.timeframe in history.tradable(each.symbol)]
        clusters_of: dict[str, list[StandingCluster]] = defaultdict(list)
        for cluster in standing_clusters(session, targets):
            clusters_of[cluster.symbol].append(cluster)
        return {
            coin.symbol: self._judge(coin, maps_of[coin.symbol], clusters_of[coin.symbol], history)
            for coin in rankable_coins(session)
        }

    def _judge(
        self,
        coin: RankableCoin,
        maps: Sequence[StoredMap],
        clusters: Sequence[StandingCluster],
        history: History,
    ) -> _Judged:
        imbalance = aggregate_imbalance(
            [each.level_map for each in maps], neutral_band_pct=self._settings.neutral_band_pct
        )
        timeframes = {each.level_map.timeframe for each in maps}
        price = max(maps, key=lambda each: each.fetched_at).level_map.price if maps else None
        sizes = {side: side_size_usd(clusters, side, timeframes) for side in ("short", "long")}
        candidate, target = candidate_of(coin, imbalance, clusters, price, sizes, history)
        return _Judged(
            candidate=candidate,
            imbalance=imbalance,
            target=target,
            price=price,
            typical_now_usd=sum(sizes.values()) / 2,
            observations=history.success(coin.symbol)[1],
            maps=tuple(maps),
        )

    def _learn(self, session: Session, judged: Mapping[str, _Judged], now: datetime) -> int:
        if not round_ended_since_ranking(session):
            return 0
        sizes = {symbol: each.typical_now_usd for symbol, each in judged.items() if each.typical_now_usd > 0}
        learn_cluster_sizes(session, sizes, now)
        return len(sizes)


def candidate_of(
    coin: RankableCoin,
    imbalance: Imbalance,
    clusters: Sequence[StandingCluster],
    price: float | None,
    sizes_usd: Mapping[str, float],
    history: History,
) -> tuple[Candidate, StandingCluster | None]:
    """What one coin brings to the ranking, and the cluster it would run to.

    Args:
        coin: followed.
        imbalance: over all its maps.
        clusters: that stand in its maps, of ranges whose clusters may be targets.
        price: of its newest map, None where it has none.
        sizes_usd: of its sides, by "short" and "long".
        history: of all coins.
    """
    target = None
    typical_usd = history.typical_usd.get(coin.symbol)
    if imbalance.direction != "NEUTRAL" and price is not None:
        # As the agents choose: what they would not aim at is no target here either.
        least_usd = NOISE_SHARE * (typical_usd or 0.0)
        target = nearest_target(clusters, imbalance.direction, price, least_usd=least_usd)
    dominant_usd = sizes_usd.get(_dominant_side(imbalance), 0.0)
    candidate = Candidate(
        symbol=coin.symbol,
        direction=imbalance.direction,
        imbalance_ratio=imbalance.imbalance_ratio,
        cluster_size_pct=cluster_size_pct(dominant_usd, typical_usd),
        historical_success=history.success(coin.symbol)[0],
        blocked_reason=_blocked(coin, imbalance, price, target),
    )
    return candidate, target


class History:
    """What the past says of each coin.

    Args:
        found: every coin's record on every range.
        typical_usd: by symbol.
        settings: prior and weight of success, what a short range must show.
    """

    def __init__(self, found: Sequence[Record], typical_usd: Mapping[str, float], settings: Settings) -> None:
        self.typical_usd = typical_usd
        self._settings = settings
        self._tradable: dict[str, frozenset[str]] = {}
        self._success: dict[str, tuple[float, int]] = {}
        self._of: dict[str, dict[str, Record]] = defaultdict(dict)
        for each in found:
            self._of[each.symbol][each.timeframe] = each
        hits, observations = sum(each.hits for each in found), sum(each.observations for each in found)
        self._market = self._shrunk(hits, observations, settings.success_prior)

    def tradable(self, symbol: str) -> frozenset[str]:
        """Ranges whose clusters may be this coin's targets."""
        if symbol not in self._tradable:
            self._tradable[symbol] = frozenset(each for each in TIMEFRAMES if self._may_trade(symbol, each))
        return self._tradable[symbol]

    def success(self, symbol: str) -> tuple[float, int]:
        """The coin's success over its tradable ranges, shrunk toward the market's mean; observations."""
        if symbol not in self._success:
            tradable = self.tradable(symbol)
            own = [each for name, each in self._of[symbol].items() if name in tradable]
            hits, observations = sum(each.hits for each in own), sum(each.observations for each in own)
            self._success[symbol] = self._shrunk(hits, observations, self._market), observations
        return self._success[symbol]

    def _may_trade(self, symbol: str, timeframe: str) -> bool:
        record = self._of[symbol].get(timeframe)
        return may_trade_range(
            timeframe,
            hits=record.hits if record else 0,
            observations=record.observations if record else 0,
            min_observations=self._settings.min_observations,
            min_success=self._settings.short_range_min_success,
        )

    def _shrunk(self, hits: int, observations: int, prior: float) -> float:
        return shrunk_rate(hits, observations, prior, self._settings.success_prior_weight)


def _dominant_side(imbalance: Imbalance) -> str:
    """Whose liquidations weigh more; of neutral coins too, for their rows."""
    if imbalance.direction != "NEUTRAL":
        return target_side(imbalance.direction)
    return "short" if imbalance.short_usd >= imbalance.long_usd else "long"


def _blocked(
    coin: RankableCoin, imbalance: Imbalance, price: float | None, target: StandingCluster | None
) -> str | None:
    """Why a coin must not be ranked whatever its score; None where it may be."""
    if coin.is_major:
        return "a major: never traded automatically"
    if price is None:
        return "no heat map that is young enough"
    if imbalance.direction != "NEUTRAL" and target is None:
        return f"no tradable cluster in the ranked direction ({imbalance.direction})"
    return None


def _row(place: RankedCoin, judged: _Judged, now: datetime) -> dict[str, Any]:
    candidate = judged.candidate
    return {
        "symbol": place.symbol,
        "created_at": now,
        "rank": place.rank,
        "imbalance_ratio": candidate.imbalance_ratio,
        "direction": candidate.direction,
        "score": place.score,
        "target_price": judged.target.price_center if judged.target else None,
        "price": judged.price,
        "long_usd": judged.imbalance.long_usd,
        "short_usd": judged.imbalance.short_usd,
        "cluster_size_pct": candidate.cluster_size_pct,
        "historical_success": candidate.historical_success,
        "observations": judged.observations,
        "oldest_map_at": min((each.fetched_at for each in judged.maps), default=None),
        "dropped_reason": place.dropped_reason,
        "made_of": _made_of(judged, now),
    }


def _made_of(judged: _Judged, now: datetime) -> dict[str, Any]:
    ages = {
        each.level_map.timeframe: round((now - each.fetched_at).total_seconds(), 1) for each in judged.maps
    }
    target = judged.target
    if target is None:
        return {"map_age_s": ages}
    return {"map_age_s": ages, "target": {"cluster_id": target.id, "timeframe": target.timeframe}}


def _top(place: RankedCoin, judged: _Judged) -> TopCoin:
    if place.rank is None or place.score is None or judged.target is None:
        raise AssertionError(f"{place.symbol} is ranked without a score or a target")
    return TopCoin(
        place.rank, place.symbol, judged.candidate.direction, place.score, judged.target.price_center
    )
