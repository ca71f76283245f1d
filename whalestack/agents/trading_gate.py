"""Trading waits until the reconciler has compared both sides, and stops when it falls silent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from whalestack.db import agent_store
from whalestack.db.models import Switch

GATE = "reconciled"


@dataclass(frozen=True)
class GateState:
    """Whether the last reconciliation passed, when, and what is wrong otherwise."""

    is_open: bool
    reason: str
    passed_at: datetime | None

    def obstacle(self, now: datetime, max_age: timedelta) -> str | None:
        """Why nothing may be opened now, None if it may."""
        if not self.is_open or self.passed_at is None:
            return self.reason or "both sides have not been compared since the start"
        age = now - self.passed_at
        if age > max_age:
            return f"both sides were last compared {age.total_seconds():.0f} s ago"
        return None


def read_gate(session: Session) -> GateState:
    """The gate as it stands; shut where it was never opened."""
    return gate_of(session.get(Switch, GATE))


def gate_of(row: Switch | None) -> GateState:
    """The gate from its row, where there is one."""
    if row is None:
        return GateState(False, "", None)
    return GateState(row.is_on, row.reason, row.set_at)


def open_gate(session: Session, now: datetime) -> None:
    """Both sides have been compared at `now` and agree, or what differs was dealt with."""
    agent_store.set_switch(session, GATE, is_on=True, reason="", set_by="reconciler", now=now)


def shut_gate(session: Session, reason: str, now: datetime) -> None:
    """Open nothing until the next comparison passes."""
    agent_store.set_switch(session, GATE, is_on=False, reason=reason, set_by="reconciler", now=now)
