"""The ranking from stored maps: order, reasons, freshness, learning, and no unit but ratios."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from sqlalchemy import select

from tests.scanners.heatmap_parts import FakeCoinglass, a_heatmap, add_coins
from whalestack.clients.coinglass.types import Heatmap
from whalestack.clock import ManualClock
from whalestack.config import Settings
from whalestack.db.engine import Database
from whalestack.db.models import CoinLiquidationPattern, CoinRanking, CoinThreshold
from whalestack.dispatch import RecordingDispatcher
from whalestack.math.timeframes import TIMEFRAMES
from whalestack.scanners.heatmap import HeatmapScanner
from whalestack.scanners.ranking import RankingReport, RankingScanner


class Scene:
    """Maps go in by a round, a ranking comes out.

    `peaks` are the USD above and below the price of each CoinGlass coin's maps.
    """

    def __init__(
        self, db: Database, dispatcher: RecordingDispatcher, clock: ManualClock, settings: Settings
    ) -> None:
        self.db, self.dispatcher, self.clock, self.settings = db, dispatcher, clock, settings
        self.peaks: dict[str, tuple[float, float]] = {}
        self.price = 100.0
        self.coinglass = FakeCoinglass(answer=self._answer)
        self.scanner = HeatmapScanner(db=db, coinglass=self.coinglass, settings=settings, clock=clock)

    def _answer(self, coin: str, timeframe: str) -> Heatmap:
        above, below = self.peaks[coin]
        return a_heatmap(
            coin,
            timeframe,
            price=self.price,
            above_usd=above,
            below_usd=below,
            all_columns=timeframe == "30d",
            map_time_ms=self.clock.now_ms(),
        )

    def add(self, **peaks: tuple[float, float]) -> None:
        self.peaks.update(peaks)
        add_coins(self.db, self.clock.now(), *(f"{coin}USDT" for coin in peaks))

    def refresh(self) -> None:
        self.dispatcher.jobs.clear()
        self.scanner.start_round()
        for job in self.dispatcher.jobs:
            if job.task == "heatmap.fetch_batch":
                self.scanner.fetch_batch(**job.kwargs)  # type: ignore[arg-type]

    def rank(self, **changes: object) -> RankingReport:
        self.clock.advance(1)
        settings = self.settings.model_copy(update=changes)
        return RankingScanner(db=self.db, settings=settings, clock=self.clock).rank()

    def rows(self) -> dict[str, CoinRanking]:
        """The latest ranking."""
        with self.db.begin() as work:
            query = select(CoinRanking).order_by(CoinRanking.created_at)
            return {row.symbol: row for row in work.session.scalars(query)}

    def record(self, symbol: str, timeframe: str, hits: int, observations: int) -> None:
        with self.db.begin() as work:
            work.session.add(
                CoinLiquidationPattern(
                    symbol=symbol,
                    timeframe=timeframe,
                    avg_cluster_size=1.0,
                    success_rate=hits / observations,
                    hits=hits,
                    observations=observations,
                    updated_at=self.clock.now(),
                )
            )


@pytest.fixture
def scene(
    db: Database, dispatcher: RecordingDispatcher, clock: ManualClock, settings: Settings
) -> Iterator[Scene]:
    scene = Scene(db, dispatcher, clock, settings)
    yield scene
    scene.scanner.close()


def test_the_more_one_sided_coin_ranks_first(scene: Scene) -> None:
    """Same sizes and records: only the imbalance differs. Targets are the peaks at 104 and 96."""
    scene.add(CALM=(600.0, 400.0), WILD=(100.0, 900.0))
    scene.refresh()
    report = scene.rank()
    assert [("WILDUSDT", "SHORT", 96.0), ("CALMUSDT", "LONG", 104.0)] == [
        (top.symbol, top.direction, pytest.approx(top.target_price)) for top in report.top
    ]
    assert (1, 2) == (scene.rows()["WILDUSDT"].rank, scene.rows()["CALMUSDT"].rank)


def test_a_score_is_what_the_design_says(scene: Scene) -> None:
    """The figures of the row give its score: ratio*50 + min(size, 200)*0.3 + success*20."""
    scene.add(ONE=(950.0, 50.0))
    scene.refresh()
    scene.rank()
    row = scene.rows()["ONEUSDT"]
    assert row.imbalance_ratio is not None
    assert row.short_usd is not None
    assert row.long_usd is not None
    assert row.cluster_size_pct is not None
    assert row.historical_success is not None
    assert pytest.approx(row.short_usd / (row.short_usd + row.long_usd)) == row.imbalance_ratio
    expected = row.imbalance_ratio * 50 + min(row.cluster_size_pct, 200) * 0.3 + row.historical_success * 20
    assert pytest.approx(expected) == row.score
    assert (100.0, 0.5, 0) == (row.cluster_size_pct, row.historical_success, row.observations)


def test_only_the_top_is_ranked_and_the_rest_says_so(scene: Scene) -> None:
    """Two places for three coins."""
    scene.add(A=(900.0, 100.0), B=(800.0, 200.0), C=(700.0, 300.0))
    scene.refresh()
    report = scene.rank(ranking_top=2)
    assert (["AUSDT", "BUSDT"], 1) == ([top.symbol for top in report.top], report.dropped)
    assert "place 3, below the top 2" == scene.rows()["CUSDT"].dropped_reason


def test_every_dropped_coin_says_why(scene: Scene) -> None:
    """Balanced, a major, without a map: each has its reason and no rank."""
    scene.add(EVEN=(500.0, 500.0), GOOD=(900.0, 100.0))
    scene.refresh()
    add_coins(scene.db, scene.clock.now(), "BTCUSDT", is_major=True)
    add_coins(scene.db, scene.clock.now(), "NEWUSDT")
    scene.rank()
    rows = scene.rows()
    assert [None, None, None] == [rows[symbol].rank for symbol in ("EVENUSDT", "BTCUSDT", "NEWUSDT")]
    assert "neutral: the larger side has 50.0 %" == rows["EVENUSDT"].dropped_reason
    assert "a major: never traded automatically" == rows["BTCUSDT"].dropped_reason
    assert "no heat map that is young enough" == rows["NEWUSDT"].dropped_reason
    assert rows["GOODUSDT"].dropped_reason is None


def test_skipped_coins_have_no_row(scene: Scene) -> None:
    """Their reason stands in `coins`."""
    add_coins(scene.db, scene.clock.now(), "ODDUSDT", skipped_reason="no such coin at CoinGlass")
    assert (0, {}) == (scene.rank().dropped, scene.rows())


def test_old_maps_do_not_count(scene: Scene) -> None:
    """An hour and a second after the only refresh."""
    scene.add(GOOD=(900.0, 100.0))
    scene.refresh()
    scene.clock.advance(3600)
    assert () == scene.rank(ranking_map_max_age_s=3600).top
    assert "no heat map that is young enough" == scene.rows()["GOODUSDT"].dropped_reason


def test_a_row_says_how_old_its_maps_were(scene: Scene) -> None:
    """Nine ages of 61 s, and the oldest map's moment."""
    scene.add(GOOD=(900.0, 100.0))
    scene.refresh()
    fetched_at = scene.clock.now()
    scene.clock.advance(60)
    scene.rank()
    row = scene.rows()["GOODUSDT"]
    assert fetched_at == row.oldest_map_at
    assert dict.fromkeys(TIMEFRAMES, 61.0) == row.made_of["map_age_s"]


