"""The outbox: every message to every channel, written with what it tells."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, LargeBinary, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from whalestack.db.models.base import Base, BigId


class OutboxMessage(Base):
    """One message for one channel, unique for what it tells (`event_key`) and the channel.

    status: due, claimed (nothing has left yet), sending (it may arrive, not yet answered), sent,
    failed (refused for good), unknown (sent, no answer: the channel is asked for it, see
    `whalestack.agents.doubts`), dropped (too old to be worth sending).
    """

    __tablename__ = "outbox"
    __table_args__ = (
        UniqueConstraint("event_key", "channel"),
        Index("ix_outbox_due", "due_at", postgresql_where="status in ('due', 'sending')"),
        Index("ix_outbox_in_doubt", "channel", postgresql_where="status = 'unknown'"),
    )

    id: Mapped[BigId]
    event_key: Mapped[str]
    kind: Mapped[str]
    channel: Mapped[str]
    agent_name: Mapped[str]
    scanner: Mapped[str]
    symbol: Mapped[str | None]
    text: Mapped[str]
    image: Mapped[bytes | None] = mapped_column(LargeBinary)
    status: Mapped[str] = mapped_column(default="due", server_default="due")
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    asked: Mapped[int] = mapped_column(
        default=0, server_default="0", comment="how often the channel could not say whether it arrived"
    )
    due_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    claimed_at: Mapped[datetime | None] = mapped_column(comment="real time")
    held_until: Mapped[datetime | None] = mapped_column(
        comment="the channel asked that nothing be sent to it before this"
    )
    sent_at: Mapped[datetime | None]
    external_id: Mapped[str | None]
    error: Mapped[str | None]
    created_at: Mapped[datetime]
