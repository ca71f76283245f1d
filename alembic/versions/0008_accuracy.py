"""Hit rates beside chance, a table for each day."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

RATES = ("hit", "random", "mirror")
DIFFERENCES = ("over_random", "over_mirror")


def upgrade() -> None:
    figures = [name for each in RATES for name in (f"{each}_rate", f"{each}_low", f"{each}_high")] + [
        name for each in DIFFERENCES for name in (each, f"{each}_low", f"{each}_high")
    ]
    op.create_table(
        "accuracy_rows",
        sa.Column("computed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("group_name", sa.Text(), nullable=False, comment="all; major, large or small; or a symbol"),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=True, comment="of the coin; none for groups"),
        sa.Column(
            "source", sa.Text(), nullable=False, comment="where the maps came from: coinglass or model"
        ),
        sa.Column("clusters", sa.Integer(), nullable=False),
        sa.Column("votes", sa.Integer(), nullable=False, comment="a coin, side and horizon is one"),
        sa.Column("periods", sa.Integer(), nullable=False, comment="separate stretches of two horizons"),
        sa.Column(
            "observations",
            sa.Float(),
            nullable=False,
            comment="independent ones that the intervals rest on",
        ),
        sa.Column("distance_pct", sa.Float(), nullable=False, comment="median, to the centre"),
        *(sa.Column(name, sa.Float(), nullable=False) for name in figures),
        sa.Column(
            "verdict", sa.Text(), nullable=False, comment="beats chance, not shown, below chance, too few"
        ),
        sa.CheckConstraint("scope in ('all', 'kind', 'coin')", name=op.f("ck_accuracy_rows_scope")),
        sa.PrimaryKeyConstraint(
            "computed_at", "scope", "group_name", "timeframe", name=op.f("pk_accuracy_rows")
        ),
    )


def downgrade() -> None:
    op.drop_table("accuracy_rows")
