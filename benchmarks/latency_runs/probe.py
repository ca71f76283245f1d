"""What of each call is the simulator's own: the smallest question, asked all the time."""

from __future__ import annotations

import threading
import time
from http.client import HTTPConnection
from typing import Self

EVERY_S = 0.25


class Probe:
    """Asks in a thread while the block runs.

    Args:
        port: of the simulator.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="probe")
        self.took_ms: list[float] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=10)
        while not self._stop.wait(EVERY_S):
            began_s = time.perf_counter()
            connection.request("GET", "/v5/market/time")
            connection.getresponse().read()
            self.took_ms.append((time.perf_counter() - began_s) * 1000)
        connection.close()
