"""The newest map of each coin and range: what it was, where it is stored, when it was last seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from whalestack.db.heatmap_rows import columns
from whalestack.math.timeframes import TIMEFRAMES

Key = tuple[str, str]
"""Bybit symbol and range."""


@dataclass(frozen=True)
class MapAge:
    """How old the latest map of a coin and range is; None where there is none."""

    symbol: str
    timeframe: str
    fetched_at: datetime | None


class Head(NamedTuple):
    """A row of `map_heads`; the fields as in the model."""

    symbol: str
    timeframe: str
    fetched_at: datetime
    snapshot_at: datetime
    map_time: datetime | None
    price: float
    digest: str

    @property
    def key(self) -> Key:
        """Of which coin and range."""
        return self.symbol, self.timeframe


_HEADS = text(
    """
    select symbol, timeframe, fetched_at, snapshot_at, map_time, price, digest
    from map_heads
    join unnest(cast(:symbols as text[]), cast(:timeframes as text[])) as wanted(symbol, timeframe)
        using (symbol, timeframe)
    """
)

_PUT_HEADS = text(
    """
    insert into map_heads (symbol, timeframe, fetched_at, snapshot_at, map_time, price, digest)
    select * from unnest(
        cast(:symbol as text[]), cast(:timeframe as text[]), cast(:fetched_at as timestamptz[]),
        cast(:snapshot_at as timestamptz[]), cast(:map_time as timestamptz[]), cast(:price as float8[]),
        cast(:digest as text[])
    )
    on conflict (symbol, timeframe) do update set
        fetched_at = excluded.fetched_at, snapshot_at = excluded.snapshot_at,
        map_time = excluded.map_time, price = excluded.price, digest = excluded.digest
    """
)

_AGES = text(
    """
    select coins.symbol, wanted.timeframe, head.fetched_at
    from coins
    cross join unnest(cast(:timeframes as text[])) as wanted(timeframe)
    left join map_heads as head on head.symbol = coins.symbol and head.timeframe = wanted.timeframe
    where coins.skipped_reason is null
    """
)


def read_heads(session: Session, keys: Sequence[Key]) -> dict[Key, Head]:
    """The heads of those maps that have one."""
    wanted = {"symbols": [key[0] for key in keys], "timeframes": [key[1] for key in keys]}
    heads = (Head._make(row) for row in session.execute(_HEADS, wanted))
    return {head.key: head for head in heads}


def put_heads(session: Session, heads: Sequence[Head]) -> None:
    """Write heads over what was there; each map at most once, its coin locked by the caller."""
    if heads:
        session.execute(_PUT_HEADS, columns(Head._fields, heads))


def map_ages(session: Session) -> list[MapAge]:
    """When each range of each followed coin was last fetched."""
    return [MapAge(*row) for row in session.execute(_AGES, {"timeframes": list(TIMEFRAMES)})]
