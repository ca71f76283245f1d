"""Commands that show the coins: how each moved, and which are followed and traded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

import typer
from sqlalchemy import select

from whalestack.agents.guards import CoinFacts, coin_refusals
from whalestack.cli.base import AsJson, Limit, app, read_rows, runtime_of_process
from whalestack.cli.tables import Row, show
from whalestack.config import Settings
from whalestack.db.board_store import BoardLine, latest_board
from whalestack.db.live import LiveTick
from whalestack.db.models import AgentLog, Coin
from whalestack.errors import TryAgain
from whalestack.scanners import board_check

Measure = Literal["price", "oi", "volume"]
Window = Literal["1m", "5m", "15m", "30m", "1h", "4h", "24h"]
STALE_AFTER_S = 180.0
TOO_LITTLE = "too little history"


@app.command()
def board(
    by: Annotated[Measure, typer.Option(help="What the coins are ordered by.")] = "price",
    window: Annotated[Window, typer.Option(help="Over which time.")] = "5m",
    down: Annotated[bool, typer.Option("--down", help="The largest fall first.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="What differed at the latest comparison with CoinGlass's board.")
    ] = False,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """Every coin's change of price, open interest and volume; coins whose change is not known stand last."""
    if check:
        _show_check(as_json=as_json)
        return
    runtime = runtime_of_process()
    with runtime.reading() as session:
        found = latest_board(session, by, window, falling=down)
    if found is None:
        show([], as_json=as_json, empty="no board yet: one is written every minute while the system runs")
        return
    show([_board_row(found.at, line) for line in found.lines[:limit]], as_json=as_json, empty="no coin")
    age_s = (runtime.clock.now() - found.at).total_seconds()
    if found.unknown:
        _say(f"{found.unknown} of {len(found.lines)} coins have too little history for {by} over {window}")
    if age_s > STALE_AFTER_S:
        _say(f"this board is {age_s / 60:.0f} minutes old: no newer one was written")


def _say(sentence: str) -> None:
    # Beside the rows and not among them: what is piped on stays a table or JSON.
    typer.echo(sentence, err=True)


def _board_row(at: datetime, line: BoardLine) -> Row:
    return {
        "rank": line.rank,
        "symbol": line.symbol,
        "price_pct": line.price_pct,
        "oi_pct": line.oi_pct,
        "volume_pct": line.volume_pct,
        "price": line.price,
        "at": at,
        "note": TOO_LITTLE if line.rank is None else None,
    }


def _show_check(*, as_json: bool) -> None:
    with runtime_of_process().reading() as session:
        latest = session.scalars(
            select(AgentLog)
            .where(AgentLog.agent_name == board_check.AGENT_NAME, AgentLog.action == board_check.ACTION)
            .order_by(AgentLog.created_at.desc())
            .limit(1)
        ).one_or_none()
    if latest is None:
        show([], as_json=as_json, empty="no comparison yet: one is made every hour where the plan has it")
        return
    found = latest.details
    show(found["differences"], as_json=as_json, empty="no coin differs")
    _say(
        f"{latest.created_at:%Y-%m-%d %H:%M} UTC: {found['beyond']} of {found['compared']} changes over "
        f"{', '.join(found['windows'])} differ by more than {found['tolerance_pct']} percentage points"
    )


@app.command()
def coins(
    skipped: Annotated[bool, typer.Option("--skipped", help="Only coins that are not followed.")] = False,
    limit: Limit = 1000,
    as_json: AsJson = False,
) -> None:
    """Every coin: followed or why not, traded by automatic traders or what speaks against it."""
    runtime = runtime_of_process()
    ticks = _live_ticks()
    now = runtime.clock.now()
    query = select(Coin).order_by(Coin.turnover_24h_usd.desc().nulls_last(), Coin.symbol).limit(limit)
    rows = read_rows(
        query.where(Coin.skipped_reason.is_not(None)) if skipped else query,
        lambda coin: _coin_row(coin, ticks, runtime.settings, now),
    )
    show(rows, as_json=as_json, empty="no coin" if skipped else "no coin yet: the universe is read hourly")


def _live_ticks() -> Mapping[str, LiveTick]:
    try:
        return runtime_of_process().live.all()
    except TryAgain as error:
        _say(f"spreads are not known: {error}")
        return {}


def _coin_row(coin: Coin, ticks: Mapping[str, LiveTick], settings: Settings, now: datetime) -> Row:
    tick = ticks.get(coin.symbol)
    against = coin_refusals(CoinFacts(coin.symbol, now, settings, coin, tick))
    # Why it is not followed has a column of its own.
    others = [refusal.text for refusal in against if refusal.code != "coin_skipped"]
    age_days = None if coin.launched_at is None else (now - coin.launched_at).total_seconds() / 86_400
    return {
        "symbol": coin.symbol,
        "coinglass": coin.coinglass_symbol,
        "status": coin.status,
        "followed": coin.skipped_reason is None,
        "skipped_reason": coin.skipped_reason,
        "tradable": not against,
        "against": "; ".join(others),
        "age_days": age_days,
        "turnover_24h_usd": coin.turnover_24h_usd,
        "spread_pct": None if tick is None else tick.spread_pct,
    }
