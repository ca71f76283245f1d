"""CoinGlass's heat maps out of an archive: as they were at the market's moment, byte for byte."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import orjson

from whalestack.simulator.coin_names import coin_of
from whalestack.simulator.coinglass_tables import Refusal
from whalestack.simulator.heatmaps import CurrentLevels, View
from whalestack.simulator.market.archive_index import Key, ReplyIndex, key_of

HEATMAPS = "/api/futures/liquidation/aggregated-heatmap/"


def map_key(coin: str, timeframe: str, model: str) -> Key:
    """How a client asks for a map."""
    return key_of("coinglass", HEATMAPS + model, {"symbol": coin, "range": timeframe})


@dataclass(frozen=True)
class ArchivedMap:
    """One coin's map of one range.

    Args:
        index: of the archive.
        key: how it was asked for.
        now_ms: the market's time.
        view: in which unit its coin is told.
    """

    index: ReplyIndex
    key: Key
    now_ms: Callable[[], int]
    view: View

    def reply(self) -> bytes:
        """The body that had come last at the market's moment.

        Raises:
            Refusal: none had come yet.
        """
        body = self.index.latest(self.key, self.now_ms())
        if body is None:
            raise Refusal("400", "No map of this coin and range had been archived by this moment")
        return body

    def current(self) -> CurrentLevels:
        """What stood then, in Bybit's unit. Raises `Refusal` as `reply`, and for a body that holds no map."""
        try:
            data = orjson.loads(self.reply())["data"]
            levels = np.array(data["y_axis"], dtype=np.float64)
            cells = np.array(data["liquidation_leverage_data"], dtype=np.float64).reshape(-1, 3)
            last = cells[cells[:, 0] == len(data["price_candlesticks"]) - 1]
            values = np.zeros(len(levels))
            values[last[:, 1].astype(np.int64)] = last[:, 2]
            price = float(data["price_candlesticks"][-1][4])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, IndexError):
            raise Refusal("400", "What was archived of this coin and range holds no map") from None
        by = self.view.price_divisor
        return CurrentLevels(levels * by, values, price * by)


class ArchivedHeatmaps:
    """All maps of an archive.

    Args:
        index: of the archive.
        now_ms: the market's time.
    """

    def __init__(self, index: ReplyIndex, now_ms: Callable[[], int]) -> None:
        self._index = index
        self._now_ms = now_ms

    def map(self, symbol: str, timeframe: str, model: str, view: View) -> ArchivedMap:
        """The map of a coin over all exchanges.

        Raises:
            Refusal: a single exchange's is asked for.
        """
        if view.value_factor == 1.0:
            raise Refusal("400", "Maps of single exchanges are not archived")
        key = map_key(coin_of(symbol).name, timeframe, model)
        return ArchivedMap(self._index, key, self._now_ms, view)
