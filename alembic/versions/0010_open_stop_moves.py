"""An index of the moves of stops of which the outcome is not known.

Each look at a position asks for them first; without it the whole history of moves was read.
"""

from __future__ import annotations

from collections.abc import Sequence

from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

NAME, TABLE = "ix_position_monitor_logs_open", "position_monitor_logs"
WHERE = "status in ('intent', 'unknown')"


def upgrade() -> None:
    op.create_index(NAME, TABLE, ["symbol"], unique=False, postgresql_where=WHERE)


def downgrade() -> None:
    op.drop_index(NAME, table_name=TABLE, postgresql_where=WHERE)
