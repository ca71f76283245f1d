"""The heat-map scanner: full rounds over every coin and range, and single coins out of turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import structlog
from sqlalchemy.orm import Session

from whalestack.clock import Clock
from whalestack.config import HeatmapSource, Settings
from whalestack.db.coin_store import FollowedCoin, followed_coins
from whalestack.db.engine import Database, UnitOfWork
from whalestack.db.heatmap_store import StoreCounts, store_maps
from whalestack.db.map_failures import MapKey, forget_unfollowed, note_failures
from whalestack.db.refresh_rounds import (
    BatchCounts,
    Reported,
    give_up_rounds,
    is_wanted,
    lock_rounds,
    open_round,
    report_batch,
    running_round,
)
from whalestack.db.usage_store import add_usage
from whalestack.dispatch import Job
from whalestack.errors import StopAndTell
from whalestack.math.timeframes import SERVED_TIMEFRAMES
from whalestack.scanners.freshness import FreshnessScanner
from whalestack.scanners.heatmap_reports import BatchReport, RefetchReport, RoundReport
from whalestack.scanners.map_fetcher import Fetched, LivePrices, MapFetcher, Wanted
from whalestack.scanners.map_sources import BudgetedHeatmaps, CountedCalls, OwnMaps
from whalestack.scanners.planner import MapTarget
from whalestack.scanners.round_choice import BATCH_REAL_S, check_plan, choose_round, fetch_within_s

log = structlog.get_logger()

SERVICE = "coinglass"
# A round that has not ended by then never will: its worker died or its messages expired.
GIVE_UP_AFTER_INTERVALS = 3
# A batch reports within BATCH_REAL_S; when none has for this long, nobody works on the round.
STALLED_AFTER_REAL_S = BATCH_REAL_S + 15.0
PROBLEMS_LOGGED = 3


class HeatmapScanner:
    """Collects heat maps. Failing maps are counted and named; what was stored last stays.

    Args:
        db: of this process.
        coinglass: where maps come from.
        settings: intervals, batch size, threads.
        clock: market time.
        live: Bybit's prices, to notice a map in another unit; None to believe every map.
        own: where maps come from with HEATMAP_SOURCE=model; `coinglass` is not used then.
    """

    def __init__(
        self,
        *,
        db: Database,
        coinglass: BudgetedHeatmaps | None = None,
        settings: Settings,
        clock: Clock,
        live: LivePrices | None = None,
        own: OwnMaps | None = None,
    ) -> None:
        self._db = db
        self._settings = settings
        self._clock = clock
        self._freshness = FreshnessScanner(db=db, settings=settings, clock=clock)
        self._fetcher: MapFetcher | OwnMaps
        self._calls: CountedCalls
        if own is not None:
            self._fetcher = self._calls = own
        elif coinglass is not None:
            self._calls = coinglass
            self._fetcher = MapFetcher(
                coinglass=coinglass,
                clock=clock,
                threads=settings.heatmap_concurrency,
                source=f"coinglass:{settings.coinglass_model}",
                live=live,
            )
        else:
            raise StopAndTell("heat maps need CoinGlass or our own model")

    def close(self) -> None:
        """Let the fetching threads end."""
        self._fetcher.close()

    @property
    def calls_per_min(self) -> int:
        """Calls a real minute that its maps may cost. Raises as its budget."""
        return self._calls.budget.calls_per_min

    @property
    def _give_up_after_s(self) -> float:
        return GIVE_UP_AFTER_INTERVALS * self._settings.refresh_interval_s

    def start_round(self) -> RoundReport:
        """Send a full round off in batches, unless one is still running.

        Raises:
            BudgetUnavailable: without the budget no call may be made.
            StopAndTell: the plan has no heat maps.
        """
        if self._settings.heatmap_source is HeatmapSource.COINGLASS:
            check_plan(self._settings)
        calls_per_min = self.calls_per_min
        with self._db.begin() as work:
            report = self._start(work, calls_per_min)
        self._freshness.write(calls_per_min)
        if report.round_id is None:
            log.info("refresh_round_not_started", reason=report.reason)
        else:
            log.info("refresh_round_started", **report.loggable())
            if report.ranges_not_served:
                log.warning("ranges_not_served_by_the_plan", ranges=report.ranges_not_served)
        return report

    def _start(self, work: UnitOfWork, calls_per_min: int) -> RoundReport:
        lock_rounds(work.session)
        running = self._running_round(work.session)
        if running is not None:
            return RoundReport(None, reason=f"round {running} is still running")
        now = self._clock.now()
        given_up = tuple(give_up_rounds(work.session, now))
        if given_up:
            # Nobody ended those rounds; what they did bring is worth a ranking.
            work.dispatch_after_commit(Job("scan.ranking"))
        coins = followed_coins(work.session)
        if not coins:
            work.dispatch_after_commit(Job("scan.universe", expires_s=self._settings.refresh_interval_s))
            return RoundReport(None, reason="no coin is followed yet")
        forget_unfollowed(work.session)
        choice = choose_round(work.session, coins, self._settings, self._clock, calls_per_min)
        report = RoundReport(
            round_id=open_round(
                work.session, now=now, coins=len(coins), maps=choice.maps, batches=len(choice.batches)
            ),
            coins=len(coins),
            maps=choice.maps,
            batches=len(choice.batches),
            maps_left_out=choice.left_out,
            ranges_not_served=tuple(sorted(choice.not_served)),
            given_up=given_up,
        )
        for number, batch in enumerate(choice.batches):
            work.dispatch_after_commit(self._batch_job(report.round_id, str(number), _items(batch)))
        return report

    def _running_round(self, session: Session) -> int | None:
        now = self._clock.now()
        stalled_s = STALLED_AFTER_REAL_S / self._clock.real_seconds(1.0)
        return running_round(
            session,
            started_since=now - timedelta(seconds=self._give_up_after_s),
            reported_since=now - timedelta(seconds=stalled_s),
        )

    def fetch_batch(self, round_id: int, batch: str, items: Sequence[Sequence[str]]) -> BatchReport:
        """Fetch and store some maps of a round; the last batch ends it and asks for a ranking.

        A batch that runs out of time goes on as another one. One that is delivered twice counts once.

        Args:
            round_id: as `start_round` gave it.
            batch: its name within the round.
            items: pairs of Bybit symbol and range.
        """
        with self._db.begin() as work:
            if not is_wanted(work.session, round_id, batch):
                log.warning("refresh_batch_dropped", round_id=round_id, batch=batch, maps=len(items))
                return BatchReport(round_id, dropped=True)
            coins = _by_symbol(followed_coins(work.session, sorted({symbol for symbol, _ in items})))
        fetched = self._fetch(coins, items)
        with self._db.begin() as work:
            counts = self._store(work.session, fetched)
            reported = self._report(work, round_id, batch, counts, fetched)
        problems = tuple(fetched.problems.values())
        self._log_problems(problems, round_id=round_id, batch=batch)
        if reported.ended:
            log.info("refresh_round_ended", round_id=round_id)
            self._freshness.write(self.calls_per_min)
        return BatchReport(
            round_id,
            counts,
            problems,
            ended_round=reported.ended,
            dropped=not reported.counted,
            maps_left=len(fetched.left),
        )

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
        fetched = self._fetch(coins, items, urgent=True) if coins else Fetched()
        problems = tuple(fetched.problems.values()) if coins else (f"{symbol}: the coin is not followed",)
        problems += tuple(f"{symbol} {timeframe}: no call was free in time" for _, timeframe in fetched.left)
        with self._db.begin() as work:
            counts = self._store(work.session, fetched)
            add_usage(work.session, SERVICE, self._calls.take_usage(), self._clock.now())
            if then_signal_id is not None:
                work.dispatch_after_commit(
                    Job(
                        "trade.act_on_signal",
                        {"signal_id": then_signal_id},
                        expires_s=self._settings.signal_max_age_s,
                    )
                )
        self._log_problems(problems, symbol=symbol)
        log.info("coin_refetched", symbol=symbol, reason=reason, stored=counts.stored)
        return RefetchReport(symbol, reason, counts, problems)

    def _batch_job(self, round_id: int | None, batch: str, items: Sequence[MapKey]) -> Job:
        kwargs: dict[str, object] = {
            "round_id": round_id,
            "batch": batch,
            "items": [[symbol, timeframe] for symbol, timeframe in items],
        }
        return Job("heatmap.fetch_batch", kwargs, expires_s=self._give_up_after_s)

    def _fetch(
        self, coins: dict[str, FollowedCoin], items: Sequence[Sequence[str]], *, urgent: bool = False
    ) -> Fetched:
        wanted = [Wanted(coins[symbol], timeframe) for symbol, timeframe in items if symbol in coins]
        lost = {
            (symbol, timeframe): f"{symbol} {timeframe}: the coin is not followed any more"
            for symbol, timeframe in items
            if symbol not in coins
        }
        fetched = self._fetcher.fetch(wanted, urgent=urgent, within_s=fetch_within_s(self._settings))
        return replace(fetched, problems={**lost, **fetched.problems})

    def _store(self, session: Session, fetched: Fetched) -> StoreCounts:
        counts = store_maps(session, fetched.maps)
        came = [(each.symbol, each.level_map.timeframe) for each in fetched.maps]
        note_failures(session, fetched.problems, came, self._clock.now())
        return counts

    def _report(
        self, work: UnitOfWork, round_id: int, batch: str, counts: StoreCounts, fetched: Fetched
    ) -> Reported:
        """Count the batch, and send off what follows it."""
        # Last in the transaction: every batch writes these rows, and none should wait
        # for another one's maps to be stored.
        now = self._clock.now()
        add_usage(work.session, SERVICE, self._calls.take_usage(), now)
        of_batch = BatchCounts(
            stored=counts.stored,
            unchanged=counts.unchanged,
            failed=len(fetched.problems),
            problems=tuple(fetched.problems.values()),
            goes_on=bool(fetched.left),
            ranges_refused=sorted(fetched.ranges_refused),
        )
        reported = report_batch(work.session, round_id, batch, of_batch, now)
        if reported.counted and fetched.left:
            work.dispatch_after_commit(self._batch_job(round_id, f"{batch}+", fetched.left))
        if reported.ended:
            work.dispatch_after_commit(Job("scan.ranking"))
            self._follow_at_once(work, reported)
        return reported

    def _follow_at_once(self, work: UnitOfWork, ended: Reported) -> None:
        """A round that took its whole interval had its successor refused: without another one now,
        calls would lie idle until the next tick."""
        interval_s = self._settings.refresh_interval_s
        if ended.started_at and (self._clock.now() - ended.started_at).total_seconds() >= interval_s:
            work.dispatch_after_commit(Job("heatmap.refresh", expires_s=interval_s))

    def _log_problems(self, problems: Sequence[str], **of_what: object) -> None:
        if problems:
            log.warning("maps_failed", failed=len(problems), first=problems[:PROBLEMS_LOGGED], **of_what)


def _items(batch: Sequence[MapTarget]) -> list[MapKey]:
    return [(each.symbol, each.timeframe) for each in batch]


def _by_symbol(coins: Sequence[FollowedCoin]) -> dict[str, FollowedCoin]:
    return {coin.symbol: coin for coin in coins}
