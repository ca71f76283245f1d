"""Batches of a refresh that have reported, and maps that could not be had."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "refresh_batches",
        sa.Column("round_id", sa.BigInteger(), nullable=False),
        sa.Column("batch", sa.Text(), nullable=False, comment="its number; + for each time it went on"),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "ranges_refused",
            postgresql.ARRAY(sa.TEXT()),
            server_default="{}",
            nullable=False,
            comment="ranges the plan was said not to serve",
        ),
        sa.ForeignKeyConstraint(
            ["round_id"],
            ["refresh_rounds.id"],
            name=op.f("fk_refresh_batches_round_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("round_id", "batch", name=op.f("pk_refresh_batches")),
    )
    op.create_table(
        "map_failures",
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("failures", sa.Integer(), server_default="1", nullable=False, comment="in a row"),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("symbol", "timeframe", name=op.f("pk_map_failures")),
    )


def downgrade() -> None:
    op.drop_table("map_failures")
    op.drop_table("refresh_batches")
