"""Where heat maps may come from: a service that counts calls, or our own model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from whalestack.clients.coinglass.types import EndpointUsage
from whalestack.scanners.map_fetcher import Fetched, HeatmapPort, Wanted


class CountedCalls(Protocol):
    """What heat maps cost."""

    @property
    def budget(self) -> CallsAMinute:
        """Where the calls come from."""

    def take_usage(self) -> list[EndpointUsage]:
        """Calls since this was last asked."""


class CallsAMinute(Protocol):
    """How much may be called."""

    @property
    def calls_per_min(self) -> int:
        """Calls a real minute."""


class BudgetedHeatmaps(HeatmapPort, CountedCalls, Protocol):
    """Heat maps that cost calls. `CoinglassClient` is one."""


class OwnMaps(CountedCalls, Protocol):
    """Maps that are made here. `ModelMaps` is one."""

    def fetch(self, wanted: Sequence[Wanted], *, urgent: bool = False, within_s: float = ...) -> Fetched:
        """As `MapFetcher.fetch`."""

    def close(self) -> None:
        """Let go of what is held."""
