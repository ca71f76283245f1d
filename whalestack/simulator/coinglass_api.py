"""CoinGlass's Open API v4 as a client sees it: key, envelope, limits, heat maps.

The limit is a sliding minute of real time per key, told in every answer by
`API-KEY-MAX-LIMIT` and `API-KEY-USE-LIMIT`. What CoinGlass answers for a coin without a
heat map and the body of its 429 are not known; both are chosen here in its style.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

from whalestack.math.timeframes import SERVED_TIMEFRAMES
from whalestack.simulator import coinglass_tables as tables
from whalestack.simulator.coin_names import Coin, coins_by_name
from whalestack.simulator.coinglass_tables import Params, Refusal
from whalestack.simulator.fixed_maps import Gzipped
from whalestack.simulator.heatmaps import View
from whalestack.simulator.world import World

EXCHANGES = ("Binance", "Bybit", "OKX")
AGGREGATE_FACTOR = 3.0
"""An aggregated map counts the positions of all exchanges: taken as three of this size."""
MODELS = ("model1", "model2", "model3")

Body = bytes | Gzipped
Maker = Callable[[Params], Body | Awaitable[Body]]


class CallBudget:
    """Counts calls in a sliding minute of real time.

    Args:
        per_min: calls allowed in any 60 s.
        now_s: monotonic real time.
    """

    def __init__(self, per_min: int, now_s: Callable[[], float] = time.monotonic) -> None:
        self.per_min = per_min
        self._now_s = now_s
        self._calls: deque[float] = deque()

    @property
    def used(self) -> int:
        """Calls in the minute that ends now."""
        since = self._now_s() - 60.0
        while self._calls and self._calls[0] <= since:
            self._calls.popleft()
        return len(self._calls)

    def take(self) -> bool:
        """Count one call; False when the minute is full (a refused call is not counted)."""
        if self.used >= self.per_min:
            return False
        self._calls.append(self._now_s())
        return True

    def headers(self) -> dict[str, str]:
        """The two headers of every answer."""
        return {"API-KEY-MAX-LIMIT": str(self.per_min), "API-KEY-USE-LIMIT": str(self.used)}


class CoinglassApi:
    """Answers for one market.

    Args:
        world: market, heat maps, the key that clients must show.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._key = world.settings.coinglass_api_key.get_secret_value()
        self.budget = CallBudget(world.settings.simulator_coinglass_calls_per_min)
        self.coins = coins_by_name(world.market.symbols)
        self._views = {
            (coin.name, factor): self._view(coin, factor)
            for coin in self.coins.values()
            for factor in (1.0, AGGREGATE_FACTOR)
        }

    def _view(self, coin: Coin, factor: float) -> View:
        decimals = int(self._world.market.instrument(coin.symbol)["priceScale"])
        return View(coin.contract_size, factor, decimals)

    async def answer(self, request: web.Request, make: Maker) -> web.Response:
        """Check key and limit, and answer in CoinGlass's envelope."""
        try:
            self._check(request)
            made = make(request.query)
            body = made if isinstance(made, bytes | Gzipped) else await made
        except Refusal as refusal:
            self._world.coinglass_counts[f"code_{refusal.code}"] += 1
            body = orjson.dumps({"code": refusal.code, "msg": refusal.message})
            return web.Response(
                body=body,
                status=refusal.status,
                headers=self.budget.headers(),
                content_type="application/json",
            )
        self._world.coinglass_counts["ok"] += 1
        return self._response(request, body)

    def _response(self, request: web.Request, body: Body) -> web.Response:
        headers = self.budget.headers()
        if isinstance(body, Gzipped):
            if "gzip" in request.headers.get("Accept-Encoding", ""):
                headers["Content-Encoding"] = "gzip"
                body = body.body
            else:
                body = body.plain()
        return web.Response(body=body, headers=headers, content_type="application/json")

    def _check(self, request: web.Request) -> None:
        key = request.headers.get("CG-API-KEY")
        if not key:
            raise Refusal("30001", "API key missing")
        if self._key and key != self._key:
            raise Refusal("400", "Invalid API key provided")
        if not self.budget.take():
            raise Refusal("429", "Too Many Requests", status=429)

    def coin(self, params: Params) -> Coin:
        """The coin that the query names. Raises Refusal for none or an unknown one."""
        name = tables.needed(params, "symbol")
        if name not in self.coins:
            raise Refusal("400", "The requested coin is not supported. Please check supported-coins.")
        return self.coins[name]

    def aggregated_heatmap(self, params: Params, model: str) -> Body:
        """`aggregated-heatmap/modelN`: symbol and range."""
        coin = self.coin(params)
        return self._heatmap(coin, tables.needed(params, "range"), model, AGGREGATE_FACTOR)

    def pair_heatmap(self, params: Params, model: str) -> Body:
        """`heatmap/modelN`: exchange, the exchange's own symbol, and range."""
        exchange, symbol = tables.needed(params, "exchange"), tables.needed(params, "symbol")
        if exchange not in EXCHANGES or symbol not in self._world.market.symbols:
            raise tables.no_such_pair()
        coin = next((coin for coin in self.coins.values() if coin.symbol == symbol), None)
        if coin is None:
            raise tables.no_such_pair()
        return self._heatmap(coin, tables.needed(params, "range"), model, 1.0)

    def _heatmap(self, coin: Coin, timeframe: str, model: str, factor: float) -> Body:
        if timeframe not in SERVED_TIMEFRAMES:
            raise Refusal("400", "The requested range is not supported")
        self._world.coinglass_counts["heatmaps"] += 1
        return self._world.heatmaps.map(coin.symbol, timeframe, model, self._views[coin.name, factor]).reply()

    async def max_pain(self, params: Params) -> bytes:
        """The largest level below and above the price of every coin."""
        asked = params.get("range", "24h")
        timeframe = {"48h": "3d", "14d": "30d"}.get(asked, asked)
        if timeframe not in SERVED_TIMEFRAMES:
            raise Refusal("400", "The requested range is not supported")
        model, rows = self._world.settings.coinglass_model, []
        for coin in self.coins.values():
            view = self._views[coin.name, AGGREGATE_FACTOR]
            levels = self._world.heatmaps.map(coin.symbol, timeframe, model, view).current()
            rows.append(tables.max_pain_row(coin, levels))
            await asyncio.sleep(0)  # a first call models every coin: orders must not wait for it
        return tables.success(rows)

    def liquidation_map(self, params: Params) -> bytes:
        """`liquidation/aggregated-map`: what stands now, by price, once for each exchange."""
        coin = self.coin(params)
        asked = tables.needed(params, "range")
        timeframe = {"1d": "24h", "180d": "180d", "365d": "1y"}.get(asked, asked)
        if timeframe not in SERVED_TIMEFRAMES:
            raise Refusal("400", "The requested range is not supported")
        model, view = self._world.settings.coinglass_model, self._views[coin.name, 1.0]
        levels = self._world.heatmaps.map(coin.symbol, timeframe, model, view).current()
        return tables.success(tables.liquidation_map(coin, levels, EXCHANGES))


