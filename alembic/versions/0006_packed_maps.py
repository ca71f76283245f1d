"""Heat maps in three bytes a number, and a row only where a map has changed.

Maps that are stored already are rewritten, some 2,500 in a second, on TimescaleDB after
decompression: stop the system and let it run. Nothing is lost but digits beyond the fifth.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import context, op

from whalestack.db import timescale

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TABLE = "liquidation_snapshots"

# The format of whalestack/db/packed.py: three planes of bytes, a float of 7 + 17 bits, 0 is zero.
MAP_LEVELS = """
create function map_levels(prices bytea, "values" bytea)
returns table (price double precision, value double precision)
language sql immutable parallel safe as $$
    select case code.price when 0 then 0
               else power(2::float8, (code.price >> 17) - 63) * (1 + (code.price & 131071) / 131072::float8)
           end,
           case code.value when 0 then 0
               else power(2::float8, (code.value >> 17) - 63) * (1 + (code.value & 131071) / 131072::float8)
           end
    from (
        select (get_byte(prices, i) << 16) | (get_byte(prices, n + i) << 8)
                   | get_byte(prices, 2 * n + i) as price,
               (get_byte("values", i) << 16) | (get_byte("values", n + i) << 8)
                   | get_byte("values", 2 * n + i) as value
        from (select octet_length(prices) / 3 as n) as size, generate_series(0, n - 1) as i
        offset 0
    ) as code
$$
"""

RAW_VIEW = """
create view liquidation_data_raw as
select s.symbol,
       s.timeframe,
       level.price,
       level.value as leverage,
       case when level.price > s.price then 'short' else 'long' end as side,
       s.fetched_at
from liquidation_snapshots s
cross join lateral map_levels(s.prices, s.values) as level (price, value)
"""

# What stands now, whenever it was stored. The limit keeps a join from reading all history.
NOW_VIEW = """
create view liquidation_data_now as
select head.symbol,
       head.timeframe,
       level.price,
       level.value as leverage,
       case when level.price > head.price then 'short' else 'long' end as side,
       head.fetched_at
from map_heads head
cross join lateral (
    select prices, values from liquidation_snapshots
    where symbol = head.symbol and timeframe = head.timeframe and fetched_at = head.snapshot_at
    limit 1
) as s
cross join lateral map_levels(s.prices, s.values) as level (price, value)
"""

SPANS_VIEW = """
create view liquidation_map_spans as
select s.symbol,
       s.timeframe,
       s.fetched_at as stood_from,
       coalesce(
           lead(s.previous_seen_at) over later,
           case when s.fetched_at = head.snapshot_at then head.fetched_at end,
           s.fetched_at
       ) as seen_until,
       s.price,
       s.source
from liquidation_snapshots s
left join map_heads head on head.symbol = s.symbol and head.timeframe = s.timeframe
window later as (partition by s.symbol, s.timeframe order by s.fetched_at)
"""

SEED_HEADS = """
insert into map_heads (symbol, timeframe, fetched_at, snapshot_at, map_time, price, digest)
select distinct on (symbol, timeframe) symbol, timeframe, fetched_at, fetched_at, map_time, price, ''
from liquidation_snapshots
order by symbol, timeframe, fetched_at desc
"""

OLD_RAW_VIEW = """
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

PACK_REALS = """
create function pack_reals(numbers real[]) returns bytea language sql immutable parallel safe as $$
    select coalesce(
        string_agg(set_byte('\\x00', 0, code >> 16), '' order by place)
        || string_agg(set_byte('\\x00', 0, (code >> 8) & 255), '' order by place)
        || string_agg(set_byte('\\x00', 0, code & 255), '' order by place),
        ''
    )
    from (
        select place,
               -- The float's own bits, rounded to the nearest of 17, its exponent counted from -63.
               case when number < 2::float8 ^ -62 then 0 else greatest(0, least(16777215,
                   ((('x' || encode(float4send(number), 'hex'))::bit(32)::int + 32) >> 6) - 8388608
               )) end as code
        from unnest(numbers) with ordinality as each (number, place)
    ) as codes
$$
"""

