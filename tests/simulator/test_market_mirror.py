"""Paper trading: one simulator mirrors another over Bybit's public API."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.simulator.bybit_loopback import wait_until
from tests.simulator.served_world import START_MS, Served, served, small_world
from whalestack.clock import ManualClock
from whalestack.config import Settings
from whalestack.errors import StopAndTell
from whalestack.simulator.faults import FaultKind, FaultRule
from whalestack.simulator.market.base import Tick
from whalestack.simulator.market.mirror import MirrorMarket, open_mirror
from whalestack.simulator.market.mirror_socket import socket_url

SYMBOLS = ("BTCUSDT", "DOGEUSDT")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_MS + 30_000)


@pytest.fixture
def source(settings: Settings, clock: ManualClock) -> Iterator[Served]:
    with served(small_world(settings, coins=8, clock=clock)) as running:
        yield running


@pytest.fixture
def mirror(source: Served, clock: ManualClock) -> Iterator[MirrorMarket]:
    market = open_mirror(source.url, start_ms=clock.now_ms(), seed=1, coins=2, symbols=SYMBOLS)
    yield market
    market.close()


def ticks_until_price(mirror: MirrorMarket, clock: ManualClock, symbol: str, price: float) -> list[Tick]:
    """What the mirror tells until a price has arrived."""
    found: list[Tick] = []

    def arrived() -> bool:
        found.extend(tick for tick in mirror.advance(clock.now_ms()) if tick.symbol == symbol)
        return any(tick.price == price for tick in found)

    wait_until(arrived)
    return found


def test_the_past_is_the_sources(source: Served, mirror: MirrorMarket) -> None:
    """Candles of every length agree, and so do instruments and open interest now."""
    theirs = source.world.market
    assert SYMBOLS == tuple(mirror.symbols)
    assert mirror.instrument("DOGEUSDT")["priceFilter"] == theirs.instrument("DOGEUSDT")["priceFilter"]
    for interval_s in (300, 3600, 86_400):
        ours, expected = (
            market.candles("BTCUSDT", interval_s, end_ms=START_MS - 1, limit=200)
            for market in (mirror, theirs)
        )
        assert np.allclose(ours.close, expected.close, rtol=1e-6)
        assert np.allclose(ours.high, expected.high, rtol=1e-6)
    assert mirror.ticker("BTCUSDT").open_interest == pytest.approx(
        theirs.ticker("BTCUSDT").open_interest, rel=1e-3
    )


def test_a_price_of_the_source_becomes_a_tick_of_the_mirror(
    source: Served, mirror: MirrorMarket, clock: ManualClock
) -> None:
    price = source.inside(
        lambda: source.world.push_price("DOGEUSDT", source.world.market.ticker("DOGEUSDT").last * 1.02).price
    )
    ticks_until_price(mirror, clock, "DOGEUSDT", price)
    assert price == mirror.ticker("DOGEUSDT").last
    assert price == mirror.candles("DOGEUSDT", 60, end_ms=clock.now_ms(), limit=1).close[-1]


def test_an_extreme_between_two_messages_is_a_tick(
    source: Served, mirror: MirrorMarket, clock: ManualClock
) -> None:
    """Down and up again at once: the low is told by the candle alone, and must be seen."""
    last = source.world.market.ticker("BTCUSDT").last

    def dip() -> float:
        low = source.world.push_price("BTCUSDT", last * 0.97).price
        source.world.push_price("BTCUSDT", last)
        return low

    low = source.inside(dip)
    found = ticks_until_price(mirror, clock, "BTCUSDT", low)
    wait_until(lambda: found.extend(mirror.advance(clock.now_ms())) or mirror.ticker("BTCUSDT").last == last)


def test_what_happened_while_the_socket_was_broken_is_made_good(
    source: Served, mirror: MirrorMarket, clock: ManualClock
) -> None:
    """A dip in a minute that nobody heard of becomes a tick, and that minute its candle."""
    wait_until(lambda: mirror.advance(clock.now_ms()))  # it listens
    last = source.world.market.ticker("DOGEUSDT").last

    def dip_unheard() -> float:
        source.world.faults.add(FaultRule("WS /v5/public/linear", FaultKind.WS_DROP, times=1))
        clock.advance(60)
        low = source.world.push_price("DOGEUSDT", last * 0.9).price
        source.world.push_price("DOGEUSDT", last)
        clock.advance(120)
        source.world.step()
        return low

    low = source.inside(dip_unheard)
    ticks_until_price(mirror, clock, "DOGEUSDT", low)
    assert 1 == source.world.faults.injected["ws_drop"]
    minute = mirror.candles("DOGEUSDT", 60, end_ms=clock.now_ms(), limit=3)
    assert low == minute.low[0]
    assert low < minute.low[1:].min()


def test_liquidations_are_passed_on(source: Served, mirror: MirrorMarket, clock: ManualClock) -> None:
    market = source.world.market
    coin = list(market.symbols).index("DOGEUSDT")
    source.inside(
        lambda: market._feed.add(market.now_ms, coin, fallen=False, price=0.2, turnover_usd=1_000.0)
    )

    def arrived() -> bool:
        mirror.advance(clock.now_ms())
        return any((event.symbol, event.side) == ("DOGEUSDT", "short") for event in mirror.liquidations())

    wait_until(arrived)


def test_a_mirror_can_be_served_itself(settings: Settings, mirror: MirrorMarket, clock: ManualClock) -> None:
    """Heat maps of a mirrored market, over CoinGlass's API."""
    world = small_world(settings, clock=clock)
    world.market = mirror
    world.heatmaps._market = mirror
    with served(world) as paper:
        reply = paper.get(
            "/api/futures/liquidation/aggregated-heatmap/model2", symbol="BTC", range="24h"
        ).json()
    assert 288 == len(reply["data"]["price_candlesticks"])


def test_a_source_that_is_away_is_said() -> None:
    with pytest.raises(StopAndTell, match="cannot be mirrored"):
        open_mirror("http://127.0.0.1:9", start_ms=START_MS, seed=1, coins=2)


def test_bybits_sockets_are_known() -> None:
    assert "wss://stream.bybit.com/v5/public/linear" == socket_url("https://api.bybit.com")
    assert "ws://127.0.0.1:9/v5/public/linear" == socket_url("http://127.0.0.1:9")
