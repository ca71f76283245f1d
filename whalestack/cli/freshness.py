"""How old the maps are."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from whalestack.cli.base import AsJson, app, runtime_of_process
from whalestack.cli.tables import Row, plain, show
from whalestack.scanners.freshness import Freshness, MapFreshness

WORST_SHOWN = 10


@app.command()
def freshness(
    symbol: Annotated[str | None, typer.Option(help="Every map of one coin, such as SOLUSDT.")] = None,
    as_json: AsJson = False,
) -> None:
    """How old every map is, and which are older than they should be. Exit code 0: none is."""
    runtime = runtime_of_process()
    found = runtime.freshness_scanner.measure(runtime.heatmap_scanner.calls_per_min)
    if symbol is not None:
        maps = [each for each in found.all_maps if each.symbol == symbol.upper()]
        show([_row(each) for each in maps], as_json=as_json, empty=f"{symbol.upper()} is not followed")
        raise typer.Exit(1 if any(each.is_late for each in maps) or not maps else 0)
    late = [each for each in found.all_maps if each.is_late]
    if as_json:
        document = asdict(found) | {"all_maps": len(found.all_maps), "late": [_row(each) for each in late]}
        typer.echo(json.dumps(document, default=plain))
    else:
        _show(found, late)
    raise typer.Exit(1 if late or not found.all_maps else 0)


def _show(found: Freshness, late: list[MapFreshness]) -> None:
    typer.echo(_plan(found))
    show([asdict(each) for each in found.ranges], as_json=False, empty="no coin is followed yet")
    worst = [each for each in found.all_maps if each.is_late or each.failures][:WORST_SHOWN]
    if worst:
        typer.echo(f"\n{len(late)} maps are older than they should be or were never fetched; the worst:")
        show([_row(each) for each in worst], as_json=False, empty="")


def _plan(found: Freshness) -> str:
    share = "all" if found.calls_per_round >= found.maps else f"{found.calls_per_round}"
    text = (
        f"{found.calls_per_min} calls a minute: a round fetches {share} of {found.maps} maps,"
        f" none should be older than {found.bound_s:.0f} s."
    )
    if found.ranges_refused:
        text += f" The last round was refused these ranges by the plan: {', '.join(found.ranges_refused)}."
    return text


def _row(each: MapFreshness) -> Row:
    return {
        "symbol": each.symbol,
        "timeframe": each.timeframe,
        "age_s": None if each.age_s is None else round(each.age_s, 1),
        "late": each.is_late,
        "failures": each.failures,
        "problem": each.problem,
    }