UNPACK_REALS = """
create function unpack_reals(packed bytea) returns real[] language sql immutable parallel safe as $$
    select coalesce(array_agg(price::real), '{}') from map_levels(packed, packed)
$$
"""


def upgrade() -> None:
    with_compression = _decompressed()
    op.execute("set local statement_timeout = 0")
    op.create_table(
        "map_heads",
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column(
            "fetched_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="of the last fetch that showed it",
        ),
        sa.Column(
            "snapshot_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="`fetched_at` of its row in liquidation_snapshots",
        ),
        sa.Column(
            "map_time",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the source computed it last",
        ),
        sa.Column("price", sa.Double(), nullable=False, comment="the coin's price at the last fetch"),
        sa.Column(
            "digest",
            sa.Text(),
            nullable=False,
            comment="of levels, values and source; equal ones are the same map",
        ),
        sa.PrimaryKeyConstraint("symbol", "timeframe", name=op.f("pk_map_heads")),
    )
    # Rewritten at every fetch: room in its page lets that happen without touching the index.
    op.execute("alter table map_heads set (fillfactor = 50)")
    # Every cluster that stands is seen again at every fetch: without room, four indexes grow with each.
    op.execute("alter table liquidation_clusters set (fillfactor = 70)")
    op.execute("drop view liquidation_data_raw")
    op.execute(MAP_LEVELS)
    op.execute(PACK_REALS)
    op.execute(
        f"alter table {TABLE} alter column prices type bytea using pack_reals(prices),"
        f' alter column "values" type bytea using pack_reals("values")'
    )
    op.execute("drop function pack_reals(real[])")
    op.drop_column(TABLE, "digest")
    op.add_column(
        TABLE,
        sa.Column(
            "previous_seen_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the row before this one was last seen; nothing is known of the time between",
        ),
    )
    op.execute(SEED_HEADS)
    for view in (RAW_VIEW, NOW_VIEW, SPANS_VIEW):
        op.execute(view)
    _recompress(with_compression)


def downgrade() -> None:
    with_compression = _decompressed()
    op.execute("set local statement_timeout = 0")
    for view in ("liquidation_map_spans", "liquidation_data_now", "liquidation_data_raw"):
        op.execute(f"drop view {view}")
    op.execute(UNPACK_REALS)
    op.drop_column(TABLE, "previous_seen_at")
    op.execute(
        f"alter table {TABLE} alter column prices type real[] using unpack_reals(prices),"
        f' alter column "values" type real[] using unpack_reals("values")'
    )
    op.add_column(
        TABLE,
        sa.Column(
            "digest",
            sa.Text(),
            nullable=True,
            comment="of prices and values; equal digests are the same map",
        ),
    )
    op.execute("drop function unpack_reals(bytea)")
    op.execute("drop function map_levels(bytea, bytea)")
    op.execute(OLD_RAW_VIEW)
    op.drop_table("map_heads")
    op.execute("alter table liquidation_clusters reset (fillfactor)")
    _recompress(with_compression)


def _decompressed() -> bool:
    """Make the table one whose columns may change; whether it is one to compress again.

    In transactions of their own: see `whalestack.db.timescale`.
    """
    if context.is_offline_mode():
        return False
    with op.get_context().autocommit_block():
        connection = op.get_bind()
        if TABLE not in timescale.hypertables(connection) or not timescale.has_policies(connection):
            return False
        connection.execute(sa.text("set statement_timeout = 0"))
        timescale.end_compression(connection, TABLE)
        return True


def _recompress(with_compression: bool) -> None:
    if with_compression:
        (table,) = (each for each in timescale.TIME_TABLES if each.name == TABLE)
        timescale.set_chunk_interval(op.get_bind(), table)
        timescale.set_compression(op.get_bind(), table)
