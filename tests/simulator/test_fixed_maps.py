"""Maps out of a small pool: whole CoinGlass replies for any number of coins."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from tests.simulator.served_world import KEY, Served, served, small_world
from whalestack.clients.coinglass.heatmap_reply import decode_heatmap
from whalestack.clock import ManualClock
from whalestack.config import Settings
from whalestack.simulator.gzip_pieces import gzip_body, piece

HEATMAP = "/api/futures/liquidation/aggregated-heatmap/model2"
CELLS = 3000


@pytest.fixture(scope="module")
def simulator() -> Iterator[Served]:
    """Fourteen coins on fixed maps of the 12h range; five calls a minute more than these tests make."""
    world = small_world(
        Settings(_env_file=None),
        coins=14,
        clock=ManualClock(1_760_875_200_000),
        simulator_maps="fixed",
        simulator_map_cells=CELLS,
        simulator_coinglass_calls_per_min=20,
    )
    with served(world) as running:
        yield running


@given(st.lists(st.binary(max_size=6000), max_size=5), st.binary(max_size=300))
def test_pieces_make_one_gzip_member(parts: list[bytes], end: bytes) -> None:
    """Whatever the pieces are: their sum comes out, with a checksum that holds, and nothing follows."""
    body = gzip_body([piece(part) for part in parts], end)
    stream = zlib.decompressobj(wbits=31)
    assert b"".join(parts) + end == stream.decompress(body)
    assert stream.eof
    assert b"" == stream.unused_data


def test_a_fixed_map_is_a_whole_map_on_the_coins_own_price(simulator: Served) -> None:
    for symbol, coin, unit in (("ETHUSDT", "ETH", 1), ("1000PEPEUSDT", "PEPE", 1000)):
        reply = simulator.get(HEATMAP, symbol=coin, range="12h")
        found = decode_heatmap(reply.content, coin, "12h", all_columns=True)
        price = simulator.world.market.ticker(symbol).last / unit
        assert "gzip" == reply.headers["Content-Encoding"]
        assert (144, CELLS) == (found.n_columns, found.values.size)
        assert price == pytest.approx(found.price, rel=1e-5)
        assert found.y_axis[0] < price < found.y_axis[-1]


def test_who_takes_no_gzip_is_given_the_same_body_plain(simulator: Served) -> None:
    def ask(encoding: str) -> requests.Response:
        url, headers = f"{simulator.url}{HEATMAP}", {"CG-API-KEY": KEY, "Accept-Encoding": encoding}
        return requests.get(url, params={"symbol": "ETH", "range": "12h"}, headers=headers, timeout=20)

    plain, packed = ask("identity"), ask("gzip")
    assert "Content-Encoding" not in plain.headers
    assert plain.content == packed.content
    assert int(packed.headers["Content-Length"]) < len(gzip.compress(plain.content, 6)) * 1.1


def test_the_last_column_is_another_one_every_ten_seconds(simulator: Served) -> None:
    def last_column() -> list[float]:
        reply = simulator.get(HEATMAP, symbol="ETH", range="12h")
        return decode_heatmap(reply.content, "ETH", "12h").values.tolist()

    before = last_column()
    assert before == last_column()
    simulator.inside(lambda: simulator.world.clock.advance(10.0))
    simulator.inside(simulator.world.step)
    assert before != last_column()


def test_fixed_maps_cost_calls_as_all_do(simulator: Served) -> None:
    replies = [simulator.get(HEATMAP, symbol="ETH", range="12h") for _ in range(21)]
    assert 429 == replies[-1].status_code
    assert "20" == replies[0].headers["API-KEY-MAX-LIMIT"] == replies[-1].headers["API-KEY-USE-LIMIT"]
