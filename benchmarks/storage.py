"""What heat maps cost to keep, and how long questions take with thirty days in the tables.

    python benchmarks/storage.py                    # about three minutes
    python benchmarks/storage.py --coins 50 --sample 1
    python benchmarks/storage.py --encodings        # instead: other ways to write a map's arrays
    python benchmarks/storage.py --embedded         # plain PostgreSQL even where DATABASE_URL has TimescaleDB

Bytes: a day of maps of a few coins, all nine ranges, fetched every five minutes, stored in three ways
and scaled to 500 coins. `every_level_moves` is the most there can be to store; `changing_with_columns`
has a map change only when a column of its range closes (`storage_runs/maps.py` says why these two).
Times: `storage_runs/month.py` says what the thirty days hold. A database is made for it on the server of
DATABASE_URL where that has TimescaleDB, else on an embedded PostgreSQL, and dropped. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

from storage_runs import encodings, maps, month, questions, ways
from storage_runs.servers import BenchDatabase, bench_database

from whalestack.logs import configure_logging

TARGET_GB_A_DAY = 1.0


def main(argv: list[str] | None = None) -> int:
    """Measure, and print the line."""
    options = _parse(argv)
    configure_logging("ERROR")
    with bench_database(options.run_dir.resolve(), embedded=options.embedded) as bench:
        line: dict[str, Any] = {
            "benchmark": "storage",
            "server": bench.server,
            "cores": os.cpu_count(),
            "load_before": round(os.getloadavg()[0], 1),
            "sample_coins": options.sample,
        }
        line |= encoded(bench, options.sample) if options.encodings else stored(bench, options)
    print(json.dumps(line), flush=True)
    return 0


def encoded(bench: BenchDatabase, sample: int) -> dict[str, Any]:
    """The alternatives to what is stored now."""
    dense = maps.every_level_moves(sample)
    sparse = list(maps.changing_with_columns(dense))
    changed = [each for each in sparse if maps.column_closes(each)]
    days = {"every_level_moves": dense, "changing_with_columns_only_changed": changed}
    return {"encodings": encodings.compare(bench, days)}


def stored(bench: BenchDatabase, options: argparse.Namespace) -> dict[str, Any]:
    """Bytes a day, thirty days, and whether the target is met."""
    found: dict[str, Any] = {
        "bytes": sizes(bench, options.sample),
        "thirty_days": thirty_days(bench, options.coins, options.sample),
    }
    kept = found["bytes"]["every_level_moves"]["packed_changed_only"]
    most = kept.get("compressed_gb_a_day", kept["gb_a_day"])
    return found | {
        "gb_a_day_at_most": most,
        "target_gb_a_day": TARGET_GB_A_DAY,
        "met": most < TARGET_GB_A_DAY,
    }


def sizes(bench: BenchDatabase, sample: int) -> dict[str, Any]:
    """Each way of storing under each assumption; the day of maps stays in the table."""
    dense = maps.every_level_moves(sample)
    sparse = list(maps.changing_with_columns(dense))
    found: dict[str, Any] = {
        "levels_a_map": round(sum(each.fetched.level_map.prices.size for each in dense) / len(dense))
    }
    for name, day in (("changing_with_columns", sparse), ("every_level_moves", dense)):
        found[name] = {way: store(bench, day) for way, store in ways.WAYS.items()}
    found["row_for_each_level"] = ways.row_for_each_level(bench, dense)
    return found


def thirty_days(bench: BenchDatabase, coins: int, sample: int) -> dict[str, Any]:
    """The questions, in a table of thirty days."""
    started = time.perf_counter()
    rows = month.fill(bench, coins=coins, pool_coins=sample)
    return {
        "coins": coins,
        "map_rows": rows,
        "map_rows_at_full_size": month.full_size_rows(coins),
        "filled_in_s": round(time.perf_counter() - started, 1),
        "questions": questions.ask(bench),
        "raw_view_plan": questions.explain_raw_view(bench),
    }


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--coins", type=int, default=500, help="in the thirty days")
    parser.add_argument("--sample", type=int, default=2, help="coins whose day of maps is stored and scaled")
    parser.add_argument("--encodings", action="store_true", help="compare ways to write the arrays")
    parser.add_argument("--embedded", action="store_true", help="plain PostgreSQL, embedded")
    parser.add_argument("--run-dir", type=Path, default=Path(".run/storage"), help="for the embedded server")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())
