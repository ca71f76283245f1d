"""How often the channel was asked about a message that nobody saw answered."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column(
        "outbox",
        sa.Column(
            "asked",
            sa.Integer(),
            nullable=False,
            server_default="0",
            comment="how often the channel could not say whether it arrived",
        ),
    )
    op.create_index("ix_outbox_in_doubt", "outbox", ["channel"], postgresql_where="status = 'unknown'")


def downgrade() -> None:
    op.drop_index("ix_outbox_in_doubt", table_name="outbox", postgresql_where="status = 'unknown'")
    op.drop_column("outbox", "asked")
