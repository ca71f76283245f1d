"""The one door to `.env` and the environment. Nothing else in the package reads either.

Every tunable of the system is a field of `Settings`, with its unit in its name and its
allowed range in its type; a value out of range is refused at start by its name.
"""

from __future__ import annotations

import os
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from whalestack.clock import MarketClock
from whalestack.errors import StopAndTell
from whalestack.trader_list import NAME, TAKEN_NAMES, Strategy, TraderSpec, parse_traders


class Mode(StrEnum):
    """Where market data comes from and where orders go."""

    DEMO = "demo"
    PAPER = "paper"
    TESTNET = "testnet"
    BYBIT_DEMO = "bybit-demo"
    LIVE = "live"


class HeatmapSource(StrEnum):
    """Who computes the heat maps."""

    COINGLASS = "coinglass"
    MODEL = "model"


Percent = Annotated[float, Field(ge=0, le=100)]
SymbolList = Annotated[tuple[str, ...], NoDecode]
TraderList = Annotated[tuple[TraderSpec, ...], NoDecode]
MessageKind = Literal["signal", "entry", "stop_moved", "close", "refusal", "alert"]
KindList = Annotated[tuple[MessageKind, ...], NoDecode]

LIVE_BYBIT_URL = "https://api.bybit.com"
ENV_FILE_VARIABLE = "WHALESTACK_ENV_FILE"
LIVE_CONFIRMATION = "I accept that live trading can lose everything"


