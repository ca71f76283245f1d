"""Storing heat maps, and reading the latest of each.

A batch of maps is a handful of statements whatever its size: arrays travel as one
parameter for each column and are unnested by the server.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.orm import Session

from whalestack.db.cluster_store import store_clusters
from whalestack.db.heatmap_rows import FetchedMap, StoredMap, columns
from whalestack.math.heatmap import LevelMap
from whalestack.math.timeframes import TIMEFRAMES


@dataclass(frozen=True)
class StoreCounts:
    """What storing a batch did. `unchanged` maps stood exactly so before; they are stored too."""

    stored: int = 0
    unchanged: int = 0
    clusters_new: int = 0
    clusters_seen: int = 0


@dataclass(frozen=True)
class MapAge:
    """How old the latest map of a coin and range is; None where there is none."""

    symbol: str
    timeframe: str
    fetched_at: datetime | None


_LOCK_SYMBOLS = text(
    "select pg_advisory_xact_lock(hashtext('heatmap:' || symbol))"
    " from (select distinct unnest(cast(:symbols as text[])) as symbol order by 1) as wanted"
)

_LATEST_DIGESTS = text(
    """
    select wanted.symbol, wanted.timeframe, latest.digest
    from unnest(cast(:symbols as text[]), cast(:timeframes as text[])) as wanted(symbol, timeframe)
    cross join lateral (
        select digest from liquidation_snapshots
        where symbol = wanted.symbol and timeframe = wanted.timeframe
        order by fetched_at desc limit 1
    ) as latest
    """
)

_INSERT_SNAPSHOTS = text(
    """
    insert into liquidation_snapshots
        (symbol, timeframe, fetched_at, map_time, price, prices, "values", derived, source, digest)
    select symbol, timeframe, fetched_at, map_time, price,
        cast(prices as real[]), cast("values" as real[]), derived, source, digest
    from unnest(
        cast(:symbols as text[]), cast(:timeframes as text[]), cast(:fetched_at as timestamptz[]),
        cast(:map_times as timestamptz[]), cast(:price as float8[]), cast(:prices as text[]),
        cast(:values as text[]), cast(:derived as boolean[]), cast(:sources as text[]),
        cast(:digests as text[])
    ) as incoming(symbol, timeframe, fetched_at, map_time, price, prices, "values", derived, source, digest)
    on conflict do nothing
    """
)

_LATEST_MAPS = text(
    """
    select coins.symbol, wanted.timeframe, latest.fetched_at, latest.map_time, latest.price,
        array_send(latest.prices), array_send(latest."values"), latest.derived
    from coins
    cross join unnest(cast(:timeframes as text[])) as wanted(timeframe)
    cross join lateral (
        select * from liquidation_snapshots
        where symbol = coins.symbol and timeframe = wanted.timeframe and fetched_at > :since
        order by fetched_at desc limit 1
    ) as latest
    where coins.skipped_reason is null and (cast(:symbol as text) is null or coins.symbol = :symbol)
    """
)

_AGES = text(
    """
    select coins.symbol, wanted.timeframe, latest.fetched_at
    from coins
    cross join unnest(cast(:timeframes as text[])) as wanted(timeframe)
    left join lateral (
        select fetched_at from liquidation_snapshots
        where symbol = coins.symbol and timeframe = wanted.timeframe
        order by fetched_at desc limit 1
    ) as latest on true
    where coins.skipped_reason is null
    """
)

# Nothing, where it is stored: the server refuses a number too small for a REAL.
_SMALLEST_REAL = 1e-37

# array_send: dimensions, flags, element type, length, lower bound; then length and float of each element.
_ARRAY_HEADER_BYTES = 20
_ARRAY_ELEMENT = np.dtype([("length", ">i4"), ("value", ">f4")])


def store_maps(session: Session, maps: Sequence[FetchedMap]) -> StoreCounts:
    """Insert snapshots, and insert or update their clusters, in a few statements.

    Takes a lock on each coin until the transaction ends, so that a round and a re-fetch
    of the same coin do not both take the same cluster for a new one.
    """
    if not maps:
        return StoreCounts()
    symbols, timeframes = [each.symbol for each in maps], [each.level_map.timeframe for each in maps]
    session.execute(_LOCK_SYMBOLS, {"symbols": symbols})
    rows = [_snapshot_row(each) for each in maps]
    before = {
        (symbol, timeframe): digest
        for symbol, timeframe, digest in session.execute(
            _LATEST_DIGESTS, {"symbols": symbols, "timeframes": timeframes}
        )
    }
    unchanged = sum(before.get((row[0], row[1])) == row[-1] for row in rows)
    session.execute(_INSERT_SNAPSHOTS, columns(_SNAPSHOT_COLUMNS, rows))
    added, seen = store_clusters(session, maps)
    return StoreCounts(len(rows), unchanged, added, seen)


_SNAPSHOT_COLUMNS = (
    "symbols",
    "timeframes",
    "fetched_at",
    "map_times",
    "price",
    "prices",
    "values",
    "derived",
    "sources",
    "digests",
)


def _snapshot_row(each: FetchedMap) -> tuple[object, ...]:
    held = each.level_map.values > _SMALLEST_REAL
    prices = _real_array(each.level_map.prices[held], digits=7)
    values = _real_array(each.level_map.values[held], digits=6)
    digest = hashlib.blake2b(f"{prices}{values}".encode(), digest_size=8).hexdigest()
    return (
        each.symbol,
        each.level_map.timeframe,
        each.fetched_at,
        each.map_time,
        each.level_map.price,
        prices,
        values,
        each.level_map.derived,
        each.source,
        digest,
    )


def _real_array(numbers: NDArray[np.float64], *, digits: int) -> str:
    """A PostgreSQL array literal; more digits than a REAL keeps would only cost."""
    if not numbers.size:
        return "{}"
    pattern = f"%.{digits}g," * numbers.size
    return "{" + (pattern % tuple(numbers.tolist()))[:-1] + "}"


def latest_maps(session: Session, *, since: datetime, symbol: str | None = None) -> list[StoredMap]:
    """The latest map of every followed coin and range in one query.

    Args:
        since: maps fetched before it do not count; on a hypertable it also bounds the search.
        symbol: of one coin alone.
    """
    rows = session.execute(
        _LATEST_MAPS, {"timeframes": list(TIMEFRAMES), "since": since, "symbol": symbol}
    ).all()
    return [
        StoredMap(
            name,
            fetched_at,
            LevelMap(
                timeframe=timeframe,
                price=price,
                prices=_floats(prices),
                values=_floats(values),
                map_time_ms=round((map_time or fetched_at).timestamp() * 1000),
                derived=derived,
            ),
        )
        for name, timeframe, fetched_at, map_time, price, prices, values, derived in rows
    ]


def _floats(sent: memoryview) -> NDArray[np.float64]:
    """(N,) numbers of a REAL array in its wire format; parsing its text takes five times as long."""
    if sent.nbytes <= _ARRAY_HEADER_BYTES:
        return np.empty(0, dtype=np.float64)
    return np.frombuffer(sent, dtype=_ARRAY_ELEMENT, offset=_ARRAY_HEADER_BYTES)["value"].astype(np.float64)


def map_ages(session: Session) -> list[MapAge]:
    """When each range of each followed coin was last fetched."""
    return [MapAge(*row) for row in session.execute(_AGES, {"timeframes": list(TIMEFRAMES)})]
