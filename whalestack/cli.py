"""The command line. Exit codes: 0 done, 1 the work failed, 2 bad settings or arguments."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import Select, func, select

from whalestack.cli_tables import Row, show
from whalestack.config import Settings, get_settings
from whalestack.db import trade_store
from whalestack.db.models import CoinRanking, FastPriceMover, Signal, Trade
from whalestack.errors import StopAndTell, WhalestackError
from whalestack.logs import configure_logging
from whalestack.runtime import Runtime, get_runtime

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Liquidation heat maps in, protected trades out."
)
db_app = typer.Typer(no_args_is_help=True, help="The database schema.")
app.add_typer(db_app, name="db")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many rows.")]


def main() -> None:
    """Run the command line; an error that the user can act on is one sentence, not a trace."""
    try:
        app()
    except StopAndTell as error:
        typer.echo(f"whalestack: {error}", err=True)
        sys.exit(2)
    except WhalestackError as error:
        typer.echo(f"whalestack: {error}", err=True)
        sys.exit(1)


def _settings() -> Settings:
    settings = get_settings()
    configure_logging(settings.log_level, settings.log_format)
    return settings


def _runtime() -> Runtime:
    _settings()
    return get_runtime()


def _rows(query: Select[Any], row: Callable[[Any], Row]) -> list[Row]:
    with _runtime().reading() as session:
        return [row(found) for found in session.scalars(query)]


@app.command()
def demo(
    market: Annotated[
        str, typer.Option(help="synthetic, or recorded:FOLDER with candle files.")
    ] = "synthetic",
    seconds: Annotated[float | None, typer.Option(min=5, help="End by itself after this long.")] = None,
    speed: Annotated[float | None, typer.Option(min=1, max=600, help="Market seconds in one second.")] = None,
    start: Annotated[
        datetime | None, typer.Option(help="Market time at the start, UTC (recorded markets).")
    ] = None,
    coins: Annotated[int | None, typer.Option(min=2, max=600, help="How many coins of the market.")] = None,
    as_json: AsJson = False,
    run_dir: Annotated[Path, typer.Option(help="Where servers keep data and processes their logs.")] = Path(
        ".run"
    ),
) -> None:
    """Run everything on embedded parts and the simulator, and show it live."""
    from whalestack.demo.choices import choose
    from whalestack.demo.run import run_demo

    choice = choose(market, speed=speed, start=start, coins=coins)
    raise typer.Exit(run_demo(choice, seconds=seconds, as_json=as_json, run_dir=run_dir))


@app.command()
def up() -> None:
    """Run beat, streams, a worker for each queue and Flower against the services named in .env."""
    from whalestack.supervisor.up import run_up

    raise typer.Exit(run_up(_settings()))


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check each key, endpoint, database, Redis and the clock: ok, or what to do."""
    from whalestack.doctor import examine

    findings = examine(_runtime())
    rows = [{"check": f.check, "result": "ok" if f.ok else "NOT OK", "says": f.says} for f in findings]
    show(rows, as_json=as_json, empty="nothing to check")
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


