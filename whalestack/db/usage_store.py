"""Calls to outside systems, summed by the minute, and how old what they brought was then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from whalestack.db.models import ApiUsage


class CallCounts(Protocol):
    """Calls to one endpoint since they were last written."""

    @property
    def endpoint(self) -> str: ...

    @property
    def calls(self) -> int: ...

    @property
    def errors(self) -> int: ...

    @property
    def rate_limited(self) -> int: ...

    @property
    def limit_per_min(self) -> int | None: ...


def add_usage(session: Session, service: str, counts: Sequence[CallCounts], now: datetime) -> None:
    """Add counts to the rows of the minute of `now` (market time)."""
    if not counts:
        return
    minute = now.replace(second=0, microsecond=0)
    rows = [
        {
            "ts": minute,
            "service": service,
            "endpoint": each.endpoint,
            "calls": each.calls,
            "errors": each.errors,
            "rate_limited": each.rate_limited,
            "limit_per_min": each.limit_per_min,
        }
        # In one order everywhere: two workers that add the same rows must not cross.
        for each in sorted(counts, key=lambda each: each.endpoint)
    ]
    statement = insert(ApiUsage).values(rows)
    total = {
        name: ApiUsage.__table__.c[name] + statement.excluded[name]
        for name in ("calls", "errors", "rate_limited")
    }
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["ts", "service", "endpoint"],
            set_={**total, "limit_per_min": statement.excluded.limit_per_min},
        )
    )


def write_details(
    session: Session, service: str, details: Mapping[str, Mapping[str, Any]], now: datetime
) -> None:
    """Set the details of the rows of the minute of `now` (market time), by endpoint."""
    if not details:
        return
    minute = now.replace(second=0, microsecond=0)
    rows = [
        {"ts": minute, "service": service, "endpoint": endpoint, "details": dict(details[endpoint])}
        for endpoint in sorted(details)
    ]
    statement = insert(ApiUsage).values(rows)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["ts", "service", "endpoint"], set_={"details": statement.excluded.details}
        )
    )
