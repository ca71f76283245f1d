"""Maps that could not be had: since when, how often in a row, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from whalestack.db.models import MapFailure as Row

MapKey = tuple[str, str]
"""Bybit symbol and range."""

_WRITE = text(
    """
    insert into map_failures as known (symbol, timeframe, failed_at, problem)
    select symbol, timeframe, :now, problem
    from unnest(cast(:symbols as text[]), cast(:timeframes as text[]), cast(:problems as text[]))
        as incoming(symbol, timeframe, problem)
    order by symbol, timeframe
    on conflict (symbol, timeframe) do update
        set failed_at = excluded.failed_at, problem = excluded.problem, failures = known.failures + 1
    """
)

_FORGET = text(
    """
    delete from map_failures using unnest(cast(:symbols as text[]), cast(:timeframes as text[]))
        as came(symbol, timeframe)
    where map_failures.symbol = came.symbol and map_failures.timeframe = came.timeframe
    """
)

_FORGET_UNFOLLOWED = text(
    """
    delete from map_failures where not exists (
        select from coins where coins.symbol = map_failures.symbol and coins.skipped_reason is null)
    """
)


@dataclass(frozen=True)
class MapFailure:
    """Why a map is missing or old.

    Args:
        failed_at: market time of the latest try.
        failures: in a row.
        problem: what was wrong, in words.
    """

    failed_at: datetime
    failures: int
    problem: str


def map_failures(session: Session) -> dict[MapKey, MapFailure]:
    """Every map whose latest try failed."""
    rows = session.execute(select(Row.symbol, Row.timeframe, Row.failed_at, Row.failures, Row.problem))
    return {
        (symbol, timeframe): MapFailure(failed_at, failures, problem)
        for symbol, timeframe, failed_at, failures, problem in rows
    }


def note_failures(
    session: Session, problems: Mapping[MapKey, str], came: Iterable[MapKey], now: datetime
) -> None:
    """Write down which maps could not be had, and forget the failures of those that came."""
    keys: Sequence[MapKey] = list(came)
    if keys:
        session.execute(_FORGET, _columns(keys))
    if problems:
        session.execute(_WRITE, {**_columns(list(problems)), "problems": list(problems.values()), "now": now})


def forget_unfollowed(session: Session) -> None:
    """Failures of coins that are not followed any more say nothing."""
    session.execute(_FORGET_UNFOLLOWED)


def _columns(keys: Sequence[MapKey]) -> dict[str, object]:
    return {"symbols": [symbol for symbol, _ in keys], "timeframes": [timeframe for _, timeframe in keys]}