@app.command()
def refresh(
    symbols: Annotated[list[str], typer.Argument(help="Such as SOLUSDT.")], as_json: AsJson = False
) -> None:
    """Fetch every heat map of these coins now."""
    runtime = _runtime()
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
        rows = _rows(
            query.where(CoinRanking.rank.is_(None)).order_by(CoinRanking.symbol).limit(limit),
            lambda r: {"symbol": r.symbol, "dropped_reason": r.dropped_reason},
        )
    else:
        rows = _rows(
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
    rows = _rows(
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
    rows = _rows(
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


@app.command()
def positions(as_json: AsJson = False) -> None:
    """What the exchange holds now, each with its stop."""
    held = _runtime().bybit.positions()
    rows: list[Row] = [
        {
            "symbol": p.symbol,
            "side": p.side,
            "size": p.size,
            "avg_price": p.avg_price,
            "mark_price": p.mark_price,
            "stop_loss": p.stop_loss,
            "take_profit": p.take_profit,
            "leverage": p.leverage,
            "unrealised_usd": p.unrealised_pnl_usd,
        }
        for p in held
    ]
    show(rows, as_json=as_json, empty="no open position")


@app.command()
def trades(
    agent: Annotated[str | None, typer.Option(help="Only this agent's.")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """The latest trades, under the name of who made them."""
    query = select(Trade).order_by(Trade.id.desc()).limit(limit)
    rows = _rows(
        query if agent is None else query.where(Trade.agent_name == agent),
        lambda r: {
            "entry_time": r.entry_time,
            "agent": r.agent_name,
            "symbol": r.symbol,
            "side": r.side,
            "entry_price": r.entry_price,
            "exit_price": r.exit_price,
            "status": r.status,
            "pnl_pct": r.pnl_pct,
            "pnl_usd": r.pnl_usd,
            "exit_reason": r.exit_reason,
        },
    )
    show(rows, as_json=as_json, empty="no trade yet")


@app.command()
def agents(as_json: AsJson = False) -> None:
    """The automatic traders and everybody else who traded, with what came of it, side by side."""
    settings = _settings()
    traders = {trader.autotrader_name: trader for trader in settings.of_traders()}
    with _runtime().reading() as session:
        results = trade_store.agent_results(session, settings.mode.value)
    names = [*traders, *sorted(results.keys() - traders.keys())]
    rows = [_agent_row(traders.get(name), results.get(name, trade_store.AgentResult(name))) for name in names]
    show(rows, as_json=as_json, empty="nobody trades")


def _agent_row(trader: Settings | None, result: trade_store.AgentResult) -> Row:
    """`trader` is None for agents that are not in the settings: people, and traders of the past."""
    return {
        "agent": result.agent_name,
        "strategy": trader.autotrader_strategy if trader else None,
        "enabled": trader.autotrader_enabled if trader else None,
        "risk_pct": trader.risk_per_trade_pct if trader else None,
        "trades": result.trades,
        "open": result.open,
        "wins": result.wins,
        "stopped": result.stopped,
        "win_pct": result.win_pct,
        "mean_pnl_pct": result.mean_pnl_pct,
        "total_pnl_pct": result.total_pnl_pct,
        "pnl_usd": result.pnl_usd,
    }


@app.command()
def why(
    symbol: str,
    agent: Annotated[
        str | None, typer.Option(help="Which automatic trader is asked; the first one if left out.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Why a coin is not traded now: every guard's and the plan's answer. Exit code 0: it would be."""
    report = _runtime().why(agent).explain(symbol.upper())
    rows: list[Row] = [{"code": r.code, "why": r.text} for r in report.refusals]
    rows += [{"code": "not_asked", "why": text} for text in report.not_asked]
    show(rows, as_json=as_json, empty=f"nothing speaks against {report.symbol}, {report.direction}")
    raise typer.Exit(0 if report.would_trade else 1)


@app.command()
def kill(
    reason: Annotated[str, typer.Option(help="Told and kept.")] = "by hand",
    close: Annotated[bool, typer.Option("--close", help="Close every position as well.")] = False,
) -> None:
    """Stop entries at once and cancel them; works while every worker is dead."""
    runtime = _runtime()
    runtime.kill_switch.engage(reason=reason, set_by="command line", close_positions=close)
    report = runtime.kill_enforcer.run()
    typer.echo(f"entries are stopped; {report}")


@app.command()
def resume() -> None:
    """Allow entries again."""
    _runtime().kill_switch.release(set_by="command line")
    typer.echo("entries are allowed again, after the next reconciliation")


@app.command()
def simulator(
    market: Annotated[str | None, typer.Option(help="synthetic, recorded:FOLDER or mirror:URL.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535)] = None,
) -> None:
    """Run the local stand-in for CoinGlass, Bybit, Telegram and X."""
    from whalestack.simulator.server import run
    from whalestack.supervisor.parent import end_with_parent

    settings = _settings()
    end_with_parent(settings.supervisor_pid)
    chosen = settings.model_copy(update={"simulator_market": market} if market else {})
    run(chosen, "127.0.0.1", port or settings.simulator_port)


@app.command()
def streams() -> None:
    """Run the process that listens to the exchange's streams."""
    from whalestack.supervisor.parent import end_with_parent

    end_with_parent(_settings().supervisor_pid)
    _runtime().streams_process().run()


@db_app.command("upgrade")
def db_upgrade() -> None:
    """Bring the schema to the newest version."""
    from whalestack.db.migrations import upgrade

    upgrade(_settings().database_url.get_secret_value())
    typer.echo("the schema is current")
