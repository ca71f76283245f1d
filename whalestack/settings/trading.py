"""How plans are made, sized, guarded and trailed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode

from whalestack.settings.kinds import Percent, SymbolList
from whalestack.trader_list import NAME, TAKEN_NAMES, Strategy, TraderSpec, parse_traders

TraderList = Annotated[tuple[TraderSpec, ...], NoDecode]


class TradingSettings(BaseSettings):
    """Automatic traders, ladders, guards and trailing steps."""

    # --- trading ------------------------------------------------------------------------
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

    # --- ladders ------------------------------------------------------------------------
    ladder_rungs: int = Field(default=0, ge=0, le=20)
    ladder_coins: SymbolList = ()
    ladder_sizes: Literal["flat", "increasing", "decreasing"] = "flat"
    ladder_spacing: Literal["even", "ratio"] = "even"
    ladder_ratio: float = Field(default=1.5, ge=1, le=2)
    ladder_depth_pct: float = Field(default=2.0, gt=0, lt=50)

    # --- guards -------------------------------------------------------------------------
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

    # --- trailing -----------------------------------------------------------------------
    trailing_steps_pct: Annotated[tuple[tuple[float, float], ...], NoDecode] = (
        (10.0, 0.0),
        (20.0, 10.0),
        (50.0, 30.0),
    )
    extend_take_profit: bool = False

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
