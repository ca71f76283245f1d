"""Three ways of storing the same maps, and what each costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sqlalchemy import text

from storage_runs.maps import FETCHES_A_DAY, Fetch
from storage_runs.servers import BenchDatabase
from whalestack.db.heatmap_rows import FetchedMap, columns
from whalestack.db.heatmap_store import store_maps
from whalestack.math.timeframes import TIMEFRAMES

COINS = 500
BATCH = 40
NAIVE_FETCHES = 12

BEFORE_TABLE = """
create table maps_before (
    symbol text not null, timeframe text not null, fetched_at timestamptz not null, map_time timestamptz,
    price float8 not null, prices real[] not null, "values" real[] not null,
    derived boolean not null, source text not null, digest text,
    primary key (symbol, timeframe, fetched_at)
)
"""
BEFORE_INSERT = """
insert into maps_before
select symbol, timeframe, fetched_at, map_time, price, cast(prices as real[]), cast("values" as real[]),
    derived, source, digest
from unnest(
    cast(:symbol as text[]), cast(:timeframe as text[]), cast(:fetched_at as timestamptz[]),
    cast(:map_time as timestamptz[]), cast(:price as float8[]), cast(:prices as text[]),
    cast(:values as text[]), cast(:derived as boolean[]), cast(:source as text[]), cast(:digest as text[])
) as incoming(symbol, timeframe, fetched_at, map_time, price, prices, "values", derived, source, digest)
"""
BEFORE_NAMES = (
    "symbol",
    "timeframe",
    "fetched_at",
    "map_time",
    "price",
    "prices",
    "values",
    "derived",
    "source",
    "digest",
)

LEVELS_TABLE = """
create table levels_naive (
    id bigserial primary key, symbol text not null, timeframe text not null, price float8 not null,
    leverage float8 not null, side text not null, fetched_at timestamptz not null
)
"""
LEVELS_INDEX = "create index on levels_naive (symbol, timeframe, fetched_at)"
LEVELS_INSERT = (
    "insert into levels_naive (symbol, timeframe, price, leverage, side, fetched_at)"
    " values (:symbol, :timeframe, :price, :leverage, :side, :fetched_at)"
)


def packed_and_changed_only(bench: BenchDatabase, maps: Sequence[Fetch]) -> dict[str, Any]:
    """As it is: `store_maps`, and the heads and clusters that it keeps."""
    bench.run("truncate liquidation_snapshots, map_heads, liquidation_clusters cascade")
    started = time.perf_counter()
    unchanged = 0
    for batch in _batches(maps):
        with bench.db.begin() as work:
            unchanged += store_maps(work.session, batch).unchanged
    seconds = time.perf_counter() - started
    costs = _sizes(bench, "liquidation_snapshots", len(maps))
    heads = bench.scalar("select pg_total_relation_size('map_heads')")
    return {
        **costs,
        "unchanged_share": round(unchanged / len(maps), 3),
        "heads_kb": round(heads / 1024),
        "store_us_a_map": round(seconds / len(maps) * 1e6),
    }


def row_for_each_fetch(bench: BenchDatabase, maps: Sequence[Fetch]) -> dict[str, Any]:
    """As it was: both arrays of four-byte floats at every fetch."""
    bench.run("drop table if exists maps_before")
    bench.run(BEFORE_TABLE)
    if bench.has_timescale:
        bench.run(
            "select create_hypertable('maps_before', by_range('fetched_at', interval '6 hours'),"
            " create_default_indexes => false)"
        )
    started = time.perf_counter()
    for batch in _batches(maps):
        with bench.engine.begin() as connection:
            rows = [_row_before(each) for each in batch]
            connection.execute(text(BEFORE_INSERT), columns(BEFORE_NAMES, rows))
    seconds = time.perf_counter() - started
    costs = _sizes(bench, "maps_before", len(maps))
    bench.run("drop table maps_before")
    return {**costs, "insert_us_a_map": round(seconds / len(maps) * 1e6)}


def _row_before(each: FetchedMap) -> tuple[object, ...]:
    level_map = each.level_map
    arrays = (_array(level_map.prices, 7), _array(level_map.values, 6))
    at, digest = each.fetched_at, "0123456789abcdef"
    return (
        each.symbol,
        level_map.timeframe,
        at,
        each.map_time,
        level_map.price,
        *arrays,
        level_map.derived,
        each.source,
        digest,
    )


def _array(numbers: np.ndarray[Any, Any], digits: int) -> str:
    return "{" + ",".join(f"{number:.{digits}g}" for number in numbers.tolist()) + "}"


def row_for_each_level(bench: BenchDatabase, maps: Sequence[Fetch]) -> dict[str, Any]:
    """The plain way, on a small sample: a row and an INSERT for each level."""
    bench.run("drop table if exists levels_naive")
    bench.run(LEVELS_TABLE)
    bench.run(LEVELS_INDEX)
    sample = [each.fetched for each in maps if each.coin == 0 and each.number < NAIVE_FETCHES]
    started = time.perf_counter()
    for each in sample:
        level_map = each.level_map
        with bench.engine.begin() as connection:
            for price, value in zip(level_map.prices.tolist(), level_map.values.tolist(), strict=True):
                connection.execute(
                    text(LEVELS_INSERT),
                    {
                        "symbol": each.symbol,
                        "timeframe": level_map.timeframe,
                        "price": price,
                        "leverage": value,
                        "side": "short" if price > level_map.price else "long",
                        "fetched_at": each.fetched_at,
                    },
                )
    seconds = time.perf_counter() - started
    total = bench.scalar("select pg_total_relation_size('levels_naive')")
    bench.run("drop table levels_naive")
    return {
        "maps": len(sample),
        "bytes_a_fetch": round(total / len(sample)),
        "gb_a_day": gb_a_day(total / len(sample)),
        "insert_us_a_map": round(seconds / len(sample) * 1e6),
    }


def gb_a_day(bytes_a_fetch: float) -> float:
    """What 500 coins, nine ranges and a fetch every five minutes come to."""
    return round(bytes_a_fetch * COINS * len(TIMEFRAMES) * FETCHES_A_DAY / 1e9, 3)


def _batches(maps: Sequence[Fetch]) -> list[list[FetchedMap]]:
    found = [each.fetched for each in maps]
    return [found[place : place + BATCH] for place in range(0, len(found), BATCH)]


def _sizes(bench: BenchDatabase, table: str, fetches: int) -> dict[str, Any]:
    """Bytes with the indexes before and after compression, for each fetch."""
    before = _size(bench, table)
    found = {"bytes_a_fetch": round(before / fetches), "gb_a_day": gb_a_day(before / fetches)}
    if not bench.has_timescale:
        return found
    compress(bench, table)
    after = _size(bench, table)
    return found | {
        "compressed_bytes_a_fetch": round(after / fetches),
        "compressed_gb_a_day": gb_a_day(after / fetches),
    }


def _size(bench: BenchDatabase, table: str) -> float:
    if bench.has_timescale:
        return bench.scalar(f"select hypertable_size('{table}')")
    return bench.scalar(f"select pg_total_relation_size('{table}')")


def compress(bench: BenchDatabase, table: str, *, but_last: int = 0) -> None:
    """Compress the chunks of a hypertable as its policy would, all but some of the youngest."""
    with bench.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if table == "maps_before":
            connection.execute(
                text(
                    f"alter table {table} set (timescaledb.compress,"
                    f" timescaledb.compress_segmentby = 'symbol, timeframe',"
                    f" timescaledb.compress_orderby = 'fetched_at desc')"
                )
            )
        connection.execute(
            text(
                "select compress_chunk(format('%I.%I', chunk_schema, chunk_name)::regclass, true)"
                " from (select * from timescaledb_information.chunks where hypertable_name = :table"
                "  order by range_start desc offset :but_last) as old"
            ),
            {"table": table, "but_last": but_last},
        )


Way = Callable[[BenchDatabase, Sequence[Fetch]], dict[str, Any]]
WAYS: dict[str, Way] = {
    "packed_changed_only": packed_and_changed_only,
    "reals_every_fetch": row_for_each_fetch,
}
