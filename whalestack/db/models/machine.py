"""What the machine tells of itself: task runs, calls, agents' log, switches."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Identity, Index
from sqlalchemy.orm import Mapped, mapped_column

from whalestack.db.models.base import Base, BigId, block_index


class AgentLog(Base):
    """What an agent did and why, under its name."""

    __tablename__ = "agent_logs"
    __table_args__ = (Index("ix_agent_logs_created_at", "created_at"),)

    id: Mapped[BigId]
    agent_name: Mapped[str]
    action: Mapped[str]
    symbol: Mapped[str | None]
    details: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    created_at: Mapped[datetime]


class TaskRun(Base):
    """One run of one task, in real time."""

    __tablename__ = "task_runs"
    __table_args__ = (
        Index("ix_task_runs_task_started_at", "task", "started_at"),
        block_index("task_runs", "started_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    started_at: Mapped[datetime] = mapped_column(primary_key=True, comment="real time")
    task: Mapped[str]
    queue: Mapped[str]
    duration_ms: Mapped[float]
    status: Mapped[str] = mapped_column(comment="ok, failed, skipped_overlap, expired")
    error: Mapped[str | None]


class ApiUsage(Base):
    """Calls to one outside endpoint in one interval, and the age of what they brought."""

    __tablename__ = "api_usage"

    ts: Mapped[datetime] = mapped_column(primary_key=True)
    service: Mapped[str] = mapped_column(primary_key=True)
    endpoint: Mapped[str] = mapped_column(primary_key=True)
    calls: Mapped[int] = mapped_column(default=0, server_default="0")
    errors: Mapped[int] = mapped_column(default=0, server_default="0")
    rate_limited: Mapped[int] = mapped_column(default=0, server_default="0")
    limit_per_min: Mapped[int | None]
    details: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")


class Switch(Base):
    """A switch that people set, such as the kill switch; the row outlives Redis."""

    __tablename__ = "switches"

    name: Mapped[str] = mapped_column(primary_key=True)
    is_on: Mapped[bool]
    reason: Mapped[str]
    set_by: Mapped[str]
    set_at: Mapped[datetime]
