"""The stores, the clock and the outside services."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from whalestack.settings.kinds import HeatmapSource, KindList, Percent


class ServiceSettings(BaseSettings):
    """Where everything is, and how it is asked."""

    # --- stores -------------------------------------------------------------------------
    database_url: SecretStr = SecretStr("postgresql+psycopg2://whalestack@127.0.0.1:5432/whalestack")
    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    redis_state_url: SecretStr = SecretStr("redis://127.0.0.1:6379/1")
    # The longest a task may run is the history queue's 300 s; a message must never come back while
    # its task still runs, so this lies above twice that.
    broker_visibility_timeout_s: int = Field(default=900, ge=1)
    run_dir: Path = Path(".run")
    supervisor_pid: int = Field(default=0, ge=0)

    # --- the clock ----------------------------------------------------------------------
    clock_speed: float = Field(default=1.0, gt=0, le=3600)
    clock_real_origin_ms: int = Field(default=0, ge=0)
    clock_market_origin_ms: int = Field(default=0, ge=0)
    clock_file: Path | None = None
    clock_skew_limit_ms: int = Field(default=1000, ge=50, le=30_000)

    # --- coinglass ----------------------------------------------------------------------
    coinglass_api_key: SecretStr = SecretStr("")
    coinglass_url: str = "https://open-api-v4.coinglass.com"
    coinglass_ws_url: str = "wss://open-ws.coinglass.com/ws-api"
    coinglass_model: Literal["model1", "model2", "model3"] = "model2"
    coinglass_plan: Literal["", "hobbyist", "startup", "standard", "professional", "enterprise"] = ""
    coinglass_calls_per_min: int = Field(default=1200, ge=1, le=100_000)
    coinglass_refetch_reserve_pct: Percent = 4.0
    coinglass_timeout_s: float = Field(default=15.0, gt=0, le=60)
    coinglass_budget_wait_s: float = Field(default=75.0, gt=0, le=600)
    coinglass_max_reply_mb: int = Field(default=32, ge=1, le=1000)
    heatmap_source: HeatmapSource = HeatmapSource.COINGLASS

    # --- bybit --------------------------------------------------------------------------
    bybit_api_key: SecretStr = SecretStr("")
    bybit_api_secret: SecretStr = SecretStr("")
    bybit_rest_url: str = ""
    bybit_public_ws_url: str = ""
    bybit_private_ws_url: str = ""
    bybit_timeout_s: float = Field(default=5.0, gt=0, le=60)
    bybit_recv_window_ms: int = Field(default=5000, ge=1000, le=60_000)

    # --- telegram and x -----------------------------------------------------------------
    telegram_bot_token: SecretStr = SecretStr("")
    telegram_chat_id: str = ""
    telegram_url: str = "https://api.telegram.org"
    x_consumer_key: SecretStr = SecretStr("")
    x_consumer_secret: SecretStr = SecretStr("")
    x_access_token: SecretStr = SecretStr("")
    x_access_token_secret: SecretStr = SecretStr("")
    x_url: str = "https://api.twitter.com"
    x_posts_per_day: int = Field(default=15, ge=0, le=100_000)
    x_posts_per_month: int = Field(default=450, ge=0, le=1_000_000)
    x_kinds: KindList = ("signal", "entry", "stop_moved", "close", "refusal")
    broadcast_max_age_s: int = Field(default=900, ge=10)
    broadcast_timeout_s: float = Field(default=10.0, gt=0, le=120)
    broadcast_ask_in_doubt: bool = True
    broadcast_repeat_kinds: KindList = ("alert",)
