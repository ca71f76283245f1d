"""What follows a hit, the interval of a coin's success rate, and its speed."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

CLUSTERS: dict[str, str | None] = {
    "came_back_pct": "how far price came back from its farthest point in the hour from the hit on"
}
PATTERNS: dict[str, str | None] = {
    "success_low": "of hits over observations: 95 % interval",
    "success_high": None,
    "speed_pct_per_h": "median over successes: distance over time to the target",
    "beyond_pct": "median run past the far edge after hits",
    "came_back_pct": "median way back after hits",
}
TABLES = {"liquidation_clusters": CLUSTERS, "coin_liquidation_patterns": PATTERNS}


def upgrade() -> None:
    for table, columns in TABLES.items():
        for name, comment in columns.items():
            op.add_column(table, sa.Column(name, sa.Float(), nullable=True, comment=comment))


def downgrade() -> None:
    for table, columns in TABLES.items():
        for name in reversed(columns):
            op.drop_column(table, name)
