"""What Bybit's headers say of our rate limits, endpoint by endpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

LIMIT = "X-Bapi-Limit"
REMAINING = "X-Bapi-Limit-Status"
RESET_MS = "X-Bapi-Limit-Reset-Timestamp"
LONGEST_WAIT_S = 1.0


def wall_clock_ms() -> int:
    """Real time: Bybit's limits and signatures do not follow the market clock."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class EndpointBudget:
    """The last word of one endpoint: calls a second, calls left, and when it is refilled."""

    limit: int
    remaining: int
    reset_ms: int


class RateBudget:
    """Remembers the last headers, so that a spent endpoint is waited for instead of hammered.

    The limits are per account, not per process: what the header says already counts the
    calls of every other worker.

    Args:
        now_ms: real wall clock, ms since the epoch.
    """

    def __init__(self, now_ms: Callable[[], int] = wall_clock_ms) -> None:
        self._now_ms = now_ms
        self._endpoints: dict[str, EndpointBudget] = {}

    def observe(self, endpoint: str, headers: Mapping[str, str] | None) -> None:
        """Take in the headers of a reply; replies without them change nothing."""
        limit, remaining, reset_ms = (_number(headers, name) for name in (LIMIT, REMAINING, RESET_MS))
        if limit is not None and remaining is not None and reset_ms is not None:
            self._endpoints[endpoint] = EndpointBudget(limit, remaining, reset_ms)

    def known(self, endpoint: str) -> EndpointBudget | None:
        """What the endpoint said last, None before its first reply."""
        return self._endpoints.get(endpoint)

    def wait_s(self, endpoint: str) -> float:
        """Real seconds until the endpoint may be called, 0 if now.

        Never more than a second: every limit of Bybit that these headers speak of is per
        second, so a later moment is a wrong clock, and an order must not hang on it.
        """
        last = self._endpoints.get(endpoint)
        if last is None or last.remaining > 0:
            return 0.0
        return min(max(0.0, (last.reset_ms - self._now_ms()) / 1000), LONGEST_WAIT_S)

    def retry_after_s(self, headers: Mapping[str, str] | None) -> float | None:
        """Real seconds until the limit that refused a call is over, None if not told."""
        reset_ms = _number(headers, RESET_MS)
        if reset_ms is None:
            return None
        return max(0.0, (reset_ms - self._now_ms()) / 1000)


def _number(headers: Mapping[str, str] | None, name: str) -> int | None:
    text = headers.get(name) if headers is not None else None
    try:
        return int(text) if text else None
    except ValueError:
        return None
