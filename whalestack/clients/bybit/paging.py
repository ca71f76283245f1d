"""Every page of a list, and every week of a history."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from whalestack.clients.bybit.errors import BybitUnavailable
from whalestack.clients.bybit.transport import BybitTransport, PybitMethod, Reply

MAX_PAGES = 400
WEEK_MS = 7 * 24 * 3600 * 1000
# Bybit keeps histories for two years; further back there is nothing to ask for.
LONGEST_HISTORY_MS = 730 * 24 * 3600 * 1000


def pages(transport: BybitTransport, method: PybitMethod, **params: Any) -> Iterator[Reply]:
    """The replies of a paged call, until it gives no further cursor.

    The cursor goes back exactly as it came: it is percent-encoded already, and what is
    signed is what is sent.

    Raises:
        BybitUnavailable: the pages do not end. An incomplete list of orders or positions
            would be worse than none.
    """
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        reply = transport.read(method, cursor=cursor, **params)
        yield reply
        following = reply.result.get("nextPageCursor") or None
        if following is None or following == cursor or not listed(reply, method):
            return
        cursor = str(following)
    raise BybitUnavailable(f"Bybit {method.__name__}: more than {MAX_PAGES} pages")


def rows(transport: BybitTransport, method: PybitMethod, **params: Any) -> Iterator[object]:
    """The rows of all pages, as they come."""
    for reply in pages(transport, method, **params):
        yield from listed(reply, method)


def listed(reply: Reply, method: PybitMethod) -> list[object]:
    """The `list` of a reply.

    Raises:
        BybitUnavailable: it is not there. Taking that for an empty list would say that
            there are no orders, or no positions.
    """
    found = reply.result.get("list")
    if not isinstance(found, list):
        raise BybitUnavailable(f"Bybit {method.__name__}: the answer has no list")
    return found


def weeks(since_ms: int | None, now_ms: int) -> Iterator[dict[str, int]]:
    """Time bounds that cover `since_ms` to now, none longer than the week Bybit allows.

    Args:
        since_ms: ms since the epoch; None asks once for Bybit's default, the last week.
        now_ms: market time.
    """
    if since_ms is None:
        yield {}
        return
    start_ms = max(since_ms, now_ms - LONGEST_HISTORY_MS)
    while True:
        yield {"startTime": start_ms, "endTime": start_ms + WEEK_MS - 1}
        start_ms += WEEK_MS
        if start_ms > now_ms:
            return
