"""Bybit's names of the candles that heat maps are modelled on, and of the open interest nearest to each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

LENGTHS: Mapping[int, tuple[str, str]] = MappingProxyType(
    {
        300: ("5", "5min"),
        900: ("15", "15min"),
        1800: ("30", "30min"),
        7200: ("120", "1h"),
        21_600: ("360", "4h"),
        43_200: ("720", "4h"),
        86_400: ("D", "1d"),
    }
)
"""By seconds: the candles' name, the open interest's."""
POINTS_MS: Mapping[str, int] = MappingProxyType(
    {
        "5min": 300_000,
        "15min": 900_000,
        "30min": 1_800_000,
        "1h": 3_600_000,
        "4h": 14_400_000,
        "1d": 86_400_000,
    }
)
"""How far the points of each kind of open interest are apart."""
INTEREST_POINTS = 200
"""The most in one call."""
