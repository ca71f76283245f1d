"""Storing heat maps, and reading the latest of each.

A map that stands as it stood costs no row: its head alone says that it was seen again. A
batch of maps is a handful of statements whatever its size: arrays travel as one parameter
for each column and are unnested by the server.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from whalestack.db.cluster_store import store_clusters
from whalestack.db.heatmap_rows import FetchedMap, StoredMap, columns, driver_rows
from whalestack.db.map_heads import Head, Key, put_heads, read_heads
from whalestack.db.packed import SMALLEST, pack, unpack_all
from whalestack.math.heatmap import LevelMap
from whalestack.math.timeframes import TIMEFRAMES

# An unchanged map is written anew this often. So "the map of that moment" is never further back,
# retention never takes a map that still stands, and the latest maps are young enough not to lie
# in a compressed chunk (`timescale.TIME_TABLES`). It costs one row in 48 of what every fetch would.
RESTATED_AFTER = timedelta(hours=4)


@dataclass(frozen=True)
class StoreCounts:
    """What storing a batch did.

    Args:
        stored: maps taken in.
        unchanged: of these, maps that stood exactly so before.
        clusters_new: clusters that were not known.
        clusters_seen: clusters that were.
    """

    stored: int = 0
    unchanged: int = 0
    clusters_new: int = 0
    clusters_seen: int = 0


class _Snapshot(NamedTuple):
    """A row of `liquidation_snapshots`, and the digest that its head gets."""

    symbol: str
    timeframe: str
    fetched_at: datetime
    map_time: datetime | None
    price: float
    prices: bytes
    values: bytes
    derived: bool
    source: str
    previous_seen_at: datetime | None
    digest: str

    def head(self, snapshot_at: datetime) -> Head:
        """The head of this map, whose levels stand in the row of `snapshot_at`."""
        return Head(
            self.symbol, self.timeframe, self.fetched_at, snapshot_at, self.map_time, self.price, self.digest
        )


_LOCK_SYMBOLS = text(
    "select pg_advisory_xact_lock(hashtext('heatmap:' || symbol))"
    " from (select distinct unnest(cast(:symbols as text[])) as symbol order by 1) as wanted"
)

_INSERT_SNAPSHOTS = text(
    """
    insert into liquidation_snapshots
        (symbol, timeframe, fetched_at, map_time, price, prices, "values", derived, source, previous_seen_at)
    select * from unnest(
        cast(:symbol as text[]), cast(:timeframe as text[]), cast(:fetched_at as timestamptz[]),
        cast(:map_time as timestamptz[]), cast(:price as float8[]), cast(:prices as bytea[]),
        cast(:values as bytea[]), cast(:derived as boolean[]), cast(:source as text[]),
        cast(:previous_seen_at as timestamptz[])
    )
    on conflict do nothing
    """
)

# The bound on the snapshot says nothing that the head does not; it tells a hypertable which chunks to open.
_LATEST_MAPS = text(
    """
    select head.symbol, head.timeframe, head.fetched_at, head.map_time, head.price,
        snapshot.prices, snapshot."values", snapshot.derived
    from coins
    join map_heads as head on head.symbol = coins.symbol
    cross join lateral (
        select prices, "values", derived from liquidation_snapshots
        where symbol = head.symbol and timeframe = head.timeframe and fetched_at = head.snapshot_at
            and fetched_at > :oldest
        limit 1
    ) as snapshot
    where coins.skipped_reason is null and (cast(:symbol as text) is null or coins.symbol = :symbol)
        and head.fetched_at > :since and head.timeframe = any(:timeframes)
    """
)


def store_maps(session: Session, maps: Sequence[FetchedMap]) -> StoreCounts:
    """Take in a batch of maps and their clusters, in a few statements.

    A map that was fetched before one that is known already (a slow round behind a re-fetch)
    says nothing new of its coin: its clusters are counted, it gets no row and moves no head.

    Takes a lock on each coin until the transaction ends, so that a round and a re-fetch
    of the same coin do not both take the same cluster for a new one.
    """
    if not maps:
        return StoreCounts()
    session.execute(_LOCK_SYMBOLS, {"symbols": [each.symbol for each in maps]})
    heads = read_heads(session, [(each.symbol, each.level_map.timeframe) for each in maps])
    moved: dict[Key, Head] = {}
    rows: list[_Snapshot] = []
    unchanged = 0
    for each in maps:
        row = _snapshot(each)
        before = moved.get((row.symbol, row.timeframe)) or heads.get((row.symbol, row.timeframe))
        unchanged += before is not None and before.digest == row.digest
        if before is None or row.fetched_at >= before.fetched_at:
            moved[row.symbol, row.timeframe] = _taken_in(row, before, rows)
    if rows:
        session.execute(_INSERT_SNAPSHOTS, _parameters(rows))
    put_heads(session, list(moved.values()))
    added, seen = store_clusters(session, maps)
    return StoreCounts(len(maps), unchanged, added, seen)


def _taken_in(row: _Snapshot, before: Head | None, rows: list[_Snapshot]) -> Head:
    """The head after this map, which is added to `rows` if it needs one."""
    if before is None:
        rows.append(row)
        return row.head(row.fetched_at)
    if before.digest == row.digest and row.fetched_at < before.snapshot_at + RESTATED_AFTER:
        return row.head(before.snapshot_at)
    rows.append(row._replace(previous_seen_at=before.fetched_at))
    return row.head(row.fetched_at)


def _parameters(rows: Sequence[_Snapshot]) -> dict[str, object]:
    named = columns(_Snapshot._fields, rows)
    del named["digest"]
    return named


def _snapshot(each: FetchedMap) -> _Snapshot:
    level_map = each.level_map
    # A level at no price at all is a grid's lower edge: nobody waits there.
    held = (level_map.values >= SMALLEST) & (level_map.prices >= SMALLEST)
    prices, values = pack(level_map.prices[held]), pack(level_map.values[held])
    digest = hashlib.blake2b(each.source.encode() + b"\0" + prices + values, digest_size=8)
    return _Snapshot(
        symbol=each.symbol,
        timeframe=level_map.timeframe,
        fetched_at=each.fetched_at,
        map_time=each.map_time,
        price=level_map.price,
        prices=prices,
        values=values,
        derived=level_map.derived,
        source=each.source,
        previous_seen_at=None,
        digest=digest.hexdigest(),
    )


def latest_maps(session: Session, *, since: datetime, symbol: str | None = None) -> list[StoredMap]:
    """The latest map of every followed coin and range in one query.

    Args:
        since: maps last seen before it do not count.
        symbol: of one coin alone.
    """
    wanted = {
        "timeframes": list(TIMEFRAMES),
        "since": since,
        "oldest": since - RESTATED_AFTER,
        "symbol": symbol,
    }
    rows = driver_rows(session, _LATEST_MAPS, wanted)
    levels, amounts = unpack_all([row[5] for row in rows]), unpack_all([row[6] for row in rows])
    return [
        StoredMap(
            name,
            fetched_at,
            LevelMap(
                timeframe=timeframe,
                price=price,
                prices=prices,
                values=values,
                map_time_ms=round((map_time or fetched_at).timestamp() * 1000),
                derived=derived,
            ),
        )
        for (name, timeframe, fetched_at, map_time, price, _, _, derived), prices, values in zip(
            rows, levels, amounts, strict=True
        )
    ]
