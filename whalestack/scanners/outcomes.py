"""What came of each cluster, by the rule of `whalestack.math.outcomes`, from one-minute bars."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from whalestack.clock import Clock, from_ms, to_ms
from whalestack.db.engine import Database
from whalestack.db.outcome_store import (
    AfterHit,
    Followed,
    candidates,
    judged_until,
    load_path,
    log_judged,
    store_after_hits,
    store_verdicts,
    unmeasured_hits,
)
from whalestack.math.outcomes import Verdict, beyond_run_pct, came_back_pct, judge
from whalestack.math.windows import MINUTE_MS

log = structlog.get_logger()

# Bars that a stream brought late, after a broken connection, are looked at again for this long.
OVERLAP = timedelta(hours=1)
# The run beyond a cluster is what happens in the hour from its hit on.
BEYOND = timedelta(hours=1)
# A cluster whose bars have not come a day after its horizon is given up: unknown is not a miss.
GIVE_UP = timedelta(days=1)


@dataclass(frozen=True)
class OutcomeReport:
    """What one run decided.

    Args:
        looked_at: clusters that might have had a verdict.
        hits, misses: verdicts written.
        given_up: clusters that can't be judged for want of bars.
        measured: hits whose run beyond is known now.
    """

    looked_at: int
    hits: int
    misses: int
    given_up: int
    measured: int


class OutcomeScanner:
    """Follows every cluster until it is hit or its horizon has passed.

    Args:
        db: of this process.
        clock: market time.
    """

    def __init__(self, *, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def scan(self) -> OutcomeReport:
        """Judge what can be judged. Coin by coin, each in a transaction of its own."""
        now = self._clock.now()
        with self._db.begin() as work:
            done = judged_until(work.session)
            # The first time there is no mark: every bar is new.
            since = from_ms(0) if done is None else done - OVERLAP
            waiting = candidates(work.session, since=since, now=now)
        by_coin: dict[str, list[Followed]] = defaultdict(list)
        for cluster in waiting:
            by_coin[cluster.symbol].append(cluster)
        verdicts = [
            each for symbol, group in by_coin.items() for each in self._judge_coin(symbol, group, now)
        ]
        measured = self._measure(now)
        report = OutcomeReport(
            looked_at=len(waiting),
            hits=sum(each is not None and each.hit for each in verdicts),
            misses=sum(each is not None and not each.hit for each in verdicts),
            given_up=sum(each is None for each in verdicts),
            measured=measured,
        )
        self._remember(report, now)
        return report

    def _judge_coin(self, symbol: str, group: Sequence[Followed], now: datetime) -> list[Verdict | None]:
        """Judge one coin's clusters; returns the verdicts that were written, None for those given up."""
        now_ms = to_ms(now)
        with self._db.begin() as work:
            since_ms = min(cluster.detected_ms for cluster in group)
            path = load_path(work.session, symbol, since_ms=since_ms, until_ms=now_ms)
            decided: dict[int, Verdict | None] = {}
            for cluster in group:
                verdict = judge(
                    path,
                    side=cluster.side,
                    center=cluster.price_center,
                    detected_price=cluster.detected_price,
                    detected_ms=cluster.detected_ms,
                    horizon_ms=cluster.horizon_ms,
                    now_ms=now_ms,
                )
                if verdict is not None or now - from_ms(cluster.horizon_ms) > GIVE_UP:
                    decided[cluster.id] = verdict
            written = store_verdicts(work.session, decided, now)
        return [decided[cluster_id] for cluster_id in written]

    def _measure(self, now: datetime) -> int:
        """How far price ran beyond the clusters that were hit an hour ago or longer, and came back."""
        with self._db.begin() as work:
            hits = unmeasured_hits(work.session, oldest=now - BEYOND - GIVE_UP, newest=now - BEYOND)
            beyond = {}
            for cluster, hit_ms in hits:
                # The hit is dated to its bar's end: the bar itself belongs to the run.
                start_ms = hit_ms - MINUTE_MS
                end_ms = start_ms + round(BEYOND.total_seconds() * 1000)
                path = load_path(work.session, cluster.symbol, since_ms=start_ms, until_ms=end_ms)
                hour = path.between(start_ms, end_ms)
                beyond[cluster.id] = AfterHit(
                    beyond_run_pct(hour, cluster.side, cluster.far_edge), came_back_pct(hour, cluster.side)
                )
            store_after_hits(work.session, beyond)
        return len(beyond)

    def _remember(self, report: OutcomeReport, now: datetime) -> None:
        counts = {"hits": report.hits, "misses": report.misses, "given_up": report.given_up}
        with self._db.begin() as work:
            log_judged(work.session, now, counts, now)
        log.info("outcomes_judged", looked_at=report.looked_at, measured=report.measured, **counts)
