"""Makes heat maps before they are asked for, in the pauses of the first seconds."""

from __future__ import annotations

import asyncio
import time

from whalestack.math.timeframes import SERVED_TIMEFRAMES
from whalestack.simulator.coin_names import coins_by_name
from whalestack.simulator.coinglass_api import AGGREGATE_FACTOR
from whalestack.simulator.heatmaps import View
from whalestack.simulator.world import World

_MOST_MAPS = 1000
"""Beyond this the first round would cost more memory than it saves time."""
_START_AFTER_S = 0.5


async def warm_maps(world: World) -> None:
    """Model every coin's ranges one by one, resting as long as each took."""
    coins = list(coins_by_name(world.market.symbols).values())
    if world.settings.simulator_maps == "fixed":
        coins = coins[:1]  # one coin's maps make the pool of all
    if len(coins) * len(SERVED_TIMEFRAMES) > _MOST_MAPS or not world.settings.simulator_warm_maps:
        return
    await asyncio.sleep(_START_AFTER_S)
    for coin in coins:
        decimals = int(world.market.instrument(coin.symbol)["priceScale"])
        view = View(coin.contract_size, AGGREGATE_FACTOR, decimals)
        for timeframe in SERVED_TIMEFRAMES:
            began_s = time.perf_counter()
            world.heatmaps.map(coin.symbol, timeframe, world.settings.coinglass_model, view)
            await asyncio.sleep((time.perf_counter() - began_s) / 2)
