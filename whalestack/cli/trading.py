"""Commands that show what was traded and by whom, and the kill switch."""

from __future__ import annotations

from typing import Annotated

import typer
from sqlalchemy import select

from whalestack.cli.base import AsJson, Limit, app, read_rows, runtime_of_process, settings_of_process
from whalestack.cli.tables import Row, show
from whalestack.config import Settings
from whalestack.db import trade_store
from whalestack.db.models import Trade


@app.command()
def positions(as_json: AsJson = False) -> None:
    """What the exchange holds now, each with its stop."""
    held = runtime_of_process().bybit.positions()
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
    rows = read_rows(
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
    settings = settings_of_process()
    traders = {trader.autotrader_name: trader for trader in settings.of_traders()}
    with runtime_of_process().reading() as session:
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
    report = runtime_of_process().why(agent).explain(symbol.upper())
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
    runtime = runtime_of_process()
    runtime.kill_switch.engage(reason=reason, set_by="command line", close_positions=close)
    report = runtime.kill_enforcer.run()
    typer.echo(f"entries are stopped; {report}")


@app.command()
def resume() -> None:
    """Allow entries again."""
    runtime_of_process().kill_switch.release(set_by="command line")
    typer.echo("entries are allowed again, after the next reconciliation")
