"""Switches that people and agents set, and the log of what agents did."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from whalestack.db.models import AgentLog, Switch


def locked_switch(session: Session, name: str, now: datetime) -> Switch:
    """One switch, locked until the transaction ends; made in the off position if it is not there."""
    session.execute(
        insert(Switch)
        .values(name=name, is_on=False, reason="", set_by="", set_at=now)
        .on_conflict_do_nothing(index_elements=["name"])
    )
    return session.scalars(
        select(Switch).where(Switch.name == name).with_for_update().execution_options(populate_existing=True)
    ).one()


def set_since(session: Session, name: str) -> datetime | None:
    """When a switch was last set, None where it never was."""
    return session.scalar(select(Switch.set_at).where(Switch.name == name))


def set_switch(session: Session, name: str, *, is_on: bool, reason: str, set_by: str, now: datetime) -> None:
    """Put a switch into a position, with who and why."""
    values = {"is_on": is_on, "reason": reason, "set_by": set_by, "set_at": now}
    session.execute(
        insert(Switch).values(name=name, **values).on_conflict_do_update(index_elements=["name"], set_=values)
    )


def log_action(
    session: Session,
    *,
    agent_name: str,
    action: str,
    now: datetime,
    symbol: str | None = None,
    details: dict[str, Any] | None = None,
) -> None:
    """Write what an agent did, and why, under its name."""
    session.add(
        AgentLog(
            agent_name=agent_name,
            action=action,
            symbol=symbol,
            details=details or {},
            created_at=now,
        )
    )


def logged_since(
    session: Session, action: str, symbol: str, since: datetime, trade_id: int
) -> Sequence[datetime]:
    """When an action about a trade was logged at or after `since`, oldest first."""
    return session.scalars(
        select(AgentLog.created_at)
        .where(
            AgentLog.created_at >= since,
            AgentLog.action == action,
            AgentLog.symbol == symbol,
            AgentLog.details["trade_id"].as_integer() == trade_id,
        )
        .order_by(AgentLog.created_at)
    ).all()
