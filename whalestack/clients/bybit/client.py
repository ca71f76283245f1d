"""The one Bybit client that the system uses: `ExchangePort` over pybit."""

from __future__ import annotations

from typing import Self

from whalestack.clients.bybit.hosts import bybit_hosts
from whalestack.clients.bybit.market import BybitMarket
from whalestack.clients.bybit.rate_budget import RateBudget
from whalestack.clients.bybit.trading import BybitTrading
from whalestack.clients.bybit.transport import BybitTransport
from whalestack.clients.raw_archive import RawArchive
from whalestack.clock import Clock
from whalestack.config import Settings


class BybitClient(BybitMarket, BybitTrading):
    """Public data and private calls; implements `whalestack.clients.bybit.port.ExchangePort`.

    May be shared by threads, and made before a fork: each thread of each process opens its
    own connection at its first call.

    Args:
        transport: makes the calls.
        clock: market time.
    """

    def __init__(self, transport: BybitTransport, clock: Clock) -> None:
        BybitMarket.__init__(self, transport)
        BybitTrading.__init__(self, transport, clock)

    @classmethod
    def from_settings(cls, settings: Settings, clock: Clock | None = None) -> Self:
        """The client that the settings mean; nothing connects until it is first used.

        Raises:
            StopAndTell: the mode has no known address and none is set.
        """
        transport = BybitTransport(
            rest_url=bybit_hosts(settings).rest,
            api_key=settings.bybit_api_key.get_secret_value(),
            api_secret=settings.bybit_api_secret.get_secret_value(),
            timeout_s=settings.bybit_timeout_s,
            recv_window_ms=settings.bybit_recv_window_ms,
            archive=RawArchive.from_settings(settings, clock),
        )
        return cls(transport, clock or settings.clock())

    @property
    def rate_budget(self) -> RateBudget:
        """What the last replies said of our rate limits."""
        return self._transport.budget
