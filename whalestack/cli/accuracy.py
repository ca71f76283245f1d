"""The command that says whether clusters are hit more often than chance."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from whalestack.cli.accuracy_picture import hit_rates_svg, told
from whalestack.cli.base import AsJson, app, runtime_of_process, settings_of_process
from whalestack.cli.tables import Row, plain, show
from whalestack.db.accuracy_store import latest_table
from whalestack.errors import StopAndTell
from whalestack.math.accuracy_table import AccuracyRow
from whalestack.math.chance import Difference, Share
from whalestack.math.leverage_tiers import model_assumptions

NO_TABLE = (
    "no table yet: it is made once a day from clusters whose horizon has passed; --now makes one at once,"
    " --candles FOLDER measures candle files"
)


@app.command()
def accuracy(
    candles: Annotated[
        Path | None,
        typer.Option(
            help="Measure the model's maps over the candle files of a folder; no database is needed."
        ),
    ] = None,
    now: Annotated[bool, typer.Option("--now", help="Make today's table at once.")] = False,
    coins: Annotated[bool, typer.Option("--coins", help="A line for each coin as well.")] = False,
    picture: Annotated[Path | None, typer.Option(help="Draw the table into this SVG file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Are clusters hit more often than chance? By range and kind of coin, with 95 % intervals."""
    if picture is not None and picture.suffix.lower() != ".svg":
        raise StopAndTell(f"{picture}: pictures are SVG files")
    tables = _measured(candles, coins) if candles is not None else _stored(now)
    shown = {title: _wanted(rows, coins) for title, rows in tables.items()}
    if as_json:
        document = {title: [_row(row) for row in rows] for title, rows in shown.items()}
        Console().out(json.dumps(document, default=plain), highlight=False)
    else:
        if any(shown.values()):
            typer.echo(told([row for rows in shown.values() for row in rows]))
        for title, rows in shown.items():
            typer.echo(f"\n{title}" if rows else f"\n{title}: no range can be judged")
            if rows:
                show([_line(row) for row in rows], as_json=False, empty=NO_TABLE)
        if not shown:
            typer.echo(NO_TABLE)
    if picture is not None:
        picture.write_text(hit_rates_svg({title: rows for title, rows in shown.items() if rows}))


def _measured(folder: Path, coins: bool) -> dict[str, Sequence[AccuracyRow]]:
    from whalestack.backtest.candles import read_folder
    from whalestack.backtest.hit_rates import hit_rates
    from whalestack.simulator.market.instruments import read_recorded

    settings = settings_of_process()
    candles = read_folder(folder)
    found = hit_rates(
        candles,
        majors=frozenset(f"{coin}USDT" for coin in settings.majors),
        large_share_pct=settings.large_coin_share_pct,
        min_observations=settings.accuracy_min_observations,
        assumptions=model_assumptions(
            settings.model_leverages,
            churn_pct=settings.model_churn_pct,
            turnover_pct_without_oi=settings.model_turnover_pct_without_oi,
        ),
        max_leverage={
            symbol: float(row["leverageFilter"]["maxLeverage"])
            for symbol, row in read_recorded(folder.parent / "bybit_instruments").items()
        },
        coins=coins,
    )
    return {
        f"{each.coins} coins, {_length(each.bar_s)} candles, open interest of {each.with_interest}": each.rows
        for each in found
    }


def _stored(now: bool) -> dict[str, Sequence[AccuracyRow]]:
    runtime = runtime_of_process()
    if now:
        runtime.accuracy_scanner.scan()
    with runtime.reading() as session:
        table = latest_table(session)
    return {} if table is None else {f"made {table[0]:%Y-%m-%d %H:%M} UTC": table[1]}


def _wanted(rows: Sequence[AccuracyRow], coins: bool) -> list[AccuracyRow]:
    return [row for row in rows if coins or row.scope != "coin"]


def _length(bar_s: int) -> str:
    for unit_s, name in ((86_400, "d"), (3600, "h"), (60, "m")):
        if bar_s % unit_s == 0:
            return f"{bar_s // unit_s}{name}"
    return f"{bar_s}s"


def _line(row: AccuracyRow) -> Row:
    """One line for people, in per cent."""
    return {
        "range": row.timeframe,
        "coins": row.group,
        "clusters": row.clusters,
        "votes": row.votes,
        "independent": round(row.hit.n),
        "away %": round(row.distance_pct, 1),
        "hit %": _share(row.hit),
        "random %": _share(row.random),
        "mirror %": _share(row.mirror),
        "over random": _difference(row.over_random),
        "over mirror": _difference(row.over_mirror),
        "verdict": row.verdict,
    }


def _share(share: Share) -> str:
    return f"{share.rate * 100:.1f} ({share.low * 100:.0f}-{share.high * 100:.0f})"


def _difference(difference: Difference) -> str:
    return f"{difference.value * 100:+.1f} ({difference.low * 100:+.1f} to {difference.high * 100:+.1f})"


def _row(row: AccuracyRow) -> Row:
    """One row for programs, shares 0 to 1."""
    return asdict(row) | {"lower_bound": row.lower_bound}
