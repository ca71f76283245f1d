"""CoinGlass's v4 API, as far as the system uses it. Every call is a GET and may be repeated.

This is the one layer that retries CoinGlass; each attempt takes its own call from the budget.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Self

import msgspec
import stamina

from whalestack.clients.coinglass.archiving import open_transport
from whalestack.clients.coinglass.budget import CallBudget, Permit
from whalestack.clients.coinglass.envelope import Envelope
from whalestack.clients.coinglass.errors import (
    PAUSE_AFTER_429_S,
    CoinglassNotAllowed,
    backoff,
    error_of,
    means_rate_limit,
)
from whalestack.clients.coinglass.heatmap_reply import decode_heatmap
from whalestack.clients.coinglass.rows import (
    decode_coin_markets,
    decode_max_pain,
    decode_subscription,
    decode_supported_coins,
)
from whalestack.clients.coinglass.transport import Reply, Transport
from whalestack.clients.coinglass.types import CoinMarket, EndpointUsage, Heatmap, MaxPain, Subscription
from whalestack.config import Settings

ATTEMPTS = 3
COINS_MARKETS_PAGE = 100
COINS_MARKETS_PAGES = 100
# An error in a reply's body is a sentence; no reply that holds anything is as small.
MOST_ERROR_BYTES = 1000


@dataclass
class _Count:
    calls: int = 0
    errors: int = 0
    rate_limited: int = 0


class CoinglassClient:
    """Typed, budgeted access to CoinGlass. One per process; threads may share it.

    Args:
        transport: how replies come.
        budget: where calls come from.
        model: of the heat maps, "model1" to "model3".
        wait_s: real seconds a call may wait for the budget.
        has_key: whether there is a key at all.
    """

    def __init__(
        self, transport: Transport, budget: CallBudget, *, model: str, wait_s: float, has_key: bool = True
    ) -> None:
        self._transport = transport
        self._budget = budget
        self._model = model
        self._wait_s = wait_s
        self._has_key = has_key
        self._lock = threading.Lock()
        self._counts: dict[str, _Count] = {}
        self._limit_per_min: int | None = None

    @classmethod
    def from_settings(cls, settings: Settings, budget: CallBudget) -> Self:
        """The client that the settings describe; nothing connects yet."""
        return cls(
            open_transport(settings),
            budget,
            model=settings.coinglass_model,
            wait_s=settings.coinglass_budget_wait_s,
            has_key=bool(settings.coinglass_api_key.get_secret_value()),
        )

    @property
    def budget(self) -> CallBudget:
        """Where this client's calls come from."""
        return self._budget

    def heatmap(
        self,
        coin: str,
        timeframe: str,
        *,
        all_columns: bool = False,
        urgent: bool = False,
        within_s: float | None = None,
    ) -> Heatmap:
        """The heat map of one coin over all exchanges.

        Args:
            coin: CoinGlass's name ("PEPE", not "1000PEPE").
            timeframe: a served range.
            all_columns: every cell, not the last column alone.
            urgent: may use the budget's reserve.
            within_s: real seconds after which no further attempt begins; the last one may take
                its time-out longer.

        Raises:
            CoinglassNoMap, CoinglassBadReply, CoinglassRefused: this map cannot be had.
            CoinglassUnavailable, CoinglassUnreadable, CoinglassRateLimited: three attempts failed.
            BudgetExhausted, BudgetUnavailable: no call could be made.
            CoinglassNotAllowed: the key or its plan.
        """
        what = f"heat map of {coin} {timeframe}"
        path = f"/api/futures/liquidation/aggregated-heatmap/{self._model}"
        last_s = math.inf if within_s is None else time.monotonic() + within_s
        for attempt in _attempts(last_s):
            with attempt:
                wait_s = min(self._wait_s, max(last_s - time.monotonic(), 0.0))
                body = self._get(
                    path, {"symbol": coin, "range": timeframe}, what, urgent=urgent, wait_s=wait_s
                )
                return decode_heatmap(body, coin, timeframe, all_columns=all_columns)
        raise AssertionError("stamina leaves its loop by a return or a raise")

    def supported_coins(self) -> frozenset[str]:
        """Every coin CoinGlass knows, by its own names. Raises as `heatmap`."""
        what = "supported coins"
        return decode_supported_coins(self._get_retried("/api/futures/supported-coins", {}, what), what)

    def coin_markets(self) -> list[CoinMarket]:
        """Every row of coins-markets, all pages. Raises as `heatmap`."""
        rows: dict[str, CoinMarket] = {}
        for page in range(1, COINS_MARKETS_PAGES + 1):
            what = f"coins-markets page {page}"
            params = {"per_page": str(COINS_MARKETS_PAGE), "page": str(page)}
            body = self._get_retried("/api/futures/coins-markets", params, what)
            found = decode_coin_markets(body, what)
            fresh = [row for row in found if row.coin not in rows]
            rows.update((row.coin, row) for row in fresh)
            # The largest page CoinGlass serves is not known: a short page is not the
            # end, a page that brings nothing new is.
            if not fresh:
                break
        return list(rows.values())

    def max_pain(self, timeframe: str = "24h") -> list[MaxPain]:
        """Max pain of every coin in one call. Raises as `heatmap`."""
        what = f"max pain {timeframe}"
        body = self._get_retried("/api/futures/liquidation/max-pain", {"range": timeframe}, what)
        return decode_max_pain(body, what)

    def subscription(self) -> Subscription:
        """The plan of the key. Some plans answer 404 here. Raises as `heatmap`."""
        what = "subscription"
        return decode_subscription(self._get_retried("/api/user/account/subscription", {}, what), what)

    def take_usage(self) -> list[EndpointUsage]:
        """Calls since this was last asked, for each endpoint; the counts start again at 0."""
        with self._lock:
            counts, self._counts = self._counts, {}
            limit = self._limit_per_min
        return [
            EndpointUsage(path, count.calls, count.errors, count.rate_limited, limit)
            for path, count in sorted(counts.items())
        ]

    def close(self) -> None:
        """Close every connection."""
        self._transport.close()

    def _get_retried(self, path: str, params: Mapping[str, str], what: str) -> bytes:
        """The small replies: a handful of calls an hour, for which nobody should wait a minute."""
        for attempt in _attempts(math.inf):
            with attempt:
                return self._get(path, params, what, urgent=True, wait_s=self._wait_s)
        raise AssertionError("stamina leaves its loop by a return or a raise")

    def _get(self, path: str, params: Mapping[str, str], what: str, *, urgent: bool, wait_s: float) -> bytes:
        """One attempt: a call from the budget, the request, the body of a 200."""
        if not self._has_key:
            raise CoinglassNotAllowed(f"{what}: COINGLASS_API_KEY is not set")
        with self._budget.call(urgent=urgent, wait_s=wait_s) as permit:
            failed = True
            try:
                reply = self._transport.get(path, params, what)
                _tell(permit, reply)
                if reply.status != HTTPStatus.OK:
                    raise _status_error(what, reply)
                failed = False
                return reply.body
            finally:
                self._count(path, permit, failed)

    def _count(self, path: str, permit: Permit, failed: bool) -> None:
        with self._lock:
            count = self._counts.setdefault(path, _Count())
            count.calls += 1
            count.errors += failed
            count.rate_limited += permit.pause_s > 0
            self._limit_per_min = permit.limit_per_min or self._limit_per_min


