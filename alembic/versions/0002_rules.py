"""What tables alone cannot say: the moves an order may make, and heat maps level by level."""

from __future__ import annotations

from collections.abc import Sequence

from alembic import op

from whalestack.db.order_states import create_guard_sql, drop_guard_sql

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# A row for each level is what people query; a stored row for each would be about a million
# rows every five minutes.
RAW_VIEW = """
create view liquidation_data_raw as
select s.symbol,
       s.timeframe,
       level.price::double precision as price,
       level.value::double precision as leverage,
       case when level.price > s.price then 'short' else 'long' end as side,
       s.fetched_at
from liquidation_snapshots s
cross join lateral unnest(s.prices, s.values) as level (price, value)
"""


def upgrade() -> None:
    for statement in create_guard_sql():
        op.execute(statement)
    op.execute(RAW_VIEW)


def downgrade() -> None:
    op.execute("drop view liquidation_data_raw")
    for statement in drop_guard_sql():
        op.execute(statement)
