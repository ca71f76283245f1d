"""`whalestack parity`: the running system against the backtest."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from whalestack.cli.base import AsJson, app
from whalestack.cli.research import moment_ms
from whalestack.errors import StopAndTell
from whalestack.logs import configure_logging

if TYPE_CHECKING:
    from whalestack.parity.compare import Comparison


@app.command()
def parity(
    candles: Annotated[Path, typer.Option("--candles", help="A folder of candle files.")],
    begin: Annotated[str, typer.Option("--from", help="Where trading begins, UTC, a whole refresh.")],
    end: Annotated[str, typer.Option("--to", help="Where it ends, UTC.")],
    symbols: Annotated[str, typer.Option(help="Which coins, separated by commas; a few.")],
    agents: Annotated[str, typer.Option(help="Strategies, separated by commas.")] = "conservative",
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of both sides, NAME=value; may be repeated.")
    ] = None,
    run_dir: Annotated[
        Path | None, typer.Option(help="Where the stores and logs are kept; an empty or new folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Play a stretch through the whole running system and through the backtest, and compare.

    Exit code 0 only where both decided the same.
    """
    from whalestack.parity.compare import Stretch, compare

    # What hundreds of market minutes have to tell would bury the answer.
    configure_logging("ERROR")
    stretch = Stretch(
        folder=candles,
        symbols=_names(symbols.upper()),
        begin_ms=moment_ms(begin) or 0,
        end_ms=moment_ms(end) or 0,
        agents=_names(agents.lower()),
        values=tuple(_value(each) for each in setting or ()),
    )
    if run_dir is not None:
        found = compare(stretch, run_dir)
    else:
        with TemporaryDirectory(prefix="whalestack-parity-") as folder:
            # Started by root, the servers run under another account.
            Path(folder).chmod(0o755)
            found = compare(stretch, Path(folder) / "run")
    typer.echo(json.dumps(found.as_json(), indent=1) if as_json else _told(found), nl=not as_json)
    raise typer.Exit(0 if found.is_equal else 1)


def _told(found: Comparison) -> str:
    from whalestack.parity.compare import shared_lines

    lines = [
        f"running system  {found.system.digest()}  {len(found.system.lines)} lines",
        f"backtest        {found.backtest.digest()}  {len(found.backtest.lines)} lines",
        f"{found.equal_lines} lines are equal",
        *(
            f"{name}: {shared_lines(found.system, other.decisions)} of the running system's lines, "
            f"{_percent(other.clusters_shared_pct)} of its clusters"
            for name, other in (("with its own maps", found.own_maps), ("with --maps-as-live", found.as_live))
        ),
        *(
            f"  {each.timeframe}: {each.equal} of {each.maps} maps are equal, {each.alike_pct:.2f} % alike"
            for each in found.ranges
        ),
        *(f"a task failed: {each}" for each in found.failed),
    ]
    for system, backtest in found.differences():
        lines += [f"running system: {system or 'nothing'}", f"      backtest: {backtest or 'nothing'}"]
    return "".join(f"{line}\n" for line in lines)


def _percent(value: float | None) -> str:
    return "none" if value is None else f"{value:.0f} %"


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _value(text: str) -> tuple[str, str]:
    name, is_there, value = text.partition("=")
    if not is_there:
        raise StopAndTell(f"{text!r} is no setting; write NAME=value")
    return name.strip().upper(), value.strip()
