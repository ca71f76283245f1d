"""The one door to `.env` and the environment. Nothing else in the package reads either.

Every tunable of the system is a field of `Settings`, with its unit in its name and its
allowed range in its type; a value out of range is refused at start by its name. The fields
stand in `whalestack.settings`, by subject.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationError, model_validator
from pydantic_settings import SettingsConfigDict

from whalestack.clock import Clock, MarketClock, SteppedClock
from whalestack.errors import StopAndTell
from whalestack.settings.kinds import HeatmapSource, MessageKind, Mode
from whalestack.settings.machine import MachineSettings
from whalestack.settings.market import MarketSettings
from whalestack.settings.measuring import MeasuringSettings
from whalestack.settings.services import ServiceSettings
from whalestack.settings.trading import TradingSettings
from whalestack.trader_list import TraderSpec

__all__ = [
    "ENV_FILE_VARIABLE",
    "LIVE_BYBIT_URL",
    "LIVE_CONFIRMATION",
    "HeatmapSource",
    "MessageKind",
    "Mode",
    "Settings",
    "child_environment",
    "get_settings",
    "load_settings",
]

LIVE_BYBIT_URL = "https://api.bybit.com"
ENV_FILE_VARIABLE = "WHALESTACK_ENV_FILE"
LIVE_CONFIRMATION = "I accept that live trading can lose everything"


class Settings(MachineSettings, MeasuringSettings, TradingSettings, MarketSettings, ServiceSettings):
    """Settings of one process, read once from `.env` and the environment.

    Raises:
        whalestack.errors.StopAndTell: by `load_settings`, naming every value that is
            missing or out of range.
    """

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", extra="ignore", env_ignore_empty=True
    )

    mode: Mode = Mode.DEMO
    live_trading_confirmed: str = ""

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
        if self.mode is not Mode.DEMO and (self.clock_file is not None or self.clock_speed != 1):
            raise ValueError(
                "CLOCK_FILE and CLOCK_SPEED above 1 are for MODE=demo: a real market has its own time"
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

    def clock(self) -> Clock:
        """The clock that every process with these settings shares."""
        if self.clock_file is not None:
            return SteppedClock(self.clock_file)
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
