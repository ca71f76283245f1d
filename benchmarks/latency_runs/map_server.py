"""CoinGlass on a port of its own, its maps made beforehand: `python map_server.py PORT`.

The simulator serves it, with its key, its limit and its headers; only the maps are those of a few
coins, made once and given to every coin in turn, at that coin's prices: each fetch brings another
map, and costs next to nothing to make.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from itertools import count
from typing import Any

import orjson

from whalestack.config import get_settings
from whalestack.simulator.coinglass_api import AGGREGATE_FACTOR
from whalestack.simulator.heatmaps import Heatmaps, View
from whalestack.simulator.market.base import Market
from whalestack.simulator.server import serve
from whalestack.simulator.world import World, build_world
from whalestack.supervisor.parent import end_with_parent

SOURCES = 4


@dataclass(frozen=True)
class ReadyMap:
    """A reply that is ready."""

    body: bytes

    def reply(self) -> bytes:
        """As `GrowingMap.reply`."""
        return self.body


class ReadyHeatmaps(Heatmaps):
    """The cells of the first coins' maps under every coin's prices.

    Args:
        market: whose coins they are of.
    """

    def __init__(self, market: Market) -> None:
        super().__init__(market)
        self._turn = count()
        self._sources: dict[tuple[str, str], list[tuple[dict[str, Any], bytes]]] = {}
        self._heads: dict[tuple[str, str, str, int], bytes] = {}

    def map(self, symbol: str, timeframe: str, model: str, view: View) -> ReadyMap:  # type: ignore[override]
        """One of the maps of the range, at the coin's prices."""
        sources = self._sources.get((timeframe, model))
        if sources is None:
            sources = self._sources[timeframe, model] = self._made(timeframe, model)
        turn = next(self._turn) % len(sources)
        data, cells = sources[turn]
        head = self._heads.get((symbol, timeframe, model, turn))
        if head is None:
            price = self._market.ticker(symbol).last / view.price_divisor
            head = self._heads[symbol, timeframe, model, turn] = _at_price(data, price)
        return ReadyMap(b"".join((head, cells, b',"update_time":%d}}' % self._market.now_ms)))

    def _made(self, timeframe: str, model: str) -> list[tuple[dict[str, Any], bytes]]:
        made = []
        for symbol in self._market.symbols[2 : 2 + SOURCES]:
            view = View(1.0, AGGREGATE_FACTOR, int(self._market.instrument(symbol)["priceScale"]))
            data = orjson.loads(super().map(symbol, timeframe, model, view).reply())["data"]
            made.append((data, orjson.dumps(data.pop("liquidation_leverage_data"))))
        return made


def _at_price(data: dict[str, Any], price: float) -> bytes:
    """Levels and candles moved to a price; everything of the reply before its cells."""
    rows = data["price_candlesticks"]
    by = price / float(rows[-1][4])
    candles = [[row[0], *(f"{float(each) * by:.8f}" for each in row[1:5]), row[5]] for row in rows]
    levels = [level * by for level in data["y_axis"]]
    return b"".join(
        (
            b'{"code":"0","msg":"success","data":{"y_axis":',
            orjson.dumps(levels),
            b',"price_candlesticks":',
            orjson.dumps(candles),
            b',"liquidation_leverage_data":',
        )
    )


async def _run(port: int) -> None:
    world: World = build_world(get_settings())
    world.heatmaps = ReadyHeatmaps(world.market)
    await serve(world, "127.0.0.1", port, stop=asyncio.Event())


if __name__ == "__main__":
    end_with_parent(get_settings().supervisor_pid)
    asyncio.run(_run(int(sys.argv[1])))
