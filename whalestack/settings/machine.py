"""Workers, logs, what is kept, and the simulator."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from whalestack.settings.kinds import SymbolList


class MachineSettings(BaseSettings):
    """What runs on this machine and what it keeps."""

    # --- workers ------------------------------------------------------------------------
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
    archive_dir: Path = Path("data/incoming")
    archive_max_gb: float = Field(default=50.0, gt=0)
    archive_min_free_gb: float = Field(default=2.0, ge=0)

    # --- retention ----------------------------------------------------------------------
    keep_snapshots_days: int = Field(default=30, ge=1)
    keep_ticks_days: int = Field(default=30, ge=1)
    keep_candles_days: int = Field(default=400, ge=1)
    keep_logs_days: int = Field(default=90, ge=32)
    keep_clusters_days: int = Field(default=400, ge=30)
    keep_archive_days: int = Field(default=14, ge=1)

    # --- simulator ----------------------------------------------------------------------
    simulator_host: str = "127.0.0.1"
    simulator_port: int = Field(default=8900, ge=1, le=65_535)
    simulator_market: str = "synthetic"
    simulator_seed: int = 7
    simulator_coins: int = Field(default=60, ge=1, le=5000)
    simulator_equity_usd: float = Field(default=10_000.0, gt=0)
    simulator_symbols: SymbolList = ()
    simulator_coinglass_calls_per_min: int = Field(default=1200, ge=1, le=1_000_000)
    simulator_warm_maps: bool = True
    simulator_maps: Literal["grown", "fixed"] = "grown"
    simulator_map_cells: int = Field(default=17_000, ge=1000, le=60_000)
