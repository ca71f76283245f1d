"""What a decision wants to know of one coin, in one statement.

A decision is on its way to an order: eight queries through the ORM took more of its time than
anything else. The models here are values; no session knows them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import DateTime, text

from whalestack.db.accuracy_store import as_accuracy_row
from whalestack.db.engine import Database
from whalestack.db.models import (
    AccuracyRecord,
    Base,
    Coin,
    CoinLiquidationPattern,
    CoinThreshold,
    LiquidationCluster,
)
from whalestack.math.accuracy_table import ALL, AccuracyRow
from whalestack.math.timeframes import TIMEFRAMES

Model = TypeVar("Model", bound=Base)


@dataclass(frozen=True)
class CoinInputs:
    """One coin as the database knows it.

    Args:
        coin: the instrument, None where the symbol is unknown.
        threshold: what is large for the coin, None while nothing was learnt.
        record: its record on each range that has one.
        map_times: when the latest map of each range was fetched; too old ones are left out.
        clusters: undecided ones that still stood in the latest map of their range, by id.
        has_clusters: whether anything was ever found for the coin, so that it can have a record.
        accuracy: the newest table's rows that say something of the coin.
    """

    coin: Coin | None = None
    threshold: CoinThreshold | None = None
    record: Mapping[str, CoinLiquidationPattern] = field(default_factory=dict)
    map_times: Mapping[str, datetime] = field(default_factory=dict)
    clusters: Sequence[LiquidationCluster] = ()
    has_clusters: bool = False
    accuracy: Sequence[AccuracyRow] = ()


_COIN_NAMES = tuple(column.name for column in Coin.__table__.columns)
# The newest accuracy rows of the coin, of the kind it had when the table was made, and of everyone.
_ALL = text(
    f"""
    with maps as (
        select timeframe, fetched_at from map_heads
        where symbol = :symbol and timeframe = any(:timeframes) and fetched_at > :maps_since
    ), newest as (
        select max(computed_at) as computed_at from accuracy_rows
    ), own as (
        select accuracy_rows.* from accuracy_rows join newest using (computed_at)
        where scope = 'coin' and group_name = :symbol
    ), accuracy as (
        select * from own
        union all
        select accuracy_rows.* from accuracy_rows join newest using (computed_at)
        where scope = 'all' and group_name = :everyone
        union all
        select accuracy_rows.* from accuracy_rows join newest using (computed_at)
        where scope = 'kind' and group_name in (select kind from own)
    )
    select {", ".join(f"coins.{name}" for name in _COIN_NAMES)},
        row_to_json(coin_thresholds) as threshold,
        (select json_agg(each) from coin_liquidation_patterns as each where symbol = :symbol) as record,
        (select json_object_agg(timeframe, fetched_at) from maps) as map_times,
        (select json_agg(each order by each.id)
            from liquidation_clusters as each join maps using (timeframe)
            where each.symbol = :symbol and each.hit_target is null and each.horizon_at > :now
                and each.last_seen_at >= maps.fetched_at) as clusters,
        exists (select from liquidation_clusters where symbol = :symbol) as has_clusters,
        (select json_agg(each) from accuracy as each) as accuracy
    from (select :symbol as symbol) as wanted
    left join coins using (symbol) left join coin_thresholds on coin_thresholds.symbol = wanted.symbol
    """  # noqa: S608 - the names of columns
)


def coin_inputs(db: Database, symbol: str, now: datetime, maps_since: datetime) -> CoinInputs:
    """Read all of it at one moment.

    Args:
        db: of this process.
        symbol: Bybit symbol.
        now: market time.
        maps_since: maps fetched before it do not count.
    """
    values = {
        "symbol": symbol,
        "now": now,
        "maps_since": maps_since,
        "timeframes": list(TIMEFRAMES),
        "everyone": ALL,
    }
    with db.alone() as connection:
        row = connection.execute(_ALL, values).one()
    patterns = [made(CoinLiquidationPattern, each) for each in row.record or ()]
    return CoinInputs(
        coin=Coin(**dict(zip(_COIN_NAMES, row, strict=False))) if row.tick_size is not None else None,
        threshold=made(CoinThreshold, row.threshold) if row.threshold is not None else None,
        record={each.timeframe: each for each in patterns},
        map_times={name: datetime.fromisoformat(at) for name, at in (row.map_times or {}).items()},
        clusters=[made(LiquidationCluster, each) for each in row.clusters or ()],
        has_clusters=row.has_clusters,
        accuracy=[as_accuracy_row(made(AccuracyRecord, each)) for each in row.accuracy or ()],
    )


def made(model: type[Model], told: Mapping[str, Any]) -> Model:
    """A row that PostgreSQL told as JSON, as its model. Its floats are exact there; for models
    without numbers of money."""
    moments = _moments(model)
    return model(
        **{
            name: datetime.fromisoformat(value) if name in moments and value is not None else value
            for name, value in told.items()
        }
    )


@cache
def _moments(model: type[Base]) -> frozenset[str]:
    return frozenset(column.name for column in model.__table__.columns if isinstance(column.type, DateTime))
