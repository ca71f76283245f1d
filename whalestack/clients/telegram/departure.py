"""The last moment before a request can have an effect: its head is written, its body is not.

httpx tells of each step of a request to whoever asks. Telegram can do nothing with a request
that has no body yet, so what is noted here, and committed, is noted in time: a process that dies
before it has sent nothing.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import httpx

from whalestack.clients.channel import Leaving

BODY_FOLLOWS = "send_request_body.started"


class Departure:
    """One send and who wants to know that it leaves.

    Args:
        leaving: called once for each request, in the thread of the event loop; if it raises, the
            body is not sent.
    """

    def __init__(self, leaving: Leaving) -> None:
        self._leaving = leaving
        self._error: Exception | None = None

    def leave(self) -> None:
        """The body goes next."""
        try:
            self._leaving()
        except Exception as error:
            self._error = error
            raise

    def raise_if_forbidden(self) -> None:
        """Raise what `leaving` raised, which the library has wrapped into an error of its own."""
        if self._error is not None:
            raise self._error


departing: ContextVar[Departure | None] = ContextVar("departing", default=None)


async def tell_departure(request: httpx.Request) -> None:
    """A request hook of httpx: has the send of this context told when its body follows."""
    departure = departing.get()
    if departure is None:
        return

    async def trace(step: str, info: dict[str, Any]) -> None:
        if step.endswith(BODY_FOLLOWS):
            departure.leave()

    request.extensions["trace"] = trace
