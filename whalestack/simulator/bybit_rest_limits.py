"""How often one may ask: rolling limits per endpoint and second, and one over all traffic of an address.

Both count real time, whatever the speed of the market: they protect a server, not a market.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass

SECOND_MS = 1000


@dataclass(frozen=True)
class BybitLimits:
    """The limit over all traffic of one address.

    `ban_s` is how long an address that broke it gets 403, real seconds; Bybit says at least 10 minutes.
    """

    ip_requests: int = 600
    ip_window_s: float = 5.0
    ban_s: float = 600.0


@dataclass(frozen=True)
class Allowance:
    """What is left of an endpoint's limit after a call: `granted` of what was asked for went through."""

    limit: int
    granted: int
    remaining: int
    reset_ms: int

    def headers(self) -> dict[str, str]:
        """The headers that tell the client."""
        return {
            "X-Bapi-Limit": str(self.limit),
            "X-Bapi-Limit-Status": str(self.remaining),
            "X-Bapi-Limit-Reset-Timestamp": str(self.reset_ms),
        }


class EndpointLimits:
    """Counts calls per bucket over a rolling real second."""

    def __init__(self) -> None:
        self._calls: defaultdict[str, deque[int]] = defaultdict(deque)

    def take(self, bucket: str, limit: int, wanted: int, real_ms: int) -> Allowance:
        """Take up to `wanted` calls out of a bucket.

        Args:
            bucket: the endpoint.
            limit: calls in a second.
            wanted: one, or the number of orders of a batch.
            real_ms: the wall clock.
        """
        calls = self._calls[bucket]
        while calls and calls[0] <= real_ms - SECOND_MS:
            calls.popleft()
        granted = min(wanted, limit - len(calls))
        calls.extend([real_ms] * granted)
        over = granted < wanted
        reset_ms = calls[0] + SECOND_MS + 1 if over and calls else real_ms
        return Allowance(limit, granted, limit - len(calls), reset_ms)


class AddressLimit:
    """Counts all calls of each address, and shuts out the address that makes too many."""

    def __init__(self, limits: BybitLimits) -> None:
        self._limits = limits
        self._calls: defaultdict[str, deque[int]] = defaultdict(deque)
        self._banned_until_ms: dict[str, float] = {}

    def allows(self, address: str, real_ms: int) -> bool:
        """Count a call; False when the address is shut out, or is from now on."""
        if real_ms < self._banned_until_ms.get(address, 0):
            return False
        calls = self._calls[address]
        while calls and calls[0] <= real_ms - self._limits.ip_window_s * 1000:
            calls.popleft()
        if len(calls) >= self._limits.ip_requests:
            self._banned_until_ms[address] = real_ms + self._limits.ban_s * 1000
            return False
        calls.append(real_ms)
        return True