def _attempts(last_s: float) -> Iterable[stamina.Attempt]:
    """Three of them, none of which begins after `last_s` (monotonic)."""

    def on(error: Exception) -> bool | float:
        return backoff(error) if time.monotonic() < last_s else False

    return stamina.retry_context(on=on, attempts=ATTEMPTS, timeout=None, wait_initial=0.2, wait_max=5.0)


def _tell(permit: Permit, reply: Reply) -> None:
    """Write onto the permit what the reply says of the server's counting."""
    permit.answered = True
    permit.limit_per_min = reply.limit_per_min
    permit.used = reply.used
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS or means_rate_limit(_error_code(reply)):
        permit.pause_s = reply.retry_after_s or PAUSE_AFTER_429_S


def _error_code(reply: Reply) -> str:
    """The code of a body that is small enough to be an error, "" where there is none."""
    if len(reply.body) > MOST_ERROR_BYTES:
        return ""
    try:
        code = msgspec.json.decode(reply.body, type=Envelope, strict=False).code
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    return "" if code is None else str(code)


def _status_error(what: str, reply: Reply) -> Exception:
    """The error of a status that is not 200; the body's own code says more where it has one."""
    code, message = str(reply.status), ""
    try:
        envelope = msgspec.json.decode(reply.body, type=Envelope, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError):
        envelope = Envelope()
    # The status of a 429 is certain, the code in its body is not known.
    if reply.status != HTTPStatus.TOO_MANY_REQUESTS and envelope.code not in (None, "0", 0):
        code, message = str(envelope.code), envelope.msg or ""
    return error_of(what, code, message, retry_after_s=reply.retry_after_s)
