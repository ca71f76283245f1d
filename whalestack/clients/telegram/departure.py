"""The last moment before a request can have an effect: its head is written, its body is not.

httpx tells of each step of a request to whoever asks. Telegram can do nothing with a request
that has no body yet, so what is noted here, and committed, is noted in time: a process that dies
before it has sent nothing.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

import httpx

from whalestack.clients.channel import Leaving

BODY_FOLLOWS = "send_request_body.started"
BODY_IS_OVER = ("send_request_body.complete", "send_request_body.failed")


class Departure:
    """One send and who wants to know that it leaves.

    Args:
        leaving: called once for each request, in the thread of the event loop; if it raises, the
            body is not sent.
        gate: of the event loop. Held from the note until the body is written: another send's note
            in between would be waited for, and a death in that time leaves a message in doubt.
    """

    def __init__(self, leaving: Leaving, gate: asyncio.Lock) -> None:
        self._leaving = leaving
        self._gate = gate
        self._error: Exception | None = None

    async def leave(self) -> None:
        """The body goes next."""
        await self._gate.acquire()
        try:
            self._leaving()
        except Exception as error:
            self._error = error
            self._gate.release()
            raise

    def left(self) -> None:
        """The body is written, or could not be."""
        self._gate.release()

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
            await departure.leave()
        elif step.endswith(BODY_IS_OVER):
            departure.left()

    request.extensions["trace"] = trace
