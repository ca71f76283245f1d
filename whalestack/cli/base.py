"""What every command shares: the application, its common options, the process's parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer
from sqlalchemy import Select

from whalestack.cli.tables import Row
from whalestack.config import Settings, get_settings
from whalestack.logs import configure_logging
from whalestack.runtime import Runtime, get_runtime

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Liquidation heat maps in, protected trades out."
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many rows.")]


def settings_of_process() -> Settings:
    """The settings, with logging set up by them."""
    settings = get_settings()
    configure_logging(settings.log_level, settings.log_format)
    return settings


def runtime_of_process() -> Runtime:
    """The services of this process, with logging set up."""
    settings_of_process()
    return get_runtime()


def read_rows(query: Select[Any], row: Callable[[Any], Row]) -> list[Row]:
    """What the query finds, each as the row that is shown."""
    with runtime_of_process().reading() as session:
        return [row(found) for found in session.scalars(query)]
