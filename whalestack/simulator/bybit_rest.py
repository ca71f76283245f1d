"""Bybit v5 REST over the simulated exchange: one gate, and behind it the endpoints.

The gate does what Bybit does before anything else: the limit of the address (HTTP 403), key, time
window and signature, the endpoint's own limit (10006, with its headers), and the envelope
`{retCode, retMsg, result, retExtInfo, time}`. Faults are injected before it, by the server.

`time` and all times in results are market time. Two things are real time, because they concern the
connection and not the market: `/v5/market/time` (with its envelope) and the check of
X-BAPI-TIMESTAMP. Rate limits count real time as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from whalestack.simulator.bybit_rest_account import AccountApi
from whalestack.simulator.bybit_rest_auth import ApiKey, check_request
from whalestack.simulator.bybit_rest_limits import AddressLimit, Allowance, BybitLimits, EndpointLimits
from whalestack.simulator.bybit_rest_market import MarketApi
from whalestack.simulator.bybit_rest_params import Params
from whalestack.simulator.bybit_rest_trade import TradeApi, members_of
from whalestack.simulator.exchange.event_log import EventLog
from whalestack.simulator.exchange.refusals import TOO_MANY_VISITS, Refused, bad_parameter
from whalestack.simulator.world import World

SERVER_TIME = "/v5/market/time"
BATCH_PATHS = frozenset({"/v5/order/create-batch", "/v5/order/cancel-batch"})

Row = dict[str, Any]
Answer = Callable[[Params], Row]
BatchAnswer = Callable[[Params, int], tuple[Row, Row]]


@dataclass(frozen=True)
class Endpoint:
    """One endpoint: public when `per_second` is None, else private with that limit."""

    method: str
    path: str
    answer: Answer | None
    per_second: int | None = None
    batch: BatchAnswer | None = None


@dataclass(frozen=True)
class Call:
    """A request as it came in: `query` and `body` are raw."""

    method: str
    path: str
    query: str = ""
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    address: str = "127.0.0.1"

    @property
    def payload(self) -> str:
        """What the signature covers."""
        return self.query if self.method == "GET" else self.body


@dataclass(frozen=True)
class Reply:
    """What goes back."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class BybitRest:
    """The gate and its endpoints.

    Args:
        world: market, exchange, clock and settings.
        limits: of an address.
        real_ms: the wall clock, given by tests.
    """

    def __init__(
        self,
        world: World,
        limits: BybitLimits | None = None,
        real_ms: Callable[[], int] | None = None,
    ) -> None:
        self.key = api_key(world)
        self._clock = world.clock
        self._record: EventLog = world.exchange.log
        self._real_ms = real_ms or (lambda: time.time_ns() // 1_000_000)
        # A jump of this clock must not touch the rate limits, which count on the other.
        self._signing_ms = real_ms or world.bybit_real_ms
        self._addresses = AddressLimit(limits or BybitLimits())
        self._endpoints = EndpointLimits()
        self.table = {(endpoint.method, endpoint.path): endpoint for endpoint in endpoints(world, self.key)}

    def answer(self, call: Call) -> Reply:
        """Answer one request."""
        real_ms = self._real_ms()
        if not self._addresses.allows(call.address, real_ms):
            self._record.api_call(call.path, 403)
            return Reply(403, b"access too frequent")
        endpoint = self.table[call.method, call.path]
        headers: dict[str, str] = {}
        try:
            result, extra = self._pass(endpoint, call, real_ms, headers)
            return self._envelope(call, 0, "OK", result, extra, headers)
        except Refused as refused:
            return self._envelope(call, refused.code, refused.text, {}, {}, headers)

    def _pass(self, endpoint: Endpoint, call: Call, real_ms: int, headers: dict[str, str]) -> tuple[Row, Row]:
        """Through the gate to the endpoint; `headers` receives those of the rate limit."""
        if endpoint.per_second is not None:
            check_request(self.key, call.headers, call.payload, self._signing_ms())
        params = read_params(call)
        if endpoint.per_second is None:
            return _single(endpoint, params), {}
        wanted = len(members_of(params)) if endpoint.path in BATCH_PATHS else 1
        allowance = self._endpoints.take(endpoint.path, endpoint.per_second, wanted, real_ms)
        headers.update(allowance.headers())
        _check_allowance(allowance)
        if endpoint.batch is not None:
            return endpoint.batch(params, allowance.granted)
        return _single(endpoint, params), {}

    def _envelope(
        self, call: Call, code: int, message: str, result: Row, extra: Row, headers: Mapping[str, str]
    ) -> Reply:
        self._record.api_call(call.path, code)
        now_ms = self._signing_ms() if call.path == SERVER_TIME else self._clock.now_ms()
        body = {"retCode": code, "retMsg": message, "result": result, "retExtInfo": extra, "time": now_ms}
        return Reply(200, orjson.dumps(body), headers)


def api_key(world: World) -> ApiKey:
    """The key pair that clients must show: the one in the settings."""
    settings = world.settings
    return ApiKey(settings.bybit_api_key.get_secret_value(), settings.bybit_api_secret.get_secret_value())


def endpoints(world: World, key: ApiKey) -> list[Endpoint]:
    """Every endpoint with its limit per second and user (rate-limit page, unified account, linear)."""
    market, trade = MarketApi(world), TradeApi(world.exchange)
    account = AccountApi(world.exchange, key, list(world.market.symbols))
    return [
        Endpoint("GET", SERVER_TIME, market.server_time),
        Endpoint("GET", "/v5/market/instruments-info", market.instruments),
        Endpoint("GET", "/v5/market/tickers", market.tickers),
        Endpoint("GET", "/v5/market/kline", market.kline),
        Endpoint("GET", "/v5/market/open-interest", market.open_interest),
        Endpoint("GET", "/v5/market/account-ratio", market.account_ratio),
        Endpoint("GET", "/v5/market/funding/history", market.funding_history),
        Endpoint("GET", "/v5/market/price-limit", market.price_limit),
        Endpoint("GET", "/v5/market/risk-limit", market.risk_limit),
        Endpoint("POST", "/v5/order/create", trade.create, 10),
        Endpoint("POST", "/v5/order/amend", trade.amend, 10),
        Endpoint("POST", "/v5/order/cancel", trade.cancel, 10),
        Endpoint("POST", "/v5/order/cancel-all", trade.cancel_all, 10),
        Endpoint("POST", "/v5/order/create-batch", None, 10, trade.create_batch),
        Endpoint("POST", "/v5/order/cancel-batch", None, 10, trade.cancel_batch),
        Endpoint("GET", "/v5/order/realtime", trade.realtime, 50),
        Endpoint("GET", "/v5/order/history", trade.history, 50),
        Endpoint("GET", "/v5/execution/list", trade.executions, 50),
        Endpoint("GET", "/v5/position/list", account.positions, 50),
        Endpoint("GET", "/v5/position/closed-pnl", account.closed_pnl, 50),
        Endpoint("POST", "/v5/position/set-leverage", account.set_leverage, 10),
        Endpoint("POST", "/v5/position/trading-stop", account.trading_stop, 10),
        Endpoint("POST", "/v5/position/switch-mode", account.switch_mode, 10),
        Endpoint("GET", "/v5/account/wallet-balance", account.wallet, 50),
        Endpoint("GET", "/v5/account/fee-rate", account.fee_rate, 5),
        Endpoint("GET", "/v5/account/info", account.account_info, 50),
        Endpoint("POST", "/v5/account/set-margin-mode", account.set_margin_mode, 5),
        Endpoint("GET", "/v5/user/query-api", account.key_information, 10),
    ]


def routes(world: World, limits: BybitLimits | None = None) -> list[web.RouteDef]:
    """The routes of the REST API, for the simulator's server."""
    gate = BybitRest(world, limits)

    async def handle(request: web.Request) -> web.Response:
        reply = gate.answer(await _call_of(request))
        content_type = "application/json" if reply.status == 200 else "text/plain"
        return web.Response(
            body=reply.body, status=reply.status, headers=reply.headers, content_type=content_type
        )

    return [web.route(method, path, handle) for method, path in gate.table]


def read_params(call: Call) -> Params:
    """The parameters of a request, from its query string or its JSON body.

    Raises:
        Refused: the body is no JSON object.
    """
    if call.method == "GET":
        return dict(parse_qsl(call.query, keep_blank_values=True))
    try:
        params = orjson.loads(call.body or "{}")
    except orjson.JSONDecodeError:
        params = None
    if not isinstance(params, dict):
        raise bad_parameter("Request parameter error: the body is not a JSON object.")
    return params


async def _call_of(request: web.Request) -> Call:
    """The raw request: aiohttp's `raw_path` is what was sent, before any decoding."""
    _, _, query = request.raw_path.partition("?")
    body = (await request.read()).decode("utf-8", errors="replace")
    return Call(request.method, request.path, query, body, request.headers, request.remote or "")


def _single(endpoint: Endpoint, params: Params) -> Row:
    if endpoint.answer is None:
        raise TypeError(f"{endpoint.path} answers batches only")
    return endpoint.answer(params)


def _check_allowance(allowance: Allowance) -> None:
    if allowance.granted == 0:
        raise Refused(TOO_MANY_VISITS, "Too many visits!")
