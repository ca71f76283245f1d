"""The declarative base, the naming of constraints, and column types used everywhere."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar

from sqlalchemy import BigInteger, DateTime, Identity, Index, MetaData, Numeric, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}

BigId = Annotated[int, mapped_column(BigInteger, Identity(), primary_key=True)]
Json = Annotated[dict[str, Any], mapped_column(JSONB)]
Money = Annotated[Decimal, mapped_column(Numeric(38, 18))]


def block_index(table: str, column: str) -> Index:
    """An index on time for a table that only grows: a few pages, nearly free to keep.

    It makes "the last hour of all coins" and the retention on plain PostgreSQL cheap, where
    the primary key begins with the symbol; a hypertable skips whole chunks as well.
    """
    return Index(
        f"ix_{table}_{column}",
        column,
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 32, "autosummarize": "on"},
    )


class Base(DeclarativeBase):
    """Base of all tables. Every moment is market time in UTC unless its comment says real time."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: DateTime(timezone=True),
        Decimal: Numeric(38, 18),
        str: Text,
        dict[str, Any]: JSONB,
        list[Any]: JSONB,
    }
