"""`whalestack doctor`: each key, endpoint and store, and what to do where one is not right."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import redis
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from whalestack.agents.clock_skew import measure_skew
from whalestack.agents.key_safety import key_obstacle
from whalestack.agents.outbox import has_telegram, has_x_keys
from whalestack.clients.coinglass.plans import plan_obstacle
from whalestack.clients.raw_archive import archive_state
from whalestack.clients.telegram.client import TelegramClient
from whalestack.config import HeatmapSource, Settings
from whalestack.db.migrations import head_revision, schema_obstacle
from whalestack.errors import GiveUp, WhalestackError
from whalestack.runtime import Runtime, wall_ms


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
    if runtime.settings.archive_raw:
        checks.append(("archive", lambda: archive_state(runtime.settings)))
    return [_run(name, check) for name, check in checks]


def _run(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, check())
    except (WhalestackError, SQLAlchemyError, redis.RedisError) as error:
        return Finding(name, False, _first_line(error))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _database(runtime: Runtime) -> str:
    obstacle = schema_obstacle(runtime.settings.database_url.get_secret_value())
    if obstacle is not None:
        raise WhalestackError(obstacle)
    with runtime.db.engine.connect() as connection:
        version = connection.scalar(text("show server_version"))
        timescale = connection.scalar(
            text("select extversion from pg_extension where extname = 'timescaledb'")
        )
    return f"PostgreSQL {version}, schema {head_revision()}, TimescaleDB {timescale or 'not installed'}"


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
    skew = measure_skew(runtime.bybit, wall_ms)
    if skew.is_beyond(runtime.settings.clock_skew_limit_ms):
        raise WhalestackError(
            f"this clock is {-skew.skew_ms:.0f} ms ahead of Bybit's: set it by NTP; trading is off until then"
        )
    return f"{skew.skew_ms:.0f} ms to Bybit, give or take {skew.uncertain_ms:.0f}"


def _coinglass(runtime: Runtime) -> str:
    if runtime.settings.heatmap_source is HeatmapSource.MODEL:
        return "not used: HEATMAP_SOURCE=model"
    coins, told = len(runtime.coinglass.supported_coins()), _coinglass_plan(runtime)
    obstacle = plan_obstacle(runtime.settings.coinglass_plan, told)
    if obstacle is not None:
        raise WhalestackError(obstacle)
    plan = told or runtime.settings.coinglass_plan or "not told"
    return f"{coins} coins, plan {plan.lower()}, {runtime.coinglass.budget.calls_per_min} calls a minute"


def _coinglass_plan(runtime: Runtime) -> str | None:
    try:
        return runtime.coinglass.subscription().level
    except GiveUp:
        # Some plans are answered 404 here.
        return None


def _telegram(settings: Settings) -> str:
    if not has_telegram(settings):
        return "off: TELEGRAM_BOT_TOKEN or TELEGRAM_CHAT_ID is empty"
    with closing(TelegramClient.from_settings(settings)) as client:
        return f"bot {client.name()}"


def _x(settings: Settings) -> str:
    if not has_x_keys(settings):
        return "off: not all four X_ keys are set"
    return f"set, {settings.x_posts_per_day} posts a day (not called: every call to X costs)"
