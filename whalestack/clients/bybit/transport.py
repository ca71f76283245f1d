"""One call to Bybit through the unmodified pybit client, and what its outcome was.

pybit's own retries are off: it would sleep inside our thread, lose the code of the
refusal, and send an order a second time. Reads are repeated here, in this one layer;
calls with an effect are sent exactly once.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, NoReturn
from urllib.parse import parse_qsl, urlsplit

import stamina
import structlog
from pybit.exceptions import FailedRequestError, InvalidRequestError
from pybit.unified_trading import HTTP
from requests import Response
from urllib3.exceptions import HTTPError

from whalestack.clients.bybit.codes import (
    error_for_code,
    error_for_network,
    error_for_status,
    uncertain,
)
from whalestack.clients.bybit.errors import BybitKeyRefused, BybitRateLimited, BybitUnavailable
from whalestack.clients.bybit.hosts import is_loopback
from whalestack.clients.bybit.rate_budget import RateBudget
from whalestack.clients.raw_archive import RawArchive

log = structlog.get_logger()

PybitMethod = Callable[..., Any]
READ_ATTEMPTS = 3
READ_TIMEOUT_S = 8.0
LONGEST_READ_PAUSE_S = 2.0
# The clock is asked for all day and says nothing of the market.
MARKET_DATA = ("/v5/market/instruments", "/v5/market/tickers", "/v5/market/kline", "/v5/market/open-interest")
SIGNATURE = "X-BAPI-SIGN"
# What comes of a broken connection; requests wraps most of it, but not all.
NETWORK = (OSError, HTTPError, HTTPException)
# What pybit raises when the answer is JSON, but not of Bybit's shape.
UNREADABLE = (AttributeError, TypeError, KeyError, ValueError, RecursionError)


@dataclass(frozen=True)
class Reply:
    """A readable answer with retCode 0.

    Args:
        result: the `result` member.
        ext: the `retExtInfo` member; a batch has its members' codes there.
        time_ms: the server's time of the answer, 0 if it gave none.
    """

    result: Mapping[str, Any]
    ext: Mapping[str, Any]
    time_ms: int


class BybitTransport:
    """Calls pybit methods; each thread has its own connection.

    Args:
        rest_url: root of the REST API, without ``/v5``.
        api_key: empty for public data only.
        api_secret: of the key.
        timeout_s: real seconds to connect, and again between two parts of an answer.
        recv_window_ms: how old a signed request may be when Bybit gets it.
        budget: rate limits as the headers tell them.
        archive: where replies of public market data are kept; None to keep none.
        sleep: waits real seconds; tests pass their own.
    """

    def __init__(
        self,
        *,
        rest_url: str,
        api_key: str = "",
        api_secret: str = "",
        timeout_s: float = 5.0,
        recv_window_ms: int = 5000,
        budget: RateBudget | None = None,
        archive: RawArchive | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rest_url = rest_url
        self._api_key = api_key
        self._api_secret = api_secret
        self._timeout_s = timeout_s
        self._recv_window_ms = recv_window_ms
        self._sleep = sleep
        self._archive = archive
        self._local = threading.local()
        self.budget = budget or RateBudget()

    def read(self, method: PybitMethod, **params: Any) -> Reply:
        """Make a call that changes nothing; up to three attempts.

        Raises:
            BybitUnavailable: no readable answer, three times.
            BybitRateLimited: too many calls, and the wait is longer than a read should hang.
            BybitRefused: Bybit answered no.
            BybitKeyRefused: see there.
        """
        for attempt in stamina.retry_context(
            _pause_before_repeat,
            attempts=READ_ATTEMPTS,
            timeout=READ_TIMEOUT_S,
            wait_initial=0.1,
            wait_max=1.0,
            wait_jitter=0.1,
        ):
            with attempt:
                return self._call(method, params, has_effect=False)
        raise AssertionError("unreachable")

    def act(self, method: PybitMethod, **params: Any) -> Reply:
        """Make a call that changes something, exactly once.

        Raises:
            BybitRefused: Bybit answered no; nothing happened.
            BybitRateLimited: refused before it had an effect.
            BybitUnavailable: no connection came about, nothing was sent.
            BybitOutcomeUnknown: it was sent, and whether it was carried out is not known.
            BybitKeyRefused: see there.
        """
        return self._call(method, params, has_effect=True)

    def _call(self, method: PybitMethod, params: Mapping[str, Any], *, has_effect: bool) -> Reply:
        endpoint = method.__name__
        pause_s = self.budget.wait_s(endpoint)
        if pause_s > 0:
            log.info("bybit_rate_wait", endpoint=endpoint, wait_s=pause_s)
            self._sleep(pause_s)
        what = _describe(endpoint, params)
        try:
            body, _, headers = method(self._http(), **params)
        except (InvalidRequestError, FailedRequestError, *NETWORK, *UNREADABLE) as error:
            self._raise(error, endpoint, what, has_effect=has_effect)
        self.budget.observe(endpoint, headers)
        return _reply(body, what, has_effect=has_effect)

    def _raise(self, error: Exception, endpoint: str, what: str, *, has_effect: bool) -> NoReturn:
        """Turn what pybit raised into an error of ours."""
        headers = getattr(error, "resp_headers", None)
        self.budget.observe(endpoint, headers)
        retry_after_s = self.budget.retry_after_s(headers)
        match error:
            case InvalidRequestError():
                code = _as_code(error.status_code)
                if code is None:
                    raise uncertain(f"{what}: unreadable retCode", has_effect=has_effect) from error
                raise error_for_code(
                    code, str(error.message), what, has_effect=has_effect, retry_after_s=retry_after_s
                ) from None
            case FailedRequestError():
                raise error_for_status(
                    int(error.status_code), what, has_effect=has_effect, retry_after_s=retry_after_s
                ) from None
            case PermissionError():
                raise BybitKeyRefused(f"{what}: BYBIT_API_KEY and BYBIT_API_SECRET are not set") from None
            case _ if isinstance(error, NETWORK):
                raise error_for_network(error, what, has_effect=has_effect) from error
        raise uncertain(f"{what}: unreadable answer", has_effect=has_effect) from error

    def _http(self) -> HTTP:
        # A requests.Session is not made to be shared, neither by threads nor over a fork.
        if getattr(self._local, "pid", None) != os.getpid():
            self._local.http = self._open()
            self._local.pid = os.getpid()
        return self._local.http

    def _open(self) -> HTTP:
        http = HTTP(
            api_key=self._api_key or None,
            api_secret=self._api_secret or None,
            timeout=self._timeout_s,
            recv_window=self._recv_window_ms,
            max_retries=1,
            force_retry=False,
            return_response_headers=True,
        )
        http.endpoint = self._rest_url
        # An empty set in the constructor would mean pybit's default codes.
        http.retry_codes = frozenset()
        # A redirected POST would be repeated as a GET, and its answer taken for ours.
        http.client.max_redirects = 0
        http.client.trust_env = not is_loopback(self._rest_url)
        if self._archive is not None:
            http.client.hooks["response"].append(self._keep)
        return http

    def _keep(self, response: Response, *_: Any, **__: Any) -> None:
        """Archive public market data; what is signed speaks of an account and is nobody's to keep."""
        asked = urlsplit(response.url)
        is_public = asked.path.startswith(MARKET_DATA) and SIGNATURE not in response.request.headers
        if self._archive is not None and is_public:
            params = dict(parse_qsl(asked.query))
            self._archive.keep("bybit", asked.path, params, response.status_code, response.content)


def _pause_before_repeat(error: Exception) -> bool | float:
    if isinstance(error, BybitRateLimited):
        pause_s = 0.5 if error.retry_after_s is None else error.retry_after_s
        return pause_s if pause_s <= LONGEST_READ_PAUSE_S else False
    return isinstance(error, BybitUnavailable)


def _reply(body: object, what: str, *, has_effect: bool) -> Reply:
    # pybit takes an answer without a retCode for a success; it is no answer of Bybit's.
    if not isinstance(body, dict) or _as_code(body.get("retCode")) != 0:
        raise uncertain(f"{what}: unreadable answer", has_effect=has_effect)
    result = body.get("result")
    if not isinstance(result, dict):
        raise uncertain(f"{what}: the answer has no result", has_effect=has_effect)
    ext, time_ms = body.get("retExtInfo"), body.get("time")
    return Reply(
        result=result,
        ext=ext if isinstance(ext, dict) else {},
        time_ms=time_ms if isinstance(time_ms, int) else 0,
    )


def _as_code(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    return None


def _describe(endpoint: str, params: Mapping[str, Any]) -> str:
    about = [str(params[name]) for name in ("symbol", "orderLinkId") if params.get(name)]
    return " ".join(["Bybit", endpoint, *about])
