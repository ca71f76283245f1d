"""Which messages of the private stream have something in them for the workers.

Bybit tells of a position, and of its stop and target as two orders, whenever one of them changes: six
rows for each order of ours and three for each move of a stop in which there is nothing to be done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any


def has_news(topic: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a message may change anything on our side; where it is not clear, it may.

    Args:
        topic: with or without ``.linear``.
        rows: Bybit's rows as they came.
    """
    kind = topic.partition(".")[0]
    if kind == "order":
        # Stops and targets of positions cannot carry an id of ours.
        return any(row.get("orderLinkId") != "" for row in rows)
    if kind == "position":
        return any(_may_be_naked(row) for row in rows)
    return True


def _may_be_naked(position: Mapping[str, Any]) -> bool:
    return position.get("size") not in ("", "0") and not _is_above_zero(position.get("stopLoss"))


def _is_above_zero(value: object) -> bool:
    try:
        return Decimal(str(value)) > 0
    except InvalidOperation:
        return False
