"""What was archived is played back: the same maps at the same moments, and nothing before its time."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from tests.coinglass.conftest import OpenBudget
from tests.simulator.served_world import KEY, Served, served, small_world
from whalestack.clients.bybit.client import BybitClient
from whalestack.clients.bybit.market import BybitMarket
from whalestack.clients.bybit.transport import BybitTransport
from whalestack.clients.coinglass.archiving import ArchivingTransport
from whalestack.clients.coinglass.client import CoinglassClient
from whalestack.clients.coinglass.errors import CoinglassRefused
from whalestack.clients.coinglass.types import Heatmap
from whalestack.clients.raw_archive import ArchiveBounds, RawArchive
from whalestack.clock import ManualClock
from whalestack.config import Settings
from whalestack.errors import StopAndTell
from whalestack.raw_replies import SUFFIX, labels_of
from whalestack.simulator.archived_maps import HEATMAPS, map_key
from whalestack.simulator.market.archive import archive_span, open_archive
from whalestack.simulator.market.archive_index import ReplyIndex, read_index
from whalestack.simulator.market.archived_candles import fives_of, interest_over, read_past
from whalestack.simulator.server import with_clock_in_market
from whalestack.simulator.world import build_world

MINUTE_MS = 60_000
FIVE_MS = 300_000
RANGES = ("24h", "30d")
ROUNDS = 4


@dataclass
class Outside:
    """A client's view of a simulator, its replies archived or not."""

    coinglass: CoinglassClient
    bybit: BybitMarket

    @classmethod
    def of(cls, server: Served, archive: RawArchive | None = None) -> Outside:
        key = server.world.settings.coinglass_api_key
        transport = ArchivingTransport(archive, server.url, key, timeout_s=20.0, max_bytes=9_000_000)
        return cls(
            CoinglassClient(transport, OpenBudget(), model="model2", wait_s=1.0),
            BybitMarket(BybitTransport(rest_url=server.url, archive=archive)),
        )


