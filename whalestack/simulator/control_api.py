"""How tests and demos look into the simulator and steer it: everything under `/sim`."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import orjson
from aiohttp import web

from whalestack.errors import GiveUp
from whalestack.simulator.faults import parse_rule
from whalestack.simulator.world import World

SETTLING_TURNS = 3


def routes(world: World) -> list[web.RouteDef]:
    """Everything under `/sim`: what is there to see, and what can be steered."""

    async def show_health(_request: web.Request) -> web.Response:
        return _json(health(world))

    async def show_stats(_request: web.Request) -> web.Response:
        return _json(stats(world))

    async def show_events(request: web.Request) -> web.Response:
        return _json(_events(world, request))

    async def show_messages(_request: web.Request) -> web.Response:
        return _json(_messages(world))

    async def show_faults(_request: web.Request) -> web.Response:
        return _json(_faults(world))

    async def add_faults(request: web.Request) -> web.Response:
        return await _steer(request, lambda body: _add_faults(world, body))

    async def clear_faults(_request: web.Request) -> web.Response:
        world.faults.clear()
        return _json(_faults(world))

    async def push_price(request: web.Request) -> web.Response:
        return await _steer(request, lambda body: _push_price(world, body))

    async def set_clock(request: web.Request) -> web.Response:
        return await _steer(request, lambda body: _set_clock(world, body))

    async def step(_request: web.Request) -> web.Response:
        world.step()
        # What the step set off is sent in the loop's next turns.
        for _ in range(SETTLING_TURNS):
            await asyncio.sleep(0)
        return _json({"now_ms": world.market.now_ms, "frames": dict(world.frames)})

    return [
        web.post("/sim/step", step),
        web.get("/sim/health", show_health),
        web.get("/sim/stats", show_stats),
        web.get("/sim/events", show_events),
        web.get("/sim/messages", show_messages),
        web.get("/sim/faults", show_faults),
        web.post("/sim/faults", add_faults),
        web.delete("/sim/faults", clear_faults),
        web.post("/sim/price", push_price),
        web.post("/sim/clock", set_clock),
    ]


def health(world: World) -> dict[str, Any]:
    """What is played, and whether it still is."""
    market = world.market
    return {
        "ok": True,
        "market": world.settings.simulator_market,
        "coins": len(market.symbols),
        "derived_instruments": list(getattr(market, "derived_instruments", ())),
        "derived_data": list(getattr(market, "derived_data", ())),
        "start_ms": market.start_ms,
        "now_ms": market.now_ms,
        "end_ms": market.end_ms,
        "ended": market.end_ms is not None and market.now_ms >= market.end_ms,
        "speed": world.settings.clock_speed,
        "up_real_s": round(time.monotonic() - world.started_real_s, 3),
    }


def stats(world: World) -> dict[str, Any]:
    """The counts of every part. `exchange` holds doubled orders and unprotected seconds."""
    return {
        "exchange": world.exchange.stats(),
        "telegram": world.telegram.stats(),
        "x": world.x.stats(),
        "coinglass": dict(world.coinglass_counts),
        "faults": dict(world.faults.injected),
        "liquidations": len(world.market.liquidations()),
        "cpu_s": round(time.process_time(), 3),
    }


def _events(world: World, request: web.Request) -> dict[str, Any]:
    query = request.query
    rows = world.event_log.rows(
        after_seq=int(query.get("after_seq", "0")),
        kind=query.get("kind"),
        symbol=query.get("symbol"),
        limit=int(query.get("limit", "1000")),
    )
    return {"events": rows}


def _messages(world: World) -> dict[str, Any]:
    """What each channel has taken, in order: the texts as a reader sees them."""
    return {
        "telegram": [message.text for message in world.telegram.messages],
        "x": [post.text for post in world.x.posts],
    }


def _set_clock(world: World, body: dict[str, Any]) -> dict[str, Any]:
    """Put Bybit's real clock so many ms ahead of this machine's, below 0 for behind."""
    try:
        world.bybit_ahead_ms = int(body["ahead_ms"])
    except KeyError as error:
        raise GiveUp("needs ahead_ms") from error
    return {"bybit_real_ms": world.bybit_real_ms()}


def _faults(world: World) -> dict[str, Any]:
    return {"rules": [rule.as_dict() for rule in world.faults.rules], "injected": dict(world.faults.injected)}


def _add_faults(world: World, body: dict[str, Any]) -> dict[str, Any]:
    rules = [parse_rule(raw) for raw in body.get("rules", [body])]
    for rule in rules:
        world.faults.add(rule)
    return _faults(world)


def _push_price(world: World, body: dict[str, Any]) -> dict[str, Any]:
    """The tick, and `real_ms`: the wall clock when it was handed to the sockets."""
    interest = body.get("open_interest")
    try:
        tick = world.push_price(
            str(body["symbol"]),
            float(body["price"]),
            turnover_usd=float(body.get("turnover_usd", 0.0)),
            open_interest=None if interest is None else float(interest),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise GiveUp(f"needs a symbol that is played and a price: {error}") from error
    return {**tick._asdict(), "real_ms": time.time_ns() / 1e6}


async def _steer(request: web.Request, act: Any) -> web.Response:
    try:
        body = json.loads(await request.text())
        return _json(act(body))
    except (GiveUp, ValueError, AttributeError, TypeError) as error:
        return _json({"ok": False, "why": str(error)}, status=400)


def _json(body: dict[str, Any], status: int = 200) -> web.Response:
    return web.Response(
        body=orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS, default=str),
        status=status,
        content_type="application/json",
    )