def test_success_is_shrunk_toward_the_markets(scene: Scene) -> None:
    """Market: 30 of 60 hits and a prior of 0.5: mean 0.5. A coin with 30 of 30: (30+0.5*20)/50 = 0.8."""
    scene.add(LUCKY=(900.0, 100.0), POOR=(900.0, 100.0))
    scene.record("LUCKYUSDT", "7d", 30, 30)
    scene.record("POORUSDT", "30d", 0, 30)
    scene.refresh()
    report = scene.rank()
    rows = scene.rows()
    assert (pytest.approx(0.8), 30) == (
        rows["LUCKYUSDT"].historical_success,
        rows["LUCKYUSDT"].observations,
    )
    assert pytest.approx(0.2) == rows["POORUSDT"].historical_success
    assert ["LUCKYUSDT", "POORUSDT"] == [top.symbol for top in report.top]


def test_sizes_are_learned_once_for_each_round(scene: Scene) -> None:
    """The first ranking after a round learns; the next one has nothing new."""
    scene.add(GOOD=(900.0, 100.0))
    scene.refresh()
    assert (1, 0) == (scene.rank().sizes_learned, scene.rank().sizes_learned)
    scene.clock.advance(300)
    scene.refresh()
    assert 1 == scene.rank().sizes_learned
    with scene.db.begin() as work:
        threshold = work.session.get(CoinThreshold, "GOODUSDT")
        assert threshold is not None
        assert 2 == threshold.cluster_observations


