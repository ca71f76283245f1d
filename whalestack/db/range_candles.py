"""The candles that our own heat maps are made from: stored ones of each length, and today's minutes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from whalestack.clock import from_ms
from whalestack.db.models import Coin
from whalestack.math.model_maps import RangeCandles

FIVE_MINUTES_MS = 300_000

_STORED = text(
    """
    select asked.interval, (extract(epoch from start_at) * 1000)::bigint as start_ms, high, low, close,
        turnover_usd, open_interest
    from unnest(cast(:intervals as text[]), cast(:since as timestamptz[])) as asked(interval, since)
    join candles on candles.symbol = :symbol and candles.interval = asked.interval
        and candles.start_at >= asked.since
    order by asked.interval, start_at
    """
)

# Of a five with holes nobody knows the extremes. The running one has what there is, and of the
# one before it the last minute may still be on its way.
_FIVES = text(
    """
    select (extract(epoch from five) * 1000)::bigint as start_ms, high, low, close, turnover_usd,
        open_interest
    from (
        select date_bin('5 minutes', start_at, timestamptz 'epoch') as five, count(*) as minutes,
            max(high) as high, min(low) as low, (array_agg(close order by start_at desc))[1] as close,
            sum(turnover_usd) as turnover_usd,
            (array_agg(open_interest order by start_at desc))[1] as open_interest
        from candles where symbol = :symbol and interval = '1' and start_at >= :since
        group by five
    ) as fives
    where minutes >= 4 or five > :now - interval '5 minutes'
    order by five
    """
)


def stored_candles(session: Session, symbol: str, since_ms: Mapping[str, int]) -> dict[str, RangeCandles]:
    """A coin's stored candles by Bybit's name of their length, from a moment each; empty ones left out."""
    rows = session.execute(
        _STORED,
        {
            "symbol": symbol,
            "intervals": list(since_ms),
            "since": [from_ms(moment) for moment in since_ms.values()],
        },
    ).all()
    by_interval: dict[str, list[tuple[object, ...]]] = {}
    for row in rows:
        by_interval.setdefault(row[0], []).append(tuple(row[1:]))
    return {interval: _candles(found) for interval, found in by_interval.items()}


def five_minutes(session: Session, symbol: str, *, since: datetime, now: datetime) -> RangeCandles:
    """A coin's five-minute candles put together from minutes; the last one may be open."""
    rows = session.execute(_FIVES, {"symbol": symbol, "since": since, "now": now}).all()
    return _candles([tuple(row) for row in rows])


def max_leverages(session: Session, symbols: Sequence[str]) -> dict[str, float]:
    """The highest leverage that each coin's exchange allows."""
    found = session.execute(select(Coin.symbol, Coin.max_leverage).where(Coin.symbol.in_(symbols)))
    return {symbol: float(leverage) for symbol, leverage in found}


def _candles(rows: Sequence[tuple[object, ...]]) -> RangeCandles:
    columns = np.array(rows, dtype=np.float64).reshape(-1, 6).T
    return RangeCandles(columns[0].astype(np.int64), columns[1:])