class Settings(BaseSettings):
    """Settings of one process, read once from `.env` and the environment.

    Raises:
        whalestack.errors.StopAndTell: by `load_settings`, naming every value that is
            missing or out of range.
    """

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", extra="ignore", env_ignore_empty=True
    )

    # --- mode -----------------------------------------------------------------
    mode: Mode = Mode.DEMO
    live_trading_confirmed: str = ""

    # --- stores ---------------------------------------------------------------
    database_url: SecretStr = SecretStr("postgresql+psycopg2://whalestack@127.0.0.1:5432/whalestack")
    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    redis_state_url: SecretStr = SecretStr("redis://127.0.0.1:6379/1")
    run_dir: Path = Path(".run")
    supervisor_pid: int = Field(default=0, ge=0)

    # --- the clock --------------------------------------------------------------
    clock_speed: float = Field(default=1.0, gt=0, le=3600)
    clock_real_origin_ms: int = Field(default=0, ge=0)
    clock_market_origin_ms: int = Field(default=0, ge=0)
    clock_skew_limit_ms: int = Field(default=1000, ge=50, le=30_000)

    # --- coinglass ----------------------------------------------------------------
    coinglass_api_key: SecretStr = SecretStr("")
    coinglass_url: str = "https://open-api-v4.coinglass.com"
    coinglass_ws_url: str = "wss://open-ws.coinglass.com/ws-api"
    coinglass_model: Literal["model1", "model2", "model3"] = "model2"
    coinglass_calls_per_min: int = Field(default=1200, ge=1, le=100_000)
    coinglass_refetch_reserve_pct: Percent = 10.0
    coinglass_timeout_s: float = Field(default=15.0, gt=0, le=120)
    coinglass_budget_wait_s: float = Field(default=75.0, gt=0, le=600)
    coinglass_max_reply_mb: int = Field(default=32, ge=1, le=1000)
    heatmap_source: HeatmapSource = HeatmapSource.COINGLASS

    # --- bybit ----------------------------------------------------------------------
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
    broadcast_repeat_kinds: KindList = ("alert",)

    # --- the universe ---------------------------------------------------------------------
    majors: SymbolList = ("BTC", "ETH")
    blacklist: SymbolList = ()
    min_turnover_24h_usd: float = Field(default=0.0, ge=0)
    min_turnover_to_risk_ratio: float = Field(default=100.0, ge=0)
    min_listing_age_h: float = Field(default=24.0, ge=0)
    max_coins: int = Field(default=2000, ge=1)

    # --- heat maps and ranking ---------------------------------------------------------------
    refresh_interval_s: int = Field(default=300, ge=30)
    heatmap_max_age_s: int = Field(default=300, ge=10)
    ranking_map_max_age_s: int = Field(default=3600, ge=60)
    pattern_max_age_s: int = Field(default=86_400, ge=60)
    ranking_top: int = Field(default=10, ge=1, le=100)
    ranking_watch: int = Field(default=3, ge=1, le=100)
    neutral_band_pct: Percent = 5.0
    success_prior: float = Field(default=0.5, ge=0, le=1)
    success_prior_weight: float = Field(default=20.0, ge=0)

    # --- triggers (floors; each coin's own distribution may ask for more) ---------------------
    trigger_oi_change_pct: float = Field(default=3.0, gt=0)
    trigger_volume_ratio: float = Field(default=1.5, gt=0)
    trigger_price_change_pct: float = Field(default=1.0, gt=0)
    mover_1m_pct: float = Field(default=2.0, gt=0)
    mover_5m_pct: float = Field(default=5.0, gt=0)
    trigger_quantile: float = Field(default=0.95, gt=0, lt=1)
    trigger_min_observations: int = Field(default=60, ge=1)
    signal_cooldown_s: int = Field(default=900, ge=0)
    refetch_cooldown_s: int = Field(default=240, ge=0)
    tick_spacing_s: float = Field(default=15.0, gt=0, le=300)
    signal_max_age_s: int = Field(default=120, ge=1)
    ranking_max_age_s: int = Field(default=900, ge=60)
    threshold_lookback_h: int = Field(default=72, ge=1, le=720)

    # --- trading --------------------------------------------------------------------------------
    autotrader_name: str = Field(default="conservative-1", pattern=rf"^{NAME.pattern}$")
    autotrader_strategy: Strategy = "CONSERVATIVE"
    autotrader_enabled: bool = True
    autotrader_max_positions: int = Field(default=5, ge=1)
    autotraders: TraderList = ()
    risk_per_trade_pct: float = Field(default=1.0, gt=0, le=100)
    entry_offset_pct: float = Field(default=2.0, ge=0, le=50)
    entry_wait_s: int = Field(default=3600, ge=10)
    stop_min_pct: float = Field(default=5.0, gt=0, le=50)
    stop_max_pct: float = Field(default=10.0, gt=0, le=50)
    stop_beyond_cluster_pct: float = Field(default=0.5, ge=0, le=10)
    max_leverage: float = Field(default=10.0, ge=1, le=100)
    maintenance_margin_pct: Percent = 2.0
    slippage_pct: float = Field(default=0.1, ge=0, le=10)
    expected_hold_h: float = Field(default=8.0, ge=0)
    min_observations: int = Field(default=30, ge=1)
    short_range_min_success: float = Field(default=0.75, ge=0, le=1)
    trade_without_history: bool | None = None

    # --- ladders ------------------------------------------------------------------------------
    ladder_rungs: int = Field(default=0, ge=0, le=20)
    ladder_coins: SymbolList = ()
    ladder_sizes: Literal["flat", "increasing", "decreasing"] = "flat"
    ladder_spacing: Literal["even", "ratio"] = "even"
    ladder_ratio: float = Field(default=1.5, ge=1, le=2)
    ladder_depth_pct: float = Field(default=2.0, gt=0, lt=50)

    # --- guards -----------------------------------------------------------------------------------
    max_open_positions: int = Field(default=5, ge=1)
    max_exposure_pct: float = Field(default=200.0, gt=0)
    max_coin_exposure_pct: float = Field(default=50.0, gt=0)
    max_daily_loss_pct: float = Field(default=5.0, gt=0, le=100)
    max_drawdown_pct: float = Field(default=20.0, gt=0, le=100)
    cooldown_after_stop_s: int = Field(default=3600, ge=0)
    max_stop_streak: int = Field(default=4, ge=1)
    stop_streak_pause_s: int = Field(default=86_400, ge=0)
    stale_tick_s: int = Field(default=60, ge=1)
    unknown_order_bound_s: int = Field(default=120, ge=5)
    adopt_unknown_positions: bool = False
    reconcile_max_age_s: int = Field(default=300, ge=30)

    # --- trailing -----------------------------------------------------------------------------------
    trailing_steps_pct: Annotated[tuple[tuple[float, float], ...], NoDecode] = (
        (10.0, 0.0),
        (20.0, 10.0),
        (50.0, 30.0),
    )
    extend_take_profit: bool = False

    # --- workers --------------------------------------------------------------------------------------
    heatmap_workers: int = Field(default=2, ge=1, le=64)
    heatmap_concurrency: int = Field(default=8, ge=1, le=256)
    heatmap_batch: int = Field(default=24, ge=1, le=1000)
    flower_port: int = Field(default=5555, ge=1, le=65_535)
    flower_basic_auth: SecretStr = SecretStr("")
    beat_redundant: bool = False
    beat_state_dir: Path = Path("celerybeat-schedule")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["console", "json"] = "console"
    archive_raw: bool = False

    # --- retention -----------------------------------------------------------------------------------
    keep_snapshots_days: int = Field(default=30, ge=1)
    keep_ticks_days: int = Field(default=30, ge=1)
    keep_candles_days: int = Field(default=400, ge=1)
    keep_logs_days: int = Field(default=90, ge=32)
    keep_clusters_days: int = Field(default=400, ge=30)

    # --- simulator --------------------------------------------------------------------------------------
    simulator_host: str = "127.0.0.1"
    simulator_port: int = Field(default=8900, ge=1, le=65_535)
    simulator_market: str = "synthetic"
    simulator_seed: int = 7
    simulator_coins: int = Field(default=60, ge=1, le=5000)
    simulator_equity_usd: float = Field(default=10_000.0, gt=0)
    simulator_symbols: SymbolList = ()
    simulator_coinglass_calls_per_min: int = Field(default=1200, ge=1, le=1_000_000)
    simulator_warm_maps: bool = True

    @field_validator("majors", "blacklist", "simulator_symbols", "ladder_coins", mode="before")
    @classmethod
    def _split_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip().upper() for part in value.split(",") if part.strip())
        return value

    @field_validator("autotraders", mode="before")
    @classmethod
    def _read_traders(cls, value: object) -> object:
        return parse_traders(value) if isinstance(value, str) else value

    @field_validator("autotrader_name")
    @classmethod
    def _refuse_taken_name(cls, value: str) -> str:
        if value in TAKEN_NAMES:
            raise ValueError("it is the name of another agent")
        return value

    @field_validator("x_kinds", "broadcast_repeat_kinds", mode="before")
    @classmethod
    def _split_kinds(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip().lower() for part in value.split(",") if part.strip())
        return value

    @field_validator("trailing_steps_pct", mode="before")
    @classmethod
    def _split_steps(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(
                tuple(float(number) for number in step.split(":"))
                for step in value.split(",")
                if step.strip()
            )
        return value

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.stop_min_pct > self.stop_max_pct:
            raise ValueError("STOP_MIN_PCT is above STOP_MAX_PCT")
        if self.ladder_rungs != 1 and self.ladder_depth_pct >= self.stop_min_pct:
            raise ValueError("LADDER_DEPTH_PCT is not below STOP_MIN_PCT: a stop could lie above a rung")
        for profit, stop in self.trailing_steps_pct:
            if stop >= profit:
                raise ValueError(
                    f"TRAILING_STEPS_PCT: a stop at {stop} for a profit of {profit} is not below it"
                )
        if self.mode is Mode.LIVE and self.live_trading_confirmed != LIVE_CONFIRMATION:
            raise ValueError(
                f"MODE=live needs a second switch: set LIVE_TRADING_CONFIRMED='{LIVE_CONFIRMATION}'"
            )
        return self

    @model_validator(mode="after")
    def _follow_mode(self) -> Self:
        """In demo mode every endpoint and key is the simulator's, and in paper mode those that
        orders go to: a line left in `.env` can't lead a demo to a real account. An endpoint on
        this machine is left as it is, since it can only be another simulator."""
        here = f"{self.simulator_host}:{self.simulator_port}"
        if self.mode in (Mode.DEMO, Mode.PAPER) and not _is_loopback(self.bybit_rest_url):
            self._set(
                bybit_rest_url=f"http://{here}",
                bybit_public_ws_url=f"ws://{here}/v5/public/linear",
                bybit_private_ws_url=f"ws://{here}/v5/private",
                bybit_api_key=SecretStr("simulator-key"),
                bybit_api_secret=SecretStr("simulator-secret"),
            )
        if self.mode is Mode.PAPER and self.simulator_market == "synthetic":
            self._set(simulator_market=f"mirror:{LIVE_BYBIT_URL}")
        if self.mode is Mode.DEMO:
            self._use_simulated_services(here)
        return self

    def _use_simulated_services(self, here: str) -> None:
        if not _is_loopback(self.coinglass_url):
            self._set(
                coinglass_url=f"http://{here}",
                coinglass_ws_url=f"ws://{here}/ws-api",
                coinglass_api_key=SecretStr("simulator-coinglass-key"),
            )
        if not _is_loopback(self.telegram_url):
            self._set(
                telegram_url=f"http://{here}",
                telegram_bot_token=SecretStr("1000001:simulator-token"),
                telegram_chat_id="-1000000000001",
            )
        if not _is_loopback(self.x_url):
            self._set(
                x_url=f"http://{here}",
                x_consumer_key=SecretStr("simulator-consumer"),
                x_consumer_secret=SecretStr("simulator-consumer-secret"),
                x_access_token=SecretStr("1-simulator-access"),
                x_access_token_secret=SecretStr("simulator-access-secret"),
            )

    def _set(self, **values: object) -> None:
        for name, value in values.items():
            setattr(self, name, value)

    @property
    def simulator_url(self) -> str:
        """Where the simulator listens."""
        return f"http://{self.simulator_host}:{self.simulator_port}"

    @property
    def is_real_money(self) -> bool:
        """True only where orders cost real money."""
        return self.mode is Mode.LIVE

    @property
    def may_trade_without_history(self) -> bool:
        """Whether a coin with too few observations may be traded to learn."""
        if self.trade_without_history is None:
            return not self.is_real_money
        return self.trade_without_history

    def of_traders(self) -> tuple[Settings, ...]:
        """These settings as each automatic trader has them, in the order in which they are named.

        Without AUTOTRADERS there is one, whom AUTOTRADER_NAME and AUTOTRADER_STRATEGY describe.
        AUTOTRADER_ENABLED is a switch for all of them.
        """
        return tuple(self._as_trader(spec) for spec in self.autotraders) or (self,)

    def acting_traders(self) -> tuple[Settings, ...]:
        """The traders that are switched on; with none, all of them: they refuse by name."""
        traders = self.of_traders()
        return tuple(trader for trader in traders if trader.autotrader_enabled) or traders

    def trader(self, name: str | None = None) -> Settings:
        """One trader's settings, by its name or the first that acts.

        Raises:
            StopAndTell: there is no trader of this name.
        """
        if name is None:
            return self.acting_traders()[0]
        for trader in self.of_traders():
            if trader.autotrader_name == name:
                return trader
        known = ", ".join(trader.autotrader_name for trader in self.of_traders())
        raise StopAndTell(f"there is no automatic trader {name}; AUTOTRADERS names {known}")

    def _as_trader(self, spec: TraderSpec) -> Settings:
        own: dict[str, object] = {
            "autotrader_name": spec.name,
            "autotrader_strategy": spec.strategy,
            "autotrader_enabled": self.autotrader_enabled and spec.enabled,
            "risk_per_trade_pct": spec.risk_pct,
            "autotrader_max_positions": spec.open_positions,
            "ladder_rungs": spec.ladder_rungs,
        }
        return self.model_copy(update={name: value for name, value in own.items() if value is not None})

    def clock(self) -> MarketClock:
        """The clock that every process with these settings shares."""
        return MarketClock(self.clock_speed, self.clock_real_origin_ms, self.clock_market_origin_ms)


def _is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def load_settings(env_file: Path | None = None, **overrides: object) -> Settings:
    """Read the settings; overrides win over the environment, which wins over `.env`.

    The variable WHALESTACK_ENV_FILE names another file than `.env`: the demo uses it, so
    that the keys of a real account in `.env` can never reach a demo process.

    Raises:
        StopAndTell: one line for each value that is missing or out of range, by its name;
            the value itself is not repeated, because it may be a secret.
    """
    try:
        return Settings(
            _env_file=env_file or os.environ.get(ENV_FILE_VARIABLE, ".env"),
            **overrides,  # type: ignore[arg-type]
        )
    except ValidationError as error:
        lines = [
            f"{'.'.join(str(part).upper() for part in problem['loc']) or 'settings'}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        ]
        raise StopAndTell("bad settings; " + "; ".join(lines)) from None


def child_environment(env_file: Path | None, **overrides: str) -> dict[str, str]:
    """The environment for a child process that reads the same settings.

    Args:
        env_file: read instead of `.env`; then no setting is inherited from this process's
            environment either, so that the file alone decides. None inherits everything.
        overrides: settings by their upper-case names.
    """
    inherited = dict(os.environ)
    if env_file is not None:
        ours = {name.upper() for name in Settings.model_fields}
        inherited = {name: value for name, value in inherited.items() if name.upper() not in ours}
        inherited[ENV_FILE_VARIABLE] = str(env_file)
    return inherited | overrides


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read at the first call."""
    return load_settings()