def test_a_pool_larger_than_usual_counts_more(scene: Scene) -> None:
    """Everything twice as large as in the round before: twice the typical size of that round.

    The leading clusters: 900 above and 100 below, 500 on the mean; 14d holds half of the
    others, so that 11/12 of it remain. Then 1800 above against it: 360 %.
    """
    scene.add(GOOD=(900.0, 100.0))
    scene.refresh()
    scene.rank()
    scene.clock.advance(300)
    scene.peaks["GOOD"] = (1800.0, 200.0)
    scene.refresh()
    scene.rank()
    assert pytest.approx(360.0, rel=0.01) == scene.rows()["GOODUSDT"].cluster_size_pct


@pytest.mark.parametrize(
    "change",
    [
        lambda scene: setattr(scene, "price", scene.price * 10),
        lambda scene: setattr(scene, "price", scene.price / 1000),
        lambda scene: scene.peaks.update({coin: (a * 50, b * 50) for coin, (a, b) in scene.peaks.items()}),
    ],
    ids=["prices x 10", "prices / 1000", "peaks x 50"],
)
def test_only_ratios_decide(scene: Scene, change: Callable[[Scene], None]) -> None:
    """Other prices of the same shape rank the same; so do other sizes, before sizes are learned."""
    scene.add(A=(900.0, 500.0), B=(300.0, 800.0), C=(50.0, 50.0))
    scene.refresh()
    scene.rank()
    before = {symbol: (row.rank, row.direction) for symbol, row in scene.rows().items()}
    with scene.db.begin() as work:
        for table in (CoinThreshold, CoinRanking):
            work.session.execute(table.__table__.delete())
    change(scene)
    scene.clock.advance(300)
    scene.refresh()
    scene.rank()
    assert before == {symbol: (row.rank, row.direction) for symbol, row in scene.rows().items()}


def test_a_target_that_was_passed_is_no_target(scene: Scene) -> None:
    """The only cluster above was seen five minutes ago; the newest maps have none: dropped, named."""
    scene.add(GONE=(900.0, 100.0))
    scene.refresh()
    scene.clock.advance(300)
    scene.peaks["GONE"] = (1.2, 1.0)
    scene.refresh()
    scene.rank(neutral_band_pct=0.0)
    row = scene.rows()["GONEUSDT"]
    assert (None, "LONG") == (row.rank, row.direction)
    assert "no tradable cluster in the ranked direction (LONG)" == row.dropped_reason


def test_a_short_range_is_a_target_only_with_a_record(scene: Scene) -> None:
    """Maps of 12h alone: no target; with 40 hits of 45 on that range, one."""
    scene.add(QUICK=(900.0, 100.0))
    scene.coinglass.answer = lambda coin, timeframe: (
        scene._answer(coin, timeframe) if timeframe == "12h" else ValueError("none")
    )
    scene.refresh()
    assert () == scene.rank().top
    scene.record("QUICKUSDT", "12h", 40, 45)
    assert ["QUICKUSDT"] == [top.symbol for top in scene.rank().top]


def test_an_empty_universe_ranks_nothing(scene: Scene) -> None:
    """The first minute of a fresh system."""
    report = scene.rank()
    assert ((), 0, 0) == (report.top, report.dropped, report.sizes_learned)


def test_rankings_are_kept_apart_by_their_moment(scene: Scene) -> None:
    """Two rankings, two rows."""
    scene.add(GOOD=(900.0, 100.0))
    scene.refresh()
    first, second = scene.rank(), scene.rank()
    assert timedelta(seconds=1) == second.created_at - first.created_at
    with scene.db.begin() as work:
        assert 2 == len(work.session.scalars(select(CoinRanking)).all())
