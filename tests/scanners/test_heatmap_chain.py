"""From Bybit's list of instruments to the ranking, with the real clients against the simulator."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
import stamina
from sqlalchemy import func, select

from tests.simulator.served_world import KEY, Served, served, small_world
from whalestack.clients.bybit.client import BybitClient
from whalestack.clients.coinglass.budget import RedisCallBudget
from whalestack.clients.coinglass.client import CoinglassClient
from whalestack.clients.coinglass.errors import CoinglassNotAllowed, CoinglassRefused
from whalestack.clock import ManualClock
from whalestack.config import Settings
from whalestack.db.engine import Database
from whalestack.db.models import CoinRanking, LiquidationSnapshot
from whalestack.dispatch import RecordingDispatcher
from whalestack.math.timeframes import SERVED_TIMEFRAMES, TIMEFRAMES
from whalestack.scanners.coins import CoinScanner
from whalestack.scanners.heatmap import HeatmapScanner
from whalestack.scanners.ranking import RankingScanner

COINS = 14


@pytest.fixture(scope="module")
def simulator() -> Iterator[Served]:
    with served(small_world(Settings(_env_file=None), coins=COINS)) as running:
        yield running


@pytest.fixture
def here(simulator: Served, service_settings: Settings) -> Settings:
    """Settings that name the simulator and this test's stores."""
    changes = {
        "coinglass_url": simulator.url,
        "coinglass_api_key": KEY,
        "bybit_rest_url": simulator.url,
        "min_listing_age_h": 0,
    }
    return Settings(_env_file=None, **{**service_settings.model_dump(), **changes})


@pytest.fixture
def coinglass(here: Settings) -> Iterator[CoinglassClient]:
    with redis.Redis.from_url(here.redis_state_url.get_secret_value()) as store:
        budget = RedisCallBudget(
            store, configured_per_min=here.coinglass_calls_per_min, reserve_pct=10, in_flight_s=15
        )
        client = CoinglassClient.from_settings(here, budget)
        yield client
        client.close()


def test_every_range_of_a_simulated_coin_decodes(coinglass: CoinglassClient) -> None:
    """With the geometry of its range, and all columns of the 30d map."""
    for timeframe in SERVED_TIMEFRAMES:
        heatmap = coinglass.heatmap("BTC", timeframe, all_columns=timeframe == "30d")
        assert heatmap.n_columns - 1 == heatmap.xs.max()
        assert heatmap.y_axis[0] < heatmap.price < heatmap.y_axis[-1]
        assert heatmap.values.sum() > 0


def test_the_servers_limit_reaches_the_budget(coinglass: CoinglassClient, simulator: Served) -> None:
    """By its headers, with the first answer."""
    coinglass.supported_coins()
    assert 1200 == coinglass.budget.calls_per_min
    (usage,) = coinglass.take_usage()
    assert (1, 0, 1200) == (usage.calls, usage.errors, usage.limit_per_min)


def test_an_unknown_coin_and_a_wrong_key_are_told_apart(coinglass: CoinglassClient, here: Settings) -> None:
    """One coin is given up; a wrong key stops everything."""
    with pytest.raises(CoinglassRefused, match="NOSUCH 7d"):
        coinglass.heatmap("NOSUCH", "7d")
    wrong = Settings(_env_file=None, **{**here.model_dump(), "coinglass_api_key": "wrong"})
    with pytest.raises(CoinglassNotAllowed):
        CoinglassClient.from_settings(wrong, coinglass.budget).heatmap("BTC", "7d")


def test_the_small_tables_decode(coinglass: CoinglassClient) -> None:
    """Markets, max pain and the plan, as the simulator serves them."""
    assert "BTC" in {row.coin for row in coinglass.coin_markets()}
    assert "BTC" in {row.coin for row in coinglass.max_pain("24h")}
    assert "PROFESSIONAL" == coinglass.subscription().level


def test_a_passing_fault_costs_no_map(coinglass: CoinglassClient, simulator: Served) -> None:
    """Two garbled answers, then the right one."""
    stamina.set_testing(True, attempts=3)
    simulator.post("/sim/faults", {"endpoint": "*heatmap*", "kind": "garbled", "times": 2})
    try:
        assert coinglass.heatmap("BTC", "7d").values.size
    finally:
        stamina.set_testing(False)


def test_from_instruments_to_a_ranking(
    here: Settings, coinglass: CoinglassClient, db: Database, dispatcher: RecordingDispatcher
) -> None:
    """Every coin has nine maps, its clusters, and one row in the ranking; 1000PEPE is among them."""
    clock = ManualClock()
    bybit = BybitClient.from_settings(here, clock)
    universe = CoinScanner(db=db, bybit=bybit, coinglass=coinglass, settings=here, clock=clock).refresh()
    assert (COINS, {}) == (universe.followed, dict(universe.skipped))
    scanner = HeatmapScanner(db=db, coinglass=coinglass, settings=here, clock=clock)
    scanner.start_round()
    problems = [
        problem
        for job in dispatcher.jobs
        if job.task == "heatmap.fetch_batch"
        for problem in scanner.fetch_batch(**job.kwargs).problems  # type: ignore[arg-type]
    ]
    scanner.close()
    assert [] == problems
    clock.advance(1)
    RankingScanner(db=db, settings=here, clock=clock).rank()
    with db.begin() as work:
        maps = work.session.scalar(select(func.count()).select_from(LiquidationSnapshot))
        rows = {row.symbol: row for row in work.session.scalars(select(CoinRanking))}
    assert COINS * len(TIMEFRAMES) == maps
    assert COINS == len(rows)
    assert "1000PEPEUSDT" in rows
    assert all(row.rank is not None or row.dropped_reason for row in rows.values())
