"""HTTP faults, applied to every API of the simulator in one place.

A refusal is worded as the API in question words its own, told by the path.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

from whalestack.simulator.faults import HTTP_KINDS, FaultKind, FaultRule, Faults

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_BEFORE = frozenset({FaultKind.HTTP_500, FaultKind.HTTP_429, FaultKind.CODE})
_TIMEOUTS = frozenset({FaultKind.TIMEOUT_BEFORE, FaultKind.TIMEOUT_AFTER})
_POLL_S = 0.05


def fault_middleware(faults: Faults) -> Any:
    """The middleware that applies the standing rules; control paths are never hit."""

    @web.middleware
    async def apply(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not faults.rules or request.path.startswith("/sim/"):
            return await handler(request)
        endpoint = f"{request.method} {request.path}"
        # A rule strikes what has arrived as a whole: a client that leaves from here on has sent it
        # all the same, and it arrives late.
        await request.read()
        late = faults.take(endpoint, {FaultKind.LATENCY})
        if late is not None:
            await asyncio.sleep(late.delay_ms / 1000.0)
        rule = faults.take(endpoint, HTTP_KINDS - {FaultKind.LATENCY})
        return await handler(request) if rule is None else await _inject(rule, request, handler)

    return apply


async def _inject(rule: FaultRule, request: web.Request, handler: Handler) -> web.StreamResponse:
    if rule.kind in _BEFORE:
        return _refusal(rule, request.path)
    if rule.kind is FaultKind.TIMEOUT_BEFORE:
        return await _hold(rule, request)
    answer = await handler(request)
    if rule.kind is FaultKind.TIMEOUT_AFTER:
        return await _hold(rule, request)
    if rule.kind is FaultKind.HTTP_500_AFTER:
        return web.Response(status=500, text="<html><h1>500 Internal Server Error</h1></html>")
    if rule.kind is FaultKind.DUPLICATE_REFUSAL:
        return _bybit_body(110072, "OrderLinkedID is duplicate", 200)
    body = getattr(answer, "body", None) or b""
    return web.Response(body=bytes(body)[: len(body) // 2], content_type="application/json")


async def _hold(rule: FaultRule, request: web.Request) -> web.Response:
    """Say nothing until the client leaves or the delay is over; then break the connection."""
    until_s = time.monotonic() + rule.delay_ms / 1000.0
    while time.monotonic() < until_s and request.transport is not None and not request.transport.is_closing():
        await asyncio.sleep(_POLL_S)
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _refusal(rule: FaultRule, path: str) -> web.Response:
    if rule.kind is FaultKind.HTTP_500:
        return web.Response(status=500, text="<html><h1>500 Internal Server Error</h1></html>")
    is_limit = rule.kind is FaultKind.HTTP_429
    status = 429 if is_limit else 200
    code, message = ("429", "Too many requests") if is_limit else (rule.code, rule.message)
    if path.startswith("/v5/"):
        return _bybit_body(int(code), message, status)
    if path.startswith("/bot"):
        body = {
            "ok": False,
            "error_code": int(code),
            "description": message,
            "parameters": {"retry_after": 1},
        }
        return _json(body, status if is_limit else int(code), {"Retry-After": "1"})
    if path.startswith("/2/"):
        headers = {"x-rate-limit-remaining": "0", "x-rate-limit-reset": str(int(time.time()) + 1)}
        body = {"title": message, "detail": message, "status": int(code), "type": "about:blank"}
        return _json(body, int(code), headers)
    return _json({"code": code, "msg": message}, status, {})


def _bybit_body(code: int, message: str, status: int) -> web.Response:
    body = {
        "retCode": code,
        "retMsg": message,
        "result": {},
        "retExtInfo": {},
        "time": time.time_ns() // 1_000_000,
    }
    headers = {"X-Bapi-Limit-Reset-Timestamp": str(time.time_ns() // 1_000_000 + 1000)}
    return _json(body, status, headers)


def _json(body: dict[str, Any], status: int, headers: dict[str, str]) -> web.Response:
    return web.Response(
        body=orjson.dumps(body), status=status, headers=headers, content_type="application/json"
    )