def routes(world: World) -> list[web.RouteDef]:
    """Every CoinGlass path that the project uses, and an answer in its style for the others."""
    api = CoinglassApi(world)
    makers: dict[str, Maker] = {
        "liquidation/max-pain": api.max_pain,
        "liquidation/aggregated-map": api.liquidation_map,
        "supported-coins": lambda _params: tables.success([*api.coins, *tables.COINS_ONLY_HERE]),
        "supported-exchange-pairs": lambda params: tables.exchange_pairs(world.market, EXCHANGES, params),
        "coins-markets": lambda params: tables.coins_markets(world.market, api.coins, params),
        "coins-price-change": lambda _params: tables.price_changes(world.market, api.coins),
        "open-interest/aggregated-history": lambda params: tables.interest_history(
            world.market, api.coin(params), AGGREGATE_FACTOR, params
        ),
        "price/history": lambda params: tables.price_history(world.market, EXCHANGES, params),
    }
    for model in MODELS:
        makers[f"liquidation/aggregated-heatmap/{model}"] = _bound(api.aggregated_heatmap, model)
        makers[f"liquidation/heatmap/{model}"] = _bound(api.pair_heatmap, model)
    found = [_route(api, f"/api/futures/{path}", make) for path, make in makers.items()]
    found.append(
        _route(api, "/api/user/account/subscription", lambda _params: tables.subscription(world.market))
    )
    found.append(web.get("/api/{rest:.*}", _not_found))
    return found


def _bound(make: Callable[[Params, str], Body], model: str) -> Maker:
    return lambda params: make(params, model)


def _route(api: CoinglassApi, path: str, make: Maker) -> web.RouteDef:
    async def handle(request: web.Request) -> web.Response:
        return await api.answer(request, make)

    return web.get(path, handle)


async def _not_found(_request: web.Request) -> web.Response:
    body: dict[str, Any] = {
        "code": "404",
        "msg": "Endpoint not found. Please refer to the API documentation: https://docs.coinglass.com",
    }
    return web.Response(body=orjson.dumps(body), status=404, content_type="application/json")
