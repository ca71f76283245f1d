"""Heat maps on their way into the database and out of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import TextClause
from sqlalchemy.orm import Session

from whalestack.math.clusters import Cluster
from whalestack.math.heatmap import LevelMap


@dataclass(frozen=True)
class FetchedMap:
    """One map as it will be stored, with what stands out in it.

    Args:
        symbol: Bybit symbol.
        level_map: in Bybit price units.
        clusters: of `level_map`.
        fetched_at: market time of the reply.
        map_time: when the source computed it, None where it does not say.
        source: for example "coinglass:model2".
    """

    symbol: str
    level_map: LevelMap
    clusters: tuple[Cluster, ...]
    fetched_at: datetime
    map_time: datetime | None
    source: str


@dataclass(frozen=True, eq=False)
class StoredMap:
    """The latest map of one coin and range."""

    symbol: str
    fetched_at: datetime
    level_map: LevelMap


def driver_rows(session: Session, statement: TextClause, parameters: Mapping[str, object]) -> list[Any]:
    """All rows of a query as the driver's own tuples.

    A ranking reads tens of thousands: making a `Row` of each would take longer than fetching them.
    """
    result = session.execute(statement, parameters)
    try:
        rows: list[Any] = result.cursor.fetchall()  # type: ignore[attr-defined]
    finally:
        result.close()
    return rows


def columns(names: Sequence[str], rows: Iterable[Sequence[object]]) -> dict[str, object]:
    """Rows turned into one named list for each column, as `unnest` takes them."""
    return {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