@dataclass
class Recording:
    """What was archived, and what the client had decoded at the time."""

    folder: Path
    coins: dict[str, str]
    maps: dict[tuple[int, str, str], Heatmap]
    first_ms: int
    klines: dict[str, list[Any]]
    tick_sizes: dict[str, Any]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Twenty minutes of three coins: maps every five minutes, tickers every minute, klines at the end."""
    folder, clock = tmp_path_factory.mktemp("incoming"), ManualClock()
    archive = RawArchive(folder, clock, ArchiveBounds(min_free_bytes=0))
    world = small_world(Settings(_env_file=None), coins=3, clock=clock)
    names = {symbol: symbol.removesuffix("USDT") for symbol in world.market.symbols}
    made = Recording(folder, names, {}, clock.now_ms(), {}, {})
    with served(world) as server:
        outside = Outside.of(server, archive)
        made.tick_sizes = {each.symbol: each.tick_size for each in outside.bybit.instruments()}
        for minute in range(ROUNDS * 5):
            server.inside(world.step)
            outside.bybit.tickers()
            if minute % 5 == 0:
                for symbol, coin in names.items():
                    for each in RANGES:
                        found = outside.coinglass.heatmap(coin, each, all_columns=True)
                        made.maps[clock.now_ms(), symbol, each] = found
            clock.advance(60)
        server.inside(world.step)
        for symbol in names:
            made.klines[symbol] = outside.bybit.klines(symbol, "1", limit=200)
            outside.bybit.klines(symbol, "60", limit=100)
            outside.bybit.open_interest(symbol, limit=50)
        outside.coinglass.close()
    archive.close()
    return made


def played(folder: Path, start_ms: int, **changes: object) -> tuple[Any, ManualClock]:
    clock = ManualClock(start_ms)
    wanted = {"simulator_market": f"archive:{folder}", "coinglass_api_key": KEY, **changes}
    settings = Settings(_env_file=None, **wanted)  # type: ignore[arg-type]
    return build_world(settings, clock), clock


def same(one: Heatmap, other: Heatmap) -> bool:
    arrays = ("y_axis", "xs", "ys", "values", "column_times_ms")
    return (one.price, one.map_time_ms, one.n_columns) == (
        other.price,
        other.map_time_ms,
        other.n_columns,
    ) and all(np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays)


def test_the_maps_are_those_of_the_moment(recording: Recording) -> None:
    """Every archived map is served from its moment until the next one comes, and none before."""
    world, clock = played(recording.folder, recording.first_ms)
    with served(world) as server:
        outside = Outside.of(server)
        for number in range(ROUNDS):
            at_ms = recording.first_ms + number * FIVE_MS
            for later_s in (0, 299):
                clock.advance((at_ms - clock.now_ms()) / 1000 + later_s)
                server.inside(world.step)
                for symbol, coin in recording.coins.items():
                    for each in RANGES:
                        found = outside.coinglass.heatmap(coin, each, all_columns=True)
                        assert same(found, recording.maps[at_ms, symbol, each])
        outside.coinglass.close()


def test_before_the_first_map_there_is_none(recording: Recording) -> None:
    """No map is shown that had not come yet; nor one of a range that nobody asked for."""
    world, _ = played(recording.folder, recording.first_ms - FIVE_MS)
    with served(world) as server:
        outside = Outside.of(server)
        coin = next(iter(recording.coins.values()))
        for each in ("24h", "7d"):
            with pytest.raises(CoinglassRefused, match="had been archived by this moment"):
                outside.coinglass.heatmap(coin, each)
        outside.coinglass.close()


def test_prices_are_those_of_the_archived_klines(recording: Recording) -> None:
    """Five minutes at a time; nothing later than the clock is shown; interest follows the tickers."""
    world, clock = played(recording.folder, recording.first_ms)
    market = world.market
    for _ in range(15 * 60):
        clock.advance(1)
        world.step()
    until_ms = clock.now_ms() // FIVE_MS * FIVE_MS
    for symbol, bars in recording.klines.items():
        shown = market.candles(symbol, 300, end_ms=10**14, limit=200)
        assert int(shown.start_ms[-1]) == until_ms
        closed = {int(start): number for number, start in enumerate(shown.start_ms[:-1])}
        for start in range(recording.first_ms - 30 * MINUTE_MS, until_ms, FIVE_MS):
            five = [bar for bar in bars if start <= bar.start_ms < start + FIVE_MS]
            number = closed[start]
            assert [shown.open[number], shown.high[number], shown.low[number], shown.close[number]] == [
                pytest.approx(price, rel=1e-9)
                for price in (
                    five[0].open,
                    max(bar.high for bar in five),
                    min(bar.low for bar in five),
                    five[-1].close,
                )
            ]
            assert shown.turnover[number] == pytest.approx(sum(bar.turnover_usd for bar in five), rel=1e-6)
    assert set(market.derived_instruments) == set()


def test_contracts_are_the_archived_ones(recording: Recording) -> None:
    world, _ = played(recording.folder, recording.first_ms)
    with served(world) as server:
        found = Outside.of(server).bybit.instruments()
    assert {each.symbol: each.tick_size for each in found} == recording.tick_sizes


def test_what_is_signed_is_not_archived(tmp_path: Path, clock: ManualClock) -> None:
    """Balances and orders are nobody's to keep: public market data alone, without key or signature."""
    archive = RawArchive(tmp_path, clock, ArchiveBounds(min_free_bytes=0))
    world = small_world(Settings(_env_file=None), coins=2, clock=clock)
    key, secret = (
        getattr(world.settings, f"bybit_api_{each}").get_secret_value() for each in ("key", "secret")
    )
    with served(world) as server:
        transport = BybitTransport(rest_url=server.url, api_key=key, api_secret=secret, archive=archive)
        client = BybitClient(transport, clock)
        assert client.wallet().equity_usd > 0
        client.server_time_ms()
        client.tickers()
    [path] = tmp_path.rglob(f"*{SUFFIX}")
    assert [label.endpoint for label, _ in labels_of(path)[0]] == ["/v5/market/tickers"]
    assert key.encode() not in path.read_bytes()


