"""Which coins are followed, how their maps are read, and what counts as a move."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings

from whalestack.settings.kinds import Percent, SymbolList


class MarketSettings(BaseSettings):
    """The universe, the heat maps, the ranking and the triggers."""

    # --- the universe -------------------------------------------------------------------
    majors: SymbolList = ("BTC", "ETH")
    blacklist: SymbolList = ()
    min_turnover_24h_usd: float = Field(default=0.0, ge=0)
    min_turnover_to_risk_ratio: float = Field(default=100.0, ge=0)
    min_listing_age_h: float = Field(default=24.0, ge=0)
    max_coins: int = Field(default=2000, ge=1)
    max_spread_pct: Percent = 0.5

    # --- the board ----------------------------------------------------------------------
    board_check_price_tolerance_pct: float = Field(default=1.0, gt=0)
    board_check_oi_tolerance_pct: float = Field(default=5.0, gt=0)

    # --- heat maps and ranking ----------------------------------------------------------
    refresh_interval_s: int = Field(default=300, ge=30)
    heatmap_max_age_s: int = Field(default=300, ge=10)
    ranking_map_max_age_s: int = Field(default=3600, ge=60)
    pattern_max_age_s: int = Field(default=86_400, ge=60)
    ranking_top: int = Field(default=10, ge=1, le=100)
    ranking_watch: int = Field(default=3, ge=1, le=100)
    neutral_band_pct: Percent = 5.0
    success_prior: float = Field(default=0.5, ge=0, le=1)
    success_prior_weight: float = Field(default=20.0, ge=0)

    # --- triggers (floors; each coin's own distribution may ask for more) ---------------
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
