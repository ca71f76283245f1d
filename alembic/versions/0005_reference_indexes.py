"""An index under every foreign key: deleting a row looks for those that refer to it.

Without one, retention of clusters read all of `trade_plans` for each cluster it deleted.
"""

from __future__ import annotations

from collections.abc import Sequence

from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

INDEXES = (
    ("ix_trade_plans_cluster_id", "trade_plans", "cluster_id"),
    ("ix_trades_plan_id", "trades", "plan_id"),
    ("ix_orders_trade_id", "orders", "trade_id"),
)


def upgrade() -> None:
    for name, table, column in INDEXES:
        op.create_index(name, table, [column], unique=False)


def downgrade() -> None:
    for name, table, _column in reversed(INDEXES):
        op.drop_index(name, table_name=table)
