"""The heat-map scanner: full rounds over every coin and range, and single coins out of turn."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

import structlog
from sqlalchemy.orm import Session

from whalestack.clients.coinglass.budget import CallBudget
from whalestack.clients.coinglass.types import EndpointUsage
from whalestack.clock import Clock
from whalestack.config import HeatmapSource, Settings
from whalestack.db.coin_store import FollowedCoin, followed_coins
from whalestack.db.engine import Database
from whalestack.db.heatmap_store import StoreCounts, store_maps
from whalestack.db.map_heads import map_ages
from whalestack.db.ranking_store import latest_ranks
from whalestack.db.refresh_rounds import (
    BatchCounts,
    count_batch,
    give_up_rounds,
    is_running,
    lock_rounds,
    open_round,
    running_round,
)
from whalestack.db.usage_store import add_usage
from whalestack.dispatch import Job
from whalestack.errors import StopAndTell
from whalestack.math.timeframes import SERVED_TIMEFRAMES
from whalestack.scanners.heatmap_reports import BatchReport, RefetchReport, RoundReport
from whalestack.scanners.map_fetcher import Fetched, HeatmapPort, LivePrices, MapFetcher, Wanted
from whalestack.scanners.planner import MapTarget, batches, calls_for_round, plan_round

log = structlog.get_logger()

SERVICE = "coinglass"
# A round that has not ended by then never will: its worker died or its messages expired.
GIVE_UP_AFTER_INTERVALS = 3
PROBLEMS_LOGGED = 3


class BudgetedHeatmaps(HeatmapPort, Protocol):
    """Heat maps that cost calls. `CoinglassClient` is one."""

    @property
    def budget(self) -> CallBudget:
        """Where the calls come from."""

    def take_usage(self) -> list[EndpointUsage]:
        """Calls since this was last asked."""


class HeatmapScanner:
    """Collects heat maps. Failing maps are counted and named; what was stored last stays.

    Args:
        db: of this process.
        coinglass: where maps come from.
        settings: intervals, batch size, threads.
        clock: market time.
        live: Bybit's prices, to notice a map in another unit; None to believe every map.
    """

    def __init__(
        self,
        *,
        db: Database,
        coinglass: BudgetedHeatmaps,
        settings: Settings,
        clock: Clock,
        live: LivePrices | None = None,
    ) -> None:
        self._db = db
        self._coinglass = coinglass
        self._settings = settings
        self._clock = clock
        self._fetcher = MapFetcher(
            coinglass=coinglass,
            clock=clock,
            threads=settings.heatmap_concurrency,
            source=f"coinglass:{settings.coinglass_model}",
            live=live,
        )

    def close(self) -> None:
        """Let the fetching threads end."""
        self._fetcher.close()

    @property
    def _give_up_after_s(self) -> float:
        return GIVE_UP_AFTER_INTERVALS * self._settings.refresh_interval_s

    def start_round(self) -> RoundReport:
        """Send a full round off in batches, unless one is still running.

        Raises:
            BudgetUnavailable: without the budget no call may be made.
            StopAndTell: the settings ask for maps that nobody here can make.
        """
        if self._settings.heatmap_source is not HeatmapSource.COINGLASS:
            raise StopAndTell("HEATMAP_SOURCE=model is not built yet; set it to coinglass")
        calls_per_min = self._coinglass.budget.calls_per_min
        now = self._clock.now()
        with self._db.begin() as work:
            lock_rounds(work.session)
            running = running_round(work.session, since=now - timedelta(seconds=self._give_up_after_s))
            if running is not None:
                return _refused(f"round {running} is still running")
            given_up = tuple(give_up_rounds(work.session, now))
            if given_up:
                # Nobody ended those rounds; what they did bring is worth a ranking.
                work.dispatch_after_commit(Job("scan.ranking"))
            coins = followed_coins(work.session)
            if not coins:
                work.dispatch_after_commit(Job("scan.universe", expires_s=self._settings.refresh_interval_s))
                return _refused("no coin is followed yet")
            chosen = self._choose(work.session, coins, calls_per_min)
            cut = batches(chosen, self._settings.heatmap_batch)
            report = RoundReport(
                round_id=open_round(
                    work.session, now=now, coins=len(coins), maps=len(chosen), batches=len(cut)
                ),
                coins=len(coins),
                maps=len(chosen),
                batches=len(cut),
                maps_left_out=len(coins) * len(SERVED_TIMEFRAMES) - len(chosen),
                given_up=given_up,
            )
            for batch in cut:
                work.dispatch_after_commit(self._batch_job(report.round_id, batch))
        log.info("refresh_round_started", **_loggable(report))
        return report

    def fetch_batch(self, round_id: int, items: Sequence[Sequence[str]]) -> BatchReport:
        """Fetch and store some maps of a round; the last batch ends it and asks for a ranking.

        Args:
            round_id: as `start_round` gave it.
            items: pairs of Bybit symbol and range.
        """
        with self._db.begin() as work:
            if not is_running(work.session, round_id):
                log.warning("refresh_batch_dropped", round_id=round_id, maps=len(items))
                return BatchReport(round_id, dropped=True)
            coins = _by_symbol(followed_coins(work.session, sorted({symbol for symbol, _ in items})))
        fetched = self._fetch(coins, items)
        with self._db.begin() as work:
            counts = store_maps(work.session, fetched.maps)
            ended = self._count(work.session, round_id, counts, fetched.problems)
            if ended:
                work.dispatch_after_commit(Job("scan.ranking"))
        self._log_problems(fetched.problems, round_id=round_id)
        if ended:
            log.info("refresh_round_ended", round_id=round_id)
        return BatchReport(round_id, counts, fetched.problems, ended)

    def refetch(self, symbol: str, reason: str, then_signal_id: int | None = None) -> RefetchReport:
        """Fetch every range of one coin now, ahead of the rounds.

        Args:
            symbol: Bybit symbol.
            reason: what asked for it ("mover", "pre-trade"), for the log.
            then_signal_id: the signal to act on afterwards, whatever came of the maps:
                the agent judges their age itself and names it when it refuses.
        """
        with self._db.begin() as work:
            coins = _by_symbol(followed_coins(work.session, [symbol]))
        items = [(symbol, timeframe) for timeframe in SERVED_TIMEFRAMES]
        fetched = self._fetch(coins, items, urgent=True) if coins else _not_followed(symbol)
        with self._db.begin() as work:
            counts = store_maps(work.session, fetched.maps)
            add_usage(work.session, SERVICE, self._coinglass.take_usage(), self._clock.now())
            if then_signal_id is not None:
                work.dispatch_after_commit(
                    Job(
                        "trade.act_on_signal",
                        {"signal_id": then_signal_id},
                        expires_s=self._settings.signal_max_age_s,
                    )
                )
        self._log_problems(fetched.problems, symbol=symbol)
        log.info("coin_refetched", symbol=symbol, reason=reason, stored=counts.stored)
        return RefetchReport(symbol, reason, counts, fetched.problems)

    def _choose(self, session: Session, coins: Sequence[FollowedCoin], calls_per_min: int) -> list[MapTarget]:
        """Every map where the plan allows it, else the most overdue ones."""
        capacity = calls_for_round(
            calls_per_min=calls_per_min,
            reserve_pct=self._settings.coinglass_refetch_reserve_pct,
            real_interval_s=self._clock.real_seconds(self._settings.refresh_interval_s),
        )
        if capacity >= len(coins) * len(SERVED_TIMEFRAMES):
            return [MapTarget(coin.symbol, timeframe) for coin in coins for timeframe in SERVED_TIMEFRAMES]
        ages = {(age.symbol, age.timeframe): age.fetched_at for age in map_ages(session)}
        ranks = latest_ranks(session)
        targets = [
            MapTarget(coin.symbol, timeframe, ages.get((coin.symbol, timeframe)), ranks.get(coin.symbol))
            for coin in coins
            for timeframe in SERVED_TIMEFRAMES
        ]
        return plan_round(
            targets,
            capacity=capacity,
            now=self._clock.now(),
            refresh_interval_s=self._settings.refresh_interval_s,
        )

    def _batch_job(self, round_id: int | None, batch: Sequence[MapTarget]) -> Job:
        items = [[each.symbol, each.timeframe] for each in batch]
        kwargs: dict[str, object] = {"round_id": round_id, "items": items}
        return Job("heatmap.fetch_batch", kwargs, expires_s=self._give_up_after_s)

    def _fetch(
        self, coins: dict[str, FollowedCoin], items: Sequence[Sequence[str]], *, urgent: bool = False
    ) -> Fetched:
        wanted = [Wanted(coins[symbol], timeframe) for symbol, timeframe in items if symbol in coins]
        lost = tuple(
            f"{symbol} {timeframe}: the coin is not followed any more"
            for symbol, timeframe in items
            if symbol not in coins
        )
        fetched = self._fetcher.fetch(wanted, urgent=urgent)
        return Fetched(fetched.maps, lost + fetched.problems)

    def _count(self, session: Session, round_id: int, counts: StoreCounts, problems: Sequence[str]) -> bool:
        # Last in the transaction: every batch writes these rows, and none should wait
        # for another one's maps to be stored.
        now = self._clock.now()
        add_usage(session, SERVICE, self._coinglass.take_usage(), now)
        batch = BatchCounts(counts.stored, counts.unchanged, len(problems), problems)
        return count_batch(session, round_id, batch, now)

    def _log_problems(self, problems: Sequence[str], **of_what: object) -> None:
        if problems:
            log.warning("maps_failed", failed=len(problems), first=problems[:PROBLEMS_LOGGED], **of_what)


def _refused(reason: str) -> RoundReport:
    log.info("refresh_round_not_started", reason=reason)
    return RoundReport(None, reason=reason)


def _not_followed(symbol: str) -> Fetched:
    return Fetched(problems=(f"{symbol}: the coin is not followed",))


def _by_symbol(coins: Sequence[FollowedCoin]) -> dict[str, FollowedCoin]:
    return {coin.symbol: coin for coin in coins}


def _loggable(report: RoundReport) -> dict[str, object]:
    return {
        "round_id": report.round_id,
        "coins": report.coins,
        "maps": report.maps,
        "batches": report.batches,
        "maps_left_out": report.maps_left_out,
        "given_up": report.given_up,
    }
