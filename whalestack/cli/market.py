"""Commands that show what was found in the market."""

from __future__ import annotations

from typing import Annotated

import typer
from sqlalchemy import func, select

from whalestack.cli.base import AsJson, Limit, app, read_rows, runtime_of_process
from whalestack.cli.tables import Row, show
from whalestack.db.models import CoinRanking, FastPriceMover, Signal


@app.command()
def refresh(
    symbols: Annotated[list[str], typer.Argument(help="Such as SOLUSDT.")], as_json: AsJson = False
) -> None:
    """Fetch every heat map of these coins now."""
    runtime = runtime_of_process()
    reports = [runtime.heatmap_scanner.refetch(symbol.upper(), "asked for") for symbol in symbols]
    rows: list[Row] = [
        {
            "symbol": report.symbol,
            "stored": report.stored,
            "unchanged": report.unchanged,
            "problems": "; ".join(report.problems),
        }
        for report in reports
    ]
    show(rows, as_json=as_json, empty="no coin")
    raise typer.Exit(0 if all(report.is_complete for report in reports) else 1)


@app.command()
def rank(limit: Limit = 10, dropped: bool = False, as_json: AsJson = False) -> None:
    """The latest ranking; with --dropped, the coins that are not in it and why."""
    newest = select(func.max(CoinRanking.created_at)).scalar_subquery()
    query = select(CoinRanking).where(CoinRanking.created_at == newest)
    if dropped:
        rows = read_rows(
            query.where(CoinRanking.rank.is_(None)).order_by(CoinRanking.symbol).limit(limit),
            lambda r: {"symbol": r.symbol, "dropped_reason": r.dropped_reason},
        )
    else:
        rows = read_rows(
            query.where(CoinRanking.rank.is_not(None)).order_by(CoinRanking.rank).limit(limit), _ranking_row
        )
    show(rows, as_json=as_json, empty="no ranking yet: wait for a refresh")


def _ranking_row(r: CoinRanking) -> Row:
    return {
        "rank": r.rank,
        "symbol": r.symbol,
        "direction": r.direction,
        "imbalance": r.imbalance_ratio,
        "score": r.score,
        "target_price": r.target_price,
        "price": r.price,
        "success": r.historical_success,
        "observations": r.observations,
        "oldest_map_at": r.oldest_map_at,
    }


@app.command()
def movers(limit: Limit = 20, as_json: AsJson = False) -> None:
    """The latest fast movers."""
    rows = read_rows(
        select(FastPriceMover).order_by(FastPriceMover.detected_at.desc()).limit(limit),
        lambda r: {
            "detected_at": r.detected_at,
            "symbol": r.symbol,
            "price_1min_pct": r.price_1min_change,
            "price_5min_pct": r.price_5min_change,
            "price": r.price,
        },
    )
    show(rows, as_json=as_json, empty="no mover yet")


@app.command()
def signals(limit: Limit = 20, as_json: AsJson = False) -> None:
    """The latest signals and what became of them."""
    rows = read_rows(
        select(Signal).order_by(Signal.id.desc()).limit(limit),
        lambda r: {
            "triggered_at": r.triggered_at,
            "symbol": r.symbol,
            "direction": r.direction,
            "rank": r.rank,
            "oi_pct": r.oi_change_pct,
            "volume_ratio": r.volume_spike_ratio,
            "price_pct": r.price_change_pct,
            "status": r.status,
        },
    )
    show(rows, as_json=as_json, empty="no signal yet")
