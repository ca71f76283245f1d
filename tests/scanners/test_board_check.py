"""The board held against CoinGlass's own: what differs is named, and nothing is ever stopped by it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from sqlalchemy import insert, select

from tests.coinglass.conftest import OpenBudget
from tests.scanners.market_rows import add_coin, add_minutes
from tests.simulator.served_world import KEY, served, small_world
from whalestack.clients.coinglass.client import CoinglassClient
from whalestack.clients.coinglass.errors import CoinglassNotAllowed, CoinglassUnavailable
from whalestack.clients.coinglass.types import CoinMarket
from whalestack.clock import ManualClock, from_ms
from whalestack.config import HeatmapSource, Settings
from whalestack.db.engine import Database
from whalestack.db.models import AgentLog, Candle
from whalestack.scanners.board import BoardScanner
from whalestack.scanners.board_check import BoardCheck, BoardCheckReport, Difference
from whalestack.simulator.market.base import Candles


def market(coin: str, price_pct: float | None, oi_pct: float | None = None) -> CoinMarket:
    return CoinMarket(coin, 1.0, None, None, oi_pct, price_pct)


@dataclass
class FakeMarkets:
    """CoinGlass's rows, or an error instead."""

    rows: list[CoinMarket] = field(default_factory=list)
    error: Exception | None = None
    calls: int = 0

    def coin_markets(self) -> list[CoinMarket]:
        self.calls += 1
        if self.error:
            raise self.error
        return self.rows


@dataclass
class Scene:
    db: Database
    settings: Settings
    clock: ManualClock
    markets: FakeMarkets

    def check(self) -> BoardCheckReport:
        return BoardCheck(
            db=self.db, coinglass=self.markets, settings=self.settings, clock=self.clock
        ).check()

    def logged(self) -> list[AgentLog]:
        with self.db.begin() as work:
            return list(work.session.scalars(select(AgentLog)))


@pytest.fixture
def scene(db: Database, settings: Settings, clock: ManualClock) -> Scene:
    """Ours over the last hour: A +10 %, B +1 %, both with open interest +2 %."""
    for symbol, last in (("AUSDT", 110.0), ("BUSDT", 101.0)):
        add_coin(db, symbol, clock.now())
        add_minutes(db, symbol, clock.now(), [100.0] * 70 + [last], interest=[1000.0] * 70 + [1020.0])
    BoardScanner(db=db, clock=clock).scan()
    return Scene(db, settings, clock, FakeMarkets())


def test_coins_beyond_the_tolerance_are_named_largest_first(scene: Scene) -> None:
    """Price: 4 points apart, beyond 1. Open interest: 20 apart, beyond 5; 3 apart is within it."""
    scene.markets.rows = [market("A", 6.0, -18.0), market("B", 0.5, 5.0), market("XMR", 50.0, 50.0)]
    report = scene.check()
    assert report.compared == 4
    assert [(each.symbol, each.measure) for each in report.differences] == [
        ("AUSDT", "oi"),
        ("AUSDT", "price"),
    ]
    assert report.differences[1] == Difference("AUSDT", "price", "1h", pytest.approx(10.0), 6.0)
    [entry] = scene.logged()
    assert (entry.details["compared"], entry.details["beyond"]) == (4, 2)
    assert entry.details["differences"][0]["symbol"] == "AUSDT"
    assert entry.details["tolerance_pct"] == {"price": 1.0, "oi": 5.0}


def test_what_one_side_does_not_know_is_not_compared(scene: Scene) -> None:
    scene.markets.rows = [market("A", None, None)]
    assert (scene.check().compared, scene.check().differences) == (0, ())


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (CoinglassNotAllowed("401 Upgrade plan"), "its plan does not serve"),
        (CoinglassUnavailable("away"), "could not be asked"),
    ],
)
def test_a_coinglass_that_refuses_or_is_away_stops_nothing(scene: Scene, error: Exception, why: str) -> None:
    """The board stands on its own."""
    scene.markets.error = error
    assert why in (scene.check().not_checked or "")
    assert scene.logged() == []


def test_no_call_is_spent_where_there_is_nothing_to_compare(scene: Scene) -> None:
    """An old board, a system that does without CoinGlass, a plan that does not have it."""
    scene.clock.advance(600)
    assert "no fresh board" in (scene.check().not_checked or "")
    scene.settings = scene.settings.model_copy(update={"heatmap_source": HeatmapSource.MODEL})
    assert "CoinGlass is not asked" in (scene.check().not_checked or "")
    changes = {"heatmap_source": HeatmapSource.COINGLASS, "coinglass_plan": "hobbyist"}
    scene.settings = scene.settings.model_copy(update=changes)
    BoardScanner(db=scene.db, clock=ManualClock()).scan()
    assert "hobbyist does not serve" in (scene.check().not_checked or "")
    assert scene.markets.calls == 0


def hourly_rows(symbol: str, hours: Candles) -> list[dict[str, object]]:
    columns = zip(hours.start_ms.tolist(), hours.close.tolist(), hours.open_interest.tolist(), strict=True)
    return [
        {
            "symbol": symbol, "interval": "60", "start_at": from_ms(start), "open": close, "high": close,
            "low": close, "close": close, "volume": 1.0, "turnover_usd": 1.0, "open_interest": interest,
        }
        for start, close, interest in columns
    ]  # fmt: skip


def test_the_simulators_board_agrees_with_ours(db: Database, settings: Settings, clock: ManualClock) -> None:
    """Bars and open interest as its Bybit gives them, changes over 1h, 4h and 24h as its CoinGlass does:
    no difference. The longer two are told by hourly bars, as in a system's first day."""
    world = small_world(settings, coins=6, clock=clock)
    world.step()
    for symbol in world.market.symbols:
        minutes = world.market.candles(symbol, 60, end_ms=clock.now_ms() - 1, limit=71)
        hours = world.market.candles(symbol, 3600, end_ms=clock.now_ms() - 1, limit=26)
        with db.begin() as work:
            work.session.execute(insert(Candle), hourly_rows(symbol, hours))
        name = "PEPE" if symbol == "1000PEPEUSDT" else symbol.removesuffix("USDT")
        add_coin(db, symbol, clock.now(), coinglass_symbol=name)
        add_minutes(db, symbol, clock.now(), minutes.close.tolist(), interest=minutes.open_interest.tolist())
    BoardScanner(db=db, clock=clock).scan()
    with served(world) as server:
        told = settings.model_copy(
            update={"coinglass_url": server.url, "coinglass_api_key": world.settings.coinglass_api_key}
        )
        client = CoinglassClient.from_settings(told, OpenBudget())
        report = BoardCheck(db=db, coinglass=client, settings=settings, clock=clock).check()
        client.close()
    assert KEY == world.settings.coinglass_api_key.get_secret_value()
    assert (report.compared, report.differences) == (36, ())
