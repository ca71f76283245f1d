"""Commands that run things: the demo, the whole system, single processes, the schema."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from whalestack.cli.base import AsJson, app, runtime_of_process, settings_of_process
from whalestack.cli.tables import show

db_app = typer.Typer(no_args_is_help=True, help="The database schema.")
app.add_typer(db_app, name="db")


@app.command()
def demo(
    market: Annotated[
        str, typer.Option(help="synthetic, recorded:FOLDER (candle files), archive:FOLDER.")
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
def up(
    only: Annotated[
        list[str] | None,
        typer.Option(help="Of this name alone, on a further host: worker-heatmap. Repeatable."),
    ] = None,
) -> None:
    """Run beat, streams, a worker for each queue and Flower against the services named in .env."""
    from whalestack.supervisor.up import run_up

    raise typer.Exit(run_up(settings_of_process(), only or ()))


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check each key, endpoint, database, Redis and the clock: ok, or what to do."""
    from whalestack.doctor import examine

    findings = examine(runtime_of_process())
    rows = [{"check": f.check, "result": "ok" if f.ok else "NOT OK", "says": f.says} for f in findings]
    show(rows, as_json=as_json, empty="nothing to check")
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


@app.command()
def simulator(
    market: Annotated[
        str | None, typer.Option(help="synthetic, recorded:FOLDER, archive:FOLDER or mirror:URL.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535)] = None,
) -> None:
    """Run the local stand-in for CoinGlass, Bybit, Telegram and X."""
    from whalestack.simulator.server import run
    from whalestack.supervisor.parent import end_with_parent

    settings = settings_of_process()
    end_with_parent(settings.supervisor_pid)
    chosen = settings.model_copy(update={"simulator_market": market} if market else {})
    run(chosen, "127.0.0.1", port or settings.simulator_port)


@app.command()
def streams() -> None:
    """Run the process that listens to the exchange's streams."""
    from whalestack.supervisor.parent import end_with_parent

    end_with_parent(settings_of_process().supervisor_pid)
    runtime_of_process().streams_process().run()


@db_app.command("upgrade")
def db_upgrade() -> None:
    """Bring the schema to the newest version."""
    from whalestack.db.migrations import upgrade

    upgrade(settings_of_process().database_url.get_secret_value())
    # In Docker this runs before every worker: none may trade on what was compared before the start.
    runtime_of_process().reconciler.require("the system has just started")
    typer.echo("the schema is current")
