"""How often clusters are hit, beside chance: a table for each day."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from whalestack.db.models.base import Base


class AccuracyRecord(Base):
    """One line of one day's table; see `whalestack.math.accuracy_table`.

    Rates and bounds are shares, 0 to 1, with 95 % intervals; differences -1 to 1.
    """

    __tablename__ = "accuracy_rows"
    __table_args__ = (CheckConstraint("scope in ('all', 'kind', 'coin')", name="scope"),)

    computed_at: Mapped[datetime] = mapped_column(primary_key=True)
    scope: Mapped[str] = mapped_column(primary_key=True)
    group_name: Mapped[str] = mapped_column(
        primary_key=True, comment="all; major, large or small; or a symbol"
    )
    timeframe: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str | None] = mapped_column(comment="of the coin; none for groups")
    source: Mapped[str] = mapped_column(comment="where the maps came from: coinglass or model")
    clusters: Mapped[int]
    votes: Mapped[int] = mapped_column(comment="a coin, side and horizon is one")
    periods: Mapped[int] = mapped_column(comment="separate stretches of two horizons")
    observations: Mapped[float] = mapped_column(comment="independent ones that the intervals rest on")
    distance_pct: Mapped[float] = mapped_column(comment="median, to the centre")
    hit_rate: Mapped[float]
    hit_low: Mapped[float]
    hit_high: Mapped[float]
    random_rate: Mapped[float]
    random_low: Mapped[float]
    random_high: Mapped[float]
    mirror_rate: Mapped[float]
    mirror_low: Mapped[float]
    mirror_high: Mapped[float]
    over_random: Mapped[float]
    over_random_low: Mapped[float]
    over_random_high: Mapped[float]
    over_mirror: Mapped[float]
    over_mirror_low: Mapped[float]
    over_mirror_high: Mapped[float]
    verdict: Mapped[str] = mapped_column(comment="beats chance, not shown, below chance, too few")
