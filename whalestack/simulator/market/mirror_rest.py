"""What a mirror fetches at its start over Bybit's public REST API."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import requests

from whalestack.errors import StopAndTell
from whalestack.simulator.market.base import FloatArray

_CALLS_PER_S = 80.0
"""Below Bybit's 600 calls in 5 s, with room for the rest of the system."""
_THREADS = 8
_ATTEMPTS = 3
_TIMEOUT_S = 10.0


class MirrorRest:
    """Public calls at a bounded rate.

    Args:
        url: base URL.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._local = threading.local()
        self._lock = threading.Lock()
        self._next_s = 0.0

    def get(self, path: str, **params: str | int) -> dict[str, Any]:
        """The `result` of a call.

        Raises:
            StopAndTell: it failed three times; the source is away or refuses.
        """
        why = ""
        for attempt in range(_ATTEMPTS):
            self._wait_turn()
            try:
                answer = self._session().get(f"{self._url}{path}", params=params, timeout=_TIMEOUT_S)
                body = answer.json()
                if body["retCode"] == 0:
                    return dict(body["result"])
                why = f"code {body['retCode']}"
            except (requests.RequestException, ValueError, KeyError, TypeError) as error:
                why = type(error).__name__
            time.sleep(0.2 * (attempt + 1))
        raise StopAndTell(f"{self._url}{path} cannot be mirrored: {why}")

    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
        session: requests.Session = self._local.session
        return session

    def _wait_turn(self) -> None:
        with self._lock:
            now_s = time.monotonic()
            turn_s = max(now_s, self._next_s)
            self._next_s = turn_s + 1.0 / _CALLS_PER_S
        time.sleep(max(turn_s - now_s, 0.0))

    def instruments(self) -> list[dict[str, Any]]:
        """All linear USDT perpetuals that trade."""
        rows: list[dict[str, Any]] = []
        cursor = ""
        while True:
            paged = {"cursor": cursor} if cursor else {}
            page = self.get("/v5/market/instruments-info", category="linear", limit=1000, **paged)
            rows += [row for row in page["list"] if row["quoteCoin"] == "USDT" and row["status"] == "Trading"]
            cursor = page.get("nextPageCursor") or ""
            if not cursor:
                return rows

    def tickers(self) -> dict[str, dict[str, str]]:
        """Ticker rows by symbol."""
        return {row["symbol"]: row for row in self.get("/v5/market/tickers", category="linear")["list"]}

    def candles(self, symbols: Sequence[str], interval: str, limit: int) -> list[FloatArray]:
        """For each symbol rows of start, open, high, low, close, volume, turnover, oldest first."""

        def fetch(symbol: str) -> FloatArray:
            found = self.get(
                "/v5/market/kline", category="linear", symbol=symbol, interval=interval, limit=limit
            )
            rows: FloatArray = np.array(found["list"][::-1], dtype=np.float64).reshape(-1, 7)
            return rows

        with ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(fetch, symbols))
