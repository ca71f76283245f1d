"""The command line. Exit codes: 0 done, 1 the work failed, 2 bad settings or arguments."""

from __future__ import annotations

import sys

import typer

# Importing a module of commands puts them into the application.
from whalestack.cli import accuracy, freshness, market, parity, research, running, trading, universe
from whalestack.cli.base import app
from whalestack.errors import StopAndTell, WhalestackError

__all__ = [
    "accuracy",
    "app",
    "freshness",
    "main",
    "market",
    "parity",
    "research",
    "running",
    "trading",
    "universe",
]


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
