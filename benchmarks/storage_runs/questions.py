"""What the services and a dashboard ask of thirty days, each asked several times."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from statistics import median
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from storage_runs.month import NOW, PROBE
from storage_runs.servers import BenchDatabase
from whalestack.db.account_rows import read_account
from whalestack.db.board_store import latest_board
from whalestack.db.heatmap_store import latest_maps
from whalestack.db.map_heads import map_ages
from whalestack.db.models import Trade
from whalestack.db.trading_inputs import map_times, standing_clusters

RUNS = 7
SINCE = NOW - timedelta(hours=1)
RAW = "select * from liquidation_data_raw where symbol = :symbol"
RAW_RANGE = f"{RAW} and timeframe = '7d' and fetched_at between :begin and :end"
RAW_COIN = f"{RAW} and fetched_at between :begin and :end"
SPANS = (
    "select * from liquidation_map_spans where symbol = :symbol and timeframe = '7d' and stood_from > :begin"
)

Question = Callable[[Session], object]


def questions() -> dict[str, Question]:
    """Each returns what it found, so that the answer's length can be told."""
    return {
        "latest_maps_all_coins": lambda session: latest_maps(session, since=SINCE),
        "latest_maps_one_coin": lambda session: latest_maps(session, since=SINCE, symbol=PROBE),
        "map_ages_all_coins": map_ages,
        "map_times_one_coin": lambda session: map_times(session, PROBE, SINCE),
        "clusters_one_coin": _clusters,
        "levels_now_one_coin": _rows("select * from liquidation_data_now where symbol = :symbol"),
        "raw_view_one_coin_6_hours": _rows(RAW_COIN, NOW - timedelta(hours=6), NOW),
        "raw_view_one_range_last_day": _rows(RAW_RANGE, NOW - timedelta(days=1), NOW),
        "raw_view_one_range_a_day_3_weeks_ago": _rows(
            RAW_RANGE, NOW - timedelta(days=21), NOW - timedelta(days=20)
        ),
        "spans_one_range_30_days": _rows(SPANS, NOW - timedelta(days=30)),
        "board": lambda session: getattr(latest_board(session, "oi", "5m"), "lines", ()),
        "trades_last_100": lambda session: session.scalars(
            select(Trade).order_by(Trade.entry_time.desc()).limit(100)
        ).all(),
        "trades_that_ended": lambda session: read_account(session.connection(), "demo").ended,
    }


def _clusters(session: Session) -> object:
    return standing_clusters(session, PROBE, NOW, map_times(session, PROBE, SINCE))


def _rows(query: str, begin: object = None, end: object = None) -> Question:
    given = {"symbol": PROBE, "begin": begin, "end": end}
    used = {name: value for name, value in given.items() if f":{name}" in query}
    return lambda session: session.execute(text(query), used).all()


def ask(bench: BenchDatabase) -> dict[str, dict[str, float]]:
    """Median and slowest time of each question in ms, and how many rows or values it brings."""
    return {name: _timed(bench, question) for name, question in questions().items()}


def _timed(bench: BenchDatabase, question: Question) -> dict[str, float]:
    times: list[float] = []
    found: Any = ()
    for _ in range(RUNS):
        with bench.db.begin() as work:
            started = time.perf_counter()
            found = question(work.session)
            times.append((time.perf_counter() - started) * 1000)
    return {"ms": round(median(times), 1), "slowest_ms": round(max(times), 1), "rows": len(found)}


def explain_raw_view(bench: BenchDatabase) -> dict[str, Any]:
    """How the server finds one coin's levels of a day: by which scans, and how much it reads."""
    arguments = {"symbol": PROBE, "begin": NOW - timedelta(days=1), "end": NOW}
    with bench.engine.connect() as connection:
        plan = connection.execute(
            text(f"explain (analyze, buffers, format json) {RAW_RANGE}"), arguments
        ).scalar_one()[0]
    nodes = list(_nodes(plan["Plan"]))
    tables = [node for node in nodes if "Relation Name" in node]
    return {
        "scans": sorted({node["Node Type"] for node in tables}),
        "whole_tables_read": sum(node["Node Type"] == "Seq Scan" for node in tables),
        "tables_or_chunks_read": len(tables),
        "pages": plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"],
        "ms": round(plan["Execution Time"], 1),
    }


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)
