"""Rankings and records at moments of the past: the same for every account, so made once for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from whalestack.backtest.coin_maps import CoinMaps
from whalestack.backtest.followed_clusters import FollowedCluster
from whalestack.backtest.records import Learned
from whalestack.backtest.series import CoinSeries
from whalestack.config import Settings
from whalestack.db.cluster_store import StandingCluster
from whalestack.db.models import Coin
from whalestack.db.ranking_store import RankableCoin
from whalestack.math.directions import Direction, target_side
from whalestack.math.imbalance import Imbalance, imbalance_of
from whalestack.math.ranking import Candidate, rank
from whalestack.scanners.ranking import History, candidate_of


@dataclass(frozen=True, eq=False)
class MappedCoin:
    """A coin with its candles and maps; `first_refresh_ms` is the moment of its refresh 0."""

    coin: Coin
    series: CoinSeries
    maps: CoinMaps
    first_refresh_ms: int

    def refresh(self, at_ms: int) -> int:
        """Number of the latest refresh at a moment, below 0 before the first."""
        number = (at_ms - self.first_refresh_ms) // self.maps.rules.refresh_ms
        return int(min(number, self.maps.refreshes - 1))


class Rankings:
    """The scanners' word at any moment of a stretch.

    Args:
        coins: by symbol, in the market's order.
        settings: of the scanners.
        begin_ms: where the stretch begins: records are learned then and every `pattern_max_age_s` after.
    """

    def __init__(self, coins: Mapping[str, MappedCoin], settings: Settings, begin_ms: int) -> None:
        self._coins = coins
        self._settings = settings
        self._begin_ms = begin_ms
        self._lessons: dict[int, tuple[Learned, History]] = {}
        self._ranked: dict[int, Mapping[str, int]] = {}
        self._imbalances: dict[tuple[str, int], Imbalance | None] = {}
        self._candidates: dict[tuple[str, int], Candidate | None] = {}

    def learned(self, now_ms: int) -> Learned:
        """Every coin's record as it was learned last."""
        return self._lesson(now_ms)[0]

    def watched_rank(self, symbol: str, direction: Direction, now_ms: int) -> int | None:
        """The coin's rank in the latest ranking, None where it is not watched in this direction."""
        every_ms = self._settings.refresh_interval_s * 1000
        refresh_ms = now_ms // every_ms * every_ms
        # Most triggers end here: nobody needs the coin's clusters, nor the other coins.
        imbalance = self._imbalance(symbol, refresh_ms)
        if imbalance is None or imbalance.direction != direction:
            return None
        own = self._candidate(symbol, refresh_ms)
        if own is None or own.blocked_reason is not None:
            return None
        if refresh_ms not in self._ranked:
            self._ranked[refresh_ms] = self._rank(refresh_ms)
        place = self._ranked[refresh_ms].get(symbol)
        return place if place is not None and place <= self._settings.ranking_watch else None

    def _rank(self, refresh_ms: int) -> Mapping[str, int]:
        candidates = [self._candidate(symbol, refresh_ms) for symbol in self._coins]
        places = rank([each for each in candidates if each is not None], top=self._settings.ranking_top)
        return {place.symbol: place.rank for place in places if place.rank is not None}

    def _candidate(self, symbol: str, refresh_ms: int) -> Candidate | None:
        key = symbol, refresh_ms
        if key not in self._candidates:
            self._candidates[key] = self._judge(symbol, refresh_ms)
        return self._candidates[key]

    def _judge(self, symbol: str, refresh_ms: int) -> Candidate | None:
        """What a coin brings to the ranking of a refresh, None for one without maps yet."""
        imbalance = self._imbalance(symbol, refresh_ms)
        if imbalance is None:
            return None
        mapped = self._coins[symbol]
        refresh, maps = mapped.refresh(refresh_ms), mapped.maps
        history, typical = self._lesson(refresh_ms)[1], maps.typical_usd(refresh)
        history.typical_usd = {symbol: typical} if typical > 0 else {}
        clusters: Sequence[FollowedCluster] = ()
        if imbalance.direction != "NEUTRAL":
            side = target_side(imbalance.direction)
            clusters = maps.standing_of(refresh, side, history.tradable(symbol))
        candidate, _ = candidate_of(
            RankableCoin(symbol, mapped.coin.is_major),
            imbalance,
            cast("Sequence[StandingCluster]", clusters),
            _price_at(mapped.series, refresh_ms),
            {"short": maps.size_usd(refresh, "short"), "long": maps.size_usd(refresh, "long")},
            history,
        )
        return candidate

    def _imbalance(self, symbol: str, refresh_ms: int) -> Imbalance | None:
        """Of a coin's maps, None for one without maps yet."""
        key = symbol, refresh_ms
        if key not in self._imbalances:
            mapped = self._coins[symbol]
            refresh = mapped.refresh(refresh_ms)
            self._imbalances[key] = None if refresh < 0 else self._weigh(mapped.maps.sides_usd(refresh))
        return self._imbalances[key]

    def _weigh(self, sides_usd: tuple[float, float]) -> Imbalance:
        return imbalance_of(*sides_usd, neutral_band_pct=self._settings.neutral_band_pct)

    def _lesson(self, now_ms: int) -> tuple[Learned, History]:
        every_ms = self._settings.pattern_max_age_s * 1000
        at_ms = self._begin_ms + (now_ms - self._begin_ms) // every_ms * every_ms
        if at_ms not in self._lessons:
            coins = {
                symbol: (mapped.series, mapped.maps, mapped.refresh(at_ms))
                for symbol, mapped in self._coins.items()
            }
            learned = Learned(coins, self._settings, at_ms)
            self._lessons[at_ms] = learned, History(learned.records(), {}, self._settings)
        return self._lessons[at_ms]


def _price_at(series: CoinSeries, refresh_ms: int) -> float:
    """The price of the maps: the close of the last candle before the refresh."""
    return float(series.walk.closes[max(series.closed_by(refresh_ms) - 1, 0)])
