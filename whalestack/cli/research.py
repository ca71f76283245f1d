"""Commands that ask the past."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whalestack.cli.base import app, runtime_of_process, settings_of_process
from whalestack.cli.tables import plain, show
from whalestack.clock import to_ms
from whalestack.errors import StopAndTell

if TYPE_CHECKING:
    from whalestack.backtest.candles import Candles
    from whalestack.backtest.command import Request
    from whalestack.backtest.report import Report

CandleSource = Annotated[str, typer.Option("--candles", help="A folder of candle files, or db.")]
Agents = Annotated[str, typer.Option(help="Traders by name, separated by commas; all for the built-in.")]
Symbols = Annotated[str, typer.Option(help="Only these coins, separated by commas.")]


@app.command()
def backtest(
    candles: CandleSource,
    begin: Annotated[str | None, typer.Option("--from", help="Where trading begins, UTC.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Where it ends, UTC.")] = None,
    agents: Agents = "conservative",
    symbols: Symbols = "",
    together: Annotated[bool, typer.Option("--together", help="One account for all traders.")] = False,
    equity: Annotated[float, typer.Option(help="Of each account at the beginning, USD.", min=1)] = 10_000.0,
    seed: Annotated[int, typer.Option(help="Of the exchange's depth and of all that is drawn.")] = 7,
    recorded_interest: Annotated[
        bool, typer.Option("--recorded-interest", help="Recorded open interest where there is some.")
    ] = False,
    maps_as_live: Annotated[
        bool,
        typer.Option("--maps-as-live", help="Maps by the live source's function: slow, for parity."),
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the report here.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write one page with pictures here.")] = None,
    decisions: Annotated[Path | None, typer.Option("--decisions", help="Write each decision here.")] = None,
    digest: Annotated[bool, typer.Option("--digest", help="Print the digest of the decisions.")] = False,
    check_lookahead: Annotated[
        bool, typer.Option("--check-lookahead", help="Cut the data at random moments and compare.")
    ] = False,
    walk_forward: Annotated[int, typer.Option(help="Parts of a walk-forward; with --tune.", min=0)] = 0,
    tune: Annotated[str, typer.Option(help="A setting and its values: entry_offset_pct=1,2,3.")] = "",
) -> None:
    """Play traders over past candles: the running system's decisions, the simulator's exchange."""
    from whalestack.backtest.command import DATABASE, Request, backtest_of

    settings = settings_of_process()
    request = Request(
        source=candles,
        begin_ms=moment_ms(begin),
        end_ms=moment_ms(end),
        agents=tuple(name.strip() for name in agents.split(",") if name.strip()),
        symbols=tuple(name.strip().upper() for name in symbols.split(",") if name.strip()),
        together=together,
        equity_usd=equity,
        seed=seed,
        recorded_interest=recorded_interest,
        maps_as_live=maps_as_live,
        check_lookahead=check_lookahead,
        walk_forward=walk_forward,
        tune=tune,
    )
    result = backtest_of(request, settings, _stored(request) if candles == DATABASE else None)
    _print(result.report)
    for line in result.notes:
        typer.echo(line)
    if digest:
        for agent in result.report.agents:
            typer.echo(f"{agent.outcome.decisions.digest()}  {agent.name}")
    if decisions is not None:
        decisions.write_text("".join(agent.outcome.decisions.text() for agent in result.report.agents))
    if json_file is not None:
        json_file.write_text(json.dumps(result.as_json(), indent=1, default=plain))
    if html is not None:
        from whalestack.backtest.page import page

        html.write_text(page(result.report, result.notes))


def _stored(request: Request) -> Candles:
    from whalestack.backtest.stored_candles import read_database

    with runtime_of_process().reading() as session:
        return read_database(session, request.symbols, request.begin_ms, request.end_ms)


def moment_ms(text: str | None) -> int | None:
    """Milliseconds of a moment; without a zone it is UTC."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise StopAndTell(f"{text!r} is no moment; write 2025-10-20 or 2025-10-20T06:00") from error
    return to_ms(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))


def _print(report: Report) -> None:
    from whalestack.backtest.report import figures_row

    typer.echo(report.headline)
    show([agent.row() for agent in report.agents], as_json=False, empty="no trader")
    typer.echo(f"buying and holding every coin: {report.buy_and_hold_pct:+.2f} %")
    for agent in report.agents if len(report.agents) == 1 else ():
        for name, groups in (("coin", agent.by_coin), ("month", agent.by_month), ("agent", agent.by_agent)):
            show([figures_row(name, key, each) for key, each in groups.items()], as_json=False, empty="")
        refused = ", ".join(f"{code} {count}" for code, count in agent.outcome.refusals.items())
        typer.echo(f"{agent.outcome.signals} signals; refused: {refused or 'none'}")
    repairs = ", ".join(f"{rule} {count}" for rule, count in report.repairs.items())
    typer.echo(f"repairs of the candles: {repairs or 'none was needed'}")
    for symbol, why in report.left_out.items():
        typer.echo(f"left out: {symbol}: {why}")
