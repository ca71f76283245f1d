"""What our own heat maps assume, and how hit rates are measured."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode

from whalestack.settings.kinds import Percent


class MeasuringSettings(BaseSettings):
    """The liquidation model, and hit rates against chance."""

    # --- the liquidation model (docs/liquidation-model.md) -------------------------------
    model_leverages: Annotated[tuple[tuple[float, float], ...], NoDecode] = (
        (5.0, 15.0),
        (10.0, 30.0),
        (25.0, 30.0),
        (50.0, 15.0),
        (100.0, 10.0),
    )
    model_churn_pct: Percent = 2.0
    model_turnover_pct_without_oi: Percent = 5.0

    # --- hit rates against chance (docs/results.md) ---------------------------------------
    accuracy_min_observations: int = Field(default=100, ge=1)
    accuracy_lookback_days: int = Field(default=400, ge=1)
    large_coin_share_pct: Percent = 20.0
    trade_unproven: bool = False

    @field_validator("model_leverages", mode="before")
    @classmethod
    def _split_leverages(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(
                tuple(float(number) for number in tier.split(":"))
                for tier in value.split(",")
                if tier.strip()
            )
        return value

    @field_validator("model_leverages")
    @classmethod
    def _refuse_no_leverages(cls, value: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
        if not value or any(leverage <= 1 or weight <= 0 for leverage, weight in value):
            raise ValueError("LEVERAGE:WEIGHT pairs, leverages above 1 and weights above 0")
        return value
