"""Other ways to write a map's two arrays, and other lengths of chunks: why `packed.py` and a day."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text

from storage_runs.maps import Fetch
from storage_runs.servers import BenchDatabase
from whalestack.db.packed import pack, unpack

Floats = NDArray[np.float64]
CHUNK_HOURS = (6, 12, 24)
CHOSEN = "three_bytes_in_planes"


@dataclass(frozen=True)
class Encoding:
    """Prices and values as bytes, and back; `arrays` where PostgreSQL's own REAL[] is meant."""

    prices: Callable[[Floats], bytes]
    values: Callable[[Floats], bytes]
    decode: Callable[[bytes], Floats]
    arrays: bool = False


def reals(numbers: Floats) -> bytes:
    """Four bytes a number."""
    return numbers.astype(">f4").tobytes()


def from_reals(packed: bytes) -> Floats:
    """The numbers of `reals`."""
    return np.frombuffer(packed, dtype=">f4").astype(np.float64)


def in_rows(numbers: Floats) -> bytes:
    """Three bytes a number, those of one number together."""
    return np.frombuffer(pack(numbers), dtype=np.uint8).reshape(3, -1).T.tobytes()


def from_rows(packed: bytes) -> Floats:
    """The numbers of `in_rows`."""
    return unpack(np.frombuffer(packed, dtype=np.uint8).reshape(-1, 3).T.tobytes())


def between_ends(prices: Floats) -> bytes:
    """Two bytes a price between the first and the last; five digits only where those are near each other."""
    low, step = prices[0], (prices[-1] - prices[0]) / 65_535 or 1.0
    head: bytes = np.array([low, step]).tobytes()
    return head + bytes(np.round((prices - low) / step).astype(">u2").tobytes())


def on_a_grid(prices: Floats) -> bytes:
    """A byte a price where the axis is even to five digits, three where it is not."""
    gaps = np.diff(prices)
    step = gaps.min() if gaps.size else 1.0
    places = np.round((prices - prices[0]) / step)
    is_even = np.abs(prices[0] + places * step - prices).max() <= 4.9e-6 * prices[0]
    if is_even and (not gaps.size or np.diff(places).max() < 256):
        head: bytes = np.array([prices[0], step]).tobytes()
        return head + bytes(np.diff(places).astype(np.uint8).tobytes())
    return pack(prices)


ENCODINGS = {
    "real_arrays": Encoding(reals, reals, from_reals, arrays=True),
    "four_bytes": Encoding(reals, reals, from_reals),
    "three_bytes_in_rows": Encoding(in_rows, in_rows, from_rows),
    CHOSEN: Encoding(pack, pack, unpack),
    "two_bytes_a_price": Encoding(between_ends, pack, unpack),
    "one_byte_a_price_on_a_grid": Encoding(on_a_grid, pack, unpack),
}


def compare(bench: BenchDatabase, days: Mapping[str, Sequence[Fetch]]) -> dict[str, Any]:
    """Bytes a map in each encoding and, for the chosen one, in each length of chunk."""
    found: dict[str, Any] = {}
    for assumption, day in days.items():
        maps = [each for each in day if each.fetched.level_map.prices.size]
        found[assumption] = {
            name: _sizes(bench, maps, encoding, 24) | _times(maps, encoding)
            for name, encoding in ENCODINGS.items()
        }
        if bench.has_timescale:
            found[assumption]["chunk_hours"] = {
                hours: _sizes(bench, maps, ENCODINGS[CHOSEN], hours)["compressed_bytes"]
                for hours in CHUNK_HOURS
            }
    return found


def _times(maps: Sequence[Fetch], encoding: Encoding) -> dict[str, float]:
    values = [each.fetched.level_map.values for each in maps]
    started = time.perf_counter()
    packed = [encoding.values(each) for each in values]
    encoded = time.perf_counter()
    for each in packed:
        encoding.decode(each)
    decoded = time.perf_counter()
    return {
        "encode_us": round((encoded - started) / len(maps) * 1e6, 1),
        "decode_us": round((decoded - encoded) / len(maps) * 1e6, 1),
    }


def _sizes(bench: BenchDatabase, maps: Sequence[Fetch], encoding: Encoding, hours: int) -> dict[str, int]:
    kind = "real[]" if encoding.arrays else "bytea"
    bench.run("drop table if exists encoded")
    bench.run(
        "create table encoded (symbol text, timeframe text, fetched_at timestamptz, map_time timestamptz,"
        f' price float8, prices {kind}, "values" {kind}, derived bool, source text,'
        " primary key (symbol, timeframe, fetched_at))"
    )
    if bench.has_timescale:
        bench.run(
            f"select create_hypertable('encoded', by_range('fetched_at', interval '{hours} hours'),"
            " create_default_indexes => false)"
        )
    _insert(bench, maps, encoding)
    size = "hypertable_size" if bench.has_timescale else "pg_total_relation_size"
    found = {"bytes": round(bench.scalar(f"select {size}('encoded')") / len(maps))}
    if bench.has_timescale:
        bench.run(
            "alter table encoded set (timescaledb.compress, timescaledb.compress_segmentby ="
            " 'symbol, timeframe', timescaledb.compress_orderby = 'fetched_at desc')"
        )
        bench.run("select compress_chunk(chunk) from show_chunks('encoded') as chunk")
        found["compressed_bytes"] = round(bench.scalar(f"select {size}('encoded')") / len(maps))
    bench.run("drop table encoded")
    return found


def _insert(bench: BenchDatabase, maps: Sequence[Fetch], encoding: Encoding) -> None:
    statement = text(
        "insert into encoded values (:symbol, :timeframe, :at, :at, :price, :prices, :values, false, :source)"
    )
    with bench.engine.begin() as connection:
        for each in maps:
            fetched, level_map = each.fetched, each.fetched.level_map
            prices: Any = level_map.prices.tolist() if encoding.arrays else encoding.prices(level_map.prices)
            values: Any = level_map.values.tolist() if encoding.arrays else encoding.values(level_map.values)
            connection.execute(
                statement,
                {
                    "symbol": fetched.symbol,
                    "timeframe": level_map.timeframe,
                    "at": fetched.fetched_at,
                    "price": level_map.price,
                    "prices": prices,
                    "values": values,
                    "source": fetched.source,
                },
            )
