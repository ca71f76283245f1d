"""`whalestack doctor`: each key, endpoint and store, and what to do where one is not right."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import redis
import requests
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from whalestack.agents.key_safety import key_obstacle
from whalestack.config import HeatmapSource, Settings
from whalestack.db.migrations import current_revision, head_revision
from whalestack.errors import WhalestackError
from whalestack.runtime import Runtime


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Args:
        check: what was looked at.
        ok: whether it is right.
        says: the figure seen, or what to do.
    """

    check: str
    ok: bool
    says: str


def examine(runtime: Runtime) -> list[Finding]:
    """Run every check that these settings need; one that fails never hides another."""
    checks: list[tuple[str, Callable[[], str]]] = [
        ("settings", lambda: f"mode {runtime.settings.mode.value}"),
        ("database", lambda: _database(runtime)),
        ("redis", lambda: _redis(runtime)),
        ("bybit", lambda: _bybit(runtime)),
        ("bybit key", lambda: _bybit_key(runtime)),
        ("clock skew", lambda: _skew(runtime)),
        ("coinglass", lambda: _coinglass(runtime)),
        ("telegram", lambda: _telegram(runtime.settings)),
        ("x", lambda: _x(runtime.settings)),
    ]
    return [_run(name, check) for name, check in checks]


def _run(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, check())
    except (WhalestackError, SQLAlchemyError, redis.RedisError, requests.RequestException) as error:
        return Finding(name, False, _first_line(error))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _database(runtime: Runtime) -> str:
    current = current_revision(runtime.settings.database_url.get_secret_value())
    if current != head_revision():
        raise WhalestackError(f"the schema is at {current or 'nothing'}: run `whalestack db upgrade`")
    with runtime.db.engine.connect() as connection:
        version = connection.scalar(text("show server_version"))
        timescale = connection.scalar(
            text("select extversion from pg_extension where extname = 'timescaledb'")
        )
    return f"PostgreSQL {version}, schema {current}, TimescaleDB {timescale or 'not installed'}"


def _redis(runtime: Runtime) -> str:
    info = runtime.redis.info("server")
    policy = runtime.redis.config_get("maxmemory-policy").get("maxmemory-policy")
    if policy != "noeviction":
        raise WhalestackError(f"maxmemory-policy is {policy}: set noeviction, or Redis may drop queued work")
    return f"Redis {info['redis_version']}"


def _bybit(runtime: Runtime) -> str:
    return f"{len(runtime.bybit.instruments())} linear perpetuals"


def _bybit_key(runtime: Runtime) -> str:
    if not runtime.settings.bybit_api_key.get_secret_value():
        raise WhalestackError("BYBIT_API_KEY is empty: set it in .env, or use MODE=demo")
    obstacle = key_obstacle(runtime.bybit, runtime.settings)
    if obstacle is not None:
        raise WhalestackError(obstacle)
    return f"equity {runtime.bybit.wallet().equity_usd:.2f} USD, it may trade and not withdraw"


def _skew(runtime: Runtime) -> str:
    before = time.time_ns() // 1_000_000
    server_ms = runtime.bybit.server_time_ms()
    after = time.time_ns() // 1_000_000
    skew_ms = server_ms - (before + after) // 2
    if abs(skew_ms) > runtime.settings.clock_skew_limit_ms:
        raise WhalestackError(
            f"this clock is {-skew_ms} ms ahead of Bybit's: set it by NTP; trading is off until then"
        )
    return f"{skew_ms} ms to Bybit, answer in {after - before} ms"


def _coinglass(runtime: Runtime) -> str:
    if runtime.settings.heatmap_source is HeatmapSource.MODEL:
        return "not used: HEATMAP_SOURCE=model"
    return f"{len(runtime.coinglass.supported_coins())} coins"


def _telegram(settings: Settings) -> str:
    token = settings.telegram_bot_token.get_secret_value()
    if not token or not settings.telegram_chat_id:
        return "off: TELEGRAM_BOT_TOKEN or TELEGRAM_CHAT_ID is empty"
    try:
        reply = requests.get(f"{settings.telegram_url}/bot{token}/getMe", timeout=10)
    except requests.RequestException as error:
        # The error's own text holds the URL, and the URL holds the token.
        raise WhalestackError(f"Telegram is out of reach: {type(error).__name__}") from None
    if reply.status_code != requests.codes.ok:
        raise WhalestackError(f"Telegram answers {reply.status_code}: check TELEGRAM_BOT_TOKEN")
    return f"bot {reply.json()['result']['username']}"


def _x(settings: Settings) -> str:
    if not settings.x_access_token.get_secret_value():
        return "off: X_ACCESS_TOKEN is empty"
    return f"set, {settings.x_posts_per_day} posts a day (not called: every call to X costs)"
