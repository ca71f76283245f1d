"""Prices that are forced on the simulator, over one connection that stays open: cheap and at once."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from typing import Any, Self


class Pusher:
    """Pushes while the block runs.

    Args:
        port: of the simulator.
    """

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=20)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def push(self, symbol: str, **values: float) -> dict[str, Any]:
        """Force a price, with `turnover_usd` and `open_interest`; the simulator's answer.

        Raises:
            ValueError: the simulator refused.
        """
        body = json.dumps({"symbol": symbol, **values})
        self._connection.request("POST", "/sim/price", body, {"Content-Type": "application/json"})
        reply = self._connection.getresponse()
        told = reply.read()
        if reply.status != 200:
            raise ValueError(f"{symbol}: {reply.status} {told!r}")
        return dict(json.loads(told))