def test_a_clock_that_nobody_has_set_stands_at_the_first_map(recording: Recording) -> None:
    settings = Settings(_env_file=None, simulator_market=f"archive:{recording.folder}")
    assert with_clock_in_market(settings).clock_market_origin_ms == recording.first_ms
    first, last = archive_span(recording.folder)
    assert (first, last) == (recording.first_ms, recording.first_ms + (ROUNDS - 1) * FIVE_MS)


@pytest.fixture
def damaged(recording: Recording, tmp_path: Path) -> Path:
    """The archive with its file cut off in the middle, and another that is none."""
    folder = tmp_path / "incoming"
    shutil.copytree(recording.folder, folder)
    [path] = folder.rglob(f"*{SUFFIX}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    (path.parent / f"13-other-1-1{SUFFIX}").write_bytes(b"not an archive at all")
    return folder


def test_damaged_files_are_named_and_what_is_whole_is_played(recording: Recording, damaged: Path) -> None:
    """Two thirds of the maps are there. The klines are lost with the end: the maps' own candles stand in."""
    with structlog.testing.capture_logs() as logs:
        world, _ = played(damaged, recording.first_ms)
    told = [entry for entry in logs if entry["event"] == "archive_file_damaged"]
    assert len(told) == 2
    assert any("cut off" in entry["why"] for entry in told)
    symbol = world.market.symbols[0]
    with served(world) as server:
        coin = recording.coins[symbol]
        found = Outside.of(server).coinglass.heatmap(coin, "24h", all_columns=True)
    assert same(found, recording.maps[recording.first_ms, symbol, "24h"])
    close = world.market.candles(symbol, 300, end_ms=recording.first_ms - 1, limit=1).close[0]
    [bar] = [b for b in recording.klines[symbol] if b.start_ms == recording.first_ms - MINUTE_MS]
    assert close == pytest.approx(bar.close)


def test_a_damaged_map_gives_way_to_the_one_before_it(recording: Recording, tmp_path: Path) -> None:
    folder = tmp_path / "incoming"
    shutil.copytree(recording.folder, folder)
    index = ReplyIndex(folder)
    key = next(key for key in index.keys("coinglass", "/api/futures/*") if ("range", "24h") in key[2])
    place = index._places[key][1]
    with place.path.open("r+b") as file:
        file.seek(place.offset + place.length // 2)
        file.write(b"\0\0\0\0")
    second_ms = recording.first_ms + FIVE_MS
    with structlog.testing.capture_logs() as logs:
        assert index.latest(key, second_ms) == index.body(key, 0)
    assert [entry["event"] for entry in logs] == ["archived_reply_damaged"]
    assert index.latest(key, second_ms + FIVE_MS) == index.body(key, 2)


def test_a_coin_without_candles_is_named(recording: Recording) -> None:
    """It is in the instruments and was never priced, or stopped being so: the others are played."""
    some = [*recording.coins, "NOUSDT"]
    with structlog.testing.capture_logs() as logs:
        market = open_archive(recording.folder, some, start_ms=recording.first_ms, seed=1)
    assert tuple(market.symbols) == tuple(recording.coins)
    [told] = [entry for entry in logs if entry["event"] == "archive_has_no_candles"]
    assert told["coins"] == ["NOUSDT"]


@pytest.mark.parametrize("days", [-3, 3])
def test_a_moment_outside_the_archive_is_refused_by_name(recording: Recording, days: int) -> None:
    with pytest.raises(StopAndTell, match=r"has no candles to play at .*CLOCK_MARKET_ORIGIN_MS"):
        open_archive(recording.folder, (), start_ms=recording.first_ms + days * 86_400_000, seed=1)


def test_an_empty_folder_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(StopAndTell, match="holds no raw replies"):
        read_index(tmp_path)


def test_a_reply_that_is_no_reply_is_left_out(tmp_path: Path, clock: ManualClock) -> None:
    """Errors of the exchange, HTML, numbers where lists should be: named or passed over, never raised."""
    archive = RawArchive(tmp_path, clock, ArchiveBounds(min_free_bytes=0))
    asked = {"category": "linear", "symbol": "AUSDT", "interval": "5"}
    bodies: list[object] = [
        {"retCode": 10006, "retMsg": "Too many visits!", "result": {}},
        {"retCode": 0, "result": {"list": 7}},
        {"retCode": 0, "result": {"list": [["x"]]}},
        [1, 2, 3],
    ]
    for body in bodies:
        archive.keep("bybit", "/v5/market/kline", asked, 200, orjson.dumps(body))
    archive.keep("bybit", "/v5/market/kline", asked, 200, b"<html>")
    archive.keep("bybit", "/v5/market/kline", asked, 502, b"Bad Gateway")
    with pytest.raises(StopAndTell, match="no candles to play"):
        open_archive(tmp_path, (), start_ms=clock.now_ms(), seed=1)


def test_where_maps_stand_in_for_klines_neither_price_nor_volume_jumps(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Ten fives of Bybit's, then only a map of 1000PEPE's coin: a thousandth of the price, three times
    the turnover. The last candle was open when the map came, and does not count."""
    archive = RawArchive(tmp_path, clock, ArchiveBounds(min_free_bytes=0))
    first_ms = clock.now_ms() - 20 * FIVE_MS
    starts = [first_ms + number * FIVE_MS for number in range(21)]
    klines = [[str(start), "5", "6", "4", "5.5", "20", "100"] for start in starts[9::-1]]
    candles = [[start // 1000, "0.005", "0.006", "0.004", "0.0055", "300"] for start in starts]
    asked = {"category": "linear", "symbol": "1000PEPEUSDT", "interval": "5"}
    reply = {"retCode": 0, "result": {"list": klines}}
    archive.keep("bybit", "/v5/market/kline", asked, 200, orjson.dumps(reply))
    body = orjson.dumps({"code": "0", "data": {"price_candlesticks": candles}})
    archive.keep("coinglass", f"{HEATMAPS}model2", {"symbol": "PEPE", "range": "24h"}, 200, body)
    index = ReplyIndex(tmp_path)
    maps = {("PEPE", "24h"): map_key("PEPE", "24h", "model2")}
    fives = fives_of("1000PEPEUSDT", read_past(index), index, maps)
    assert sorted(fives) == starts[:20]
    assert {fives[start][:4] for start in starts[:10]} == {(5.0, 6.0, 4.0, 5.5)}
    assert fives[starts[15]] == pytest.approx((5.0, 6.0, 4.0, 5.5, 100 / 5.5, 100.0))


@given(
    points=st.lists(
        st.tuples(st.integers(0, 10_000), st.floats(1.0, 1e6)), max_size=8, unique_by=lambda p: p[0]
    ),
    cut=st.integers(0, 100),
)
def test_open_interest_looks_at_no_later_point(points: list[tuple[int, float]], cut: int) -> None:
    """Points after a moment, of which one lies before it, change nothing up to that moment."""
    points.sort()
    ends = np.arange(1, 101, dtype=np.int64) * 100
    derived = 50.0 + np.sin(ends / 700.0) * 20
    known = [point for point in points if point[0] <= cut * 100]
    if known:
        full, part = (interest_over(ends, derived, each, trusted_ms=600) for each in (points, known))
        assert full[:cut].tolist() == part[:cut].tolist()
    assert np.isfinite(interest_over(ends, derived, points)).all()
