"""How the command line shows rows: a table for people, one JSON document for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum

from rich.console import Console
from rich.table import Table

Row = Mapping[str, object]
WIDE = 200
NAMES = frozenset({"symbol", "agent", "direction", "side", "status", "check", "result", "code"})


def show(rows: Sequence[Row], *, as_json: bool, empty: str) -> None:
    """Print rows that share their keys.

    Args:
        rows: one mapping a row; the keys are the headings.
        as_json: print a JSON list instead of a table.
        empty: what to tell people when there is no row.
    """
    console = Console()
    if not console.is_terminal:
        # Into a file or a pipe nothing is cut off.
        console = Console(width=WIDE)
    if as_json:
        console.out(json.dumps([dict(row) for row in rows], default=plain), highlight=False)
    elif not rows:
        console.print(empty)
    else:
        console.print(_table(rows))


def plain(value: object) -> object:
    """A value as JSON can carry it; decimals stay exact as text."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, Enum):
        return value.value
    return str(value)


def _table(rows: Sequence[Row]) -> Table:
    table = Table(box=None, header_style="bold")
    for heading in rows[0]:
        # A name that is cut off names nothing: on a narrow screen figures make room for it.
        width = max(len(_cell(row[heading])) for row in rows) if heading in NAMES else None
        table.add_column(
            heading.replace("_", " "), no_wrap=heading in NAMES, min_width=width, overflow="fold"
        )
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    return table


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return str(value)
