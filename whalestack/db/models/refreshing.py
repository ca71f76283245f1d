"""What a refresh has done so far, and which maps could not be had."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.orm import Mapped, mapped_column

from whalestack.db.models.base import Base


class RefreshBatch(Base):
    """One batch of a refresh that has reported: a message that comes twice is counted once.

    Rows of rounds that are over are deleted when the next round starts.
    """

    __tablename__ = "refresh_batches"

    round_id: Mapped[int] = mapped_column(
        ForeignKey("refresh_rounds.id", ondelete="CASCADE"), primary_key=True
    )
    batch: Mapped[str] = mapped_column(primary_key=True, comment="its number; + for each time it went on")
    reported_at: Mapped[datetime]
    ranges_refused: Mapped[list[str]] = mapped_column(
        ARRAY(TEXT), default=list, server_default="{}", comment="ranges the plan was said not to serve"
    )


class MapFailure(Base):
    """A map that could not be had at its latest try, however often it was tried since it last came."""

    __tablename__ = "map_failures"

    symbol: Mapped[str] = mapped_column(primary_key=True)
    timeframe: Mapped[str] = mapped_column(primary_key=True)
    failed_at: Mapped[datetime]
    failures: Mapped[int] = mapped_column(default=1, server_default="1", comment="in a row")
    problem: Mapped[str]
