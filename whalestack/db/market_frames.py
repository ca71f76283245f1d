"""Minutes of the market read out of `candles` and `market_ticks`, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session

from whalestack.clock import from_ms, to_ms
from whalestack.math.heatmap import Floats
from whalestack.math.windows import MINUTE_MS, MarketWindow

# Open interest comes with ticks and, before a process ran, from 5-minute points.
OI_CARRIED_MINUTES = 6


@dataclass(frozen=True, eq=False)
class MarketFrame:
    """Closed minutes of many coins side by side.

    Args:
        symbols: (coins,) names of the rows.
        end_ms: market ms at which the last minute closed.
        prices: (coins, M) close of each minute, NaN where there is no bar.
        turnover_usd: (coins, M) of each minute.
        open_interest: (coins, M) base coins at each minute's end, NaN where unknown.
    """

    symbols: tuple[str, ...]
    end_ms: int
    prices: Floats
    turnover_usd: Floats
    open_interest: Floats

    @property
    def ended_at(self) -> datetime:
        """When the last minute closed, market time."""
        return from_ms(self.end_ms)


_FRAME = text(
    """
    select symbol, (extract(epoch from start_at)::bigint / 60 - :first)::int as minute,
        close, turnover_usd, open_interest
    from candles
    where interval = '1' and start_at >= :since and start_at < :until
        and (cast(:symbols as text[]) is null or symbol = any(cast(:symbols as text[])))
    """
)


def load_frame(
    session: Session, *, now: datetime, minutes: int, symbols: Sequence[str] | None = None
) -> MarketFrame:
    """The last closed minutes of every coin that has a bar in them, one query.

    The minute that is open at `now` is left out: its volume is not a minute's volume yet.

    Args:
        session: open.
        now: market time.
        minutes: how many.
        symbols: only these; None for all.
    """
    end = to_ms(now) // MINUTE_MS
    first = end - minutes
    rows = session.execute(
        _FRAME,
        {
            "first": first,
            "since": from_ms(first * MINUTE_MS),
            "until": from_ms(end * MINUTE_MS),
            "symbols": None if symbols is None else list(symbols),
        },
    ).all()
    names = sorted({row.symbol for row in rows})
    places = {name: place for place, name in enumerate(names)}
    arrays = np.full((3, len(names), minutes), np.nan)
    if rows:
        at = [places[row.symbol] for row in rows], [row.minute for row in rows]
        # None becomes NaN on the way into the array.
        for array, values in zip(arrays, zip(*(row[2:] for row in rows), strict=True), strict=True):
            array[at] = np.array(values, dtype=np.float64)
    return MarketFrame(tuple(names), end * MINUTE_MS, arrays[0], arrays[1], arrays[2])


_BARS = text(
    """
    select (extract(epoch from start_at) * 1000)::bigint as start_ms, close, turnover_usd, open_interest
    from candles
    where symbol = :symbol and interval = '1' and start_at >= :since and start_at <= :now
    order by start_at
    """
)
_TICKS = text(
    """
    select (extract(epoch from ts) * 1000)::bigint as ts_ms, price, open_interest
    from market_ticks
    where symbol = :symbol and ts >= :since and ts <= :now
    order by ts
    """
)


def load_window(session: Session, symbol: str, *, now: datetime) -> MarketWindow:
    """One coin's recent past in the ring that also the streams use, open minute included.

    Bars give the hour of volume and stand in for prices where there are no ticks.
    """
    bars = session.execute(_BARS, {"symbol": symbol, "since": now - timedelta(minutes=70), "now": now}).all()
    ticks = session.execute(
        _TICKS, {"symbol": symbol, "since": now - timedelta(minutes=22), "now": now}
    ).all()
    now_ms = to_ms(now)
    window = MarketWindow()
    samples: list[tuple[int, float, float | None]] = [
        (row.ts_ms, row.price, row.open_interest) for row in ticks
    ]
    for row in bars:
        window.add_bar(symbol, row.start_ms, row.turnover_usd)
        # A close is the price at the end of its minute; of the open minute, the price now.
        samples.append((min(row.start_ms + MINUTE_MS - 1, now_ms), row.close, row.open_interest))
    for ts_ms, price, open_interest in sorted(samples, key=lambda sample: sample[0]):
        window.add_tick(symbol, ts_ms, price, open_interest)
    return window


_PAST = text(
    """
    select asked.symbol, asked.place, past.close, past.open_interest
    from (
        select symbol, place, at from unnest(cast(:symbols as text[])) as symbol
        cross join unnest(cast(:moments as timestamptz[])) with ordinality as moment(at, place)
    ) as asked
    cross join lateral (
        select close, open_interest from candles
        where symbol = asked.symbol and interval = :interval
            and start_at <= asked.at - :bar and start_at > asked.at - :bar - :tolerance
        order by start_at desc limit 1
    ) as past
    """
)


def prices_at(
    session: Session,
    symbols: Sequence[str],
    moments: Sequence[datetime],
    *,
    interval: str,
    bar: timedelta,
    tolerance: timedelta,
) -> tuple[Floats, Floats]:
    """Price and open interest of each coin at each of some moments.

    Args:
        session: open.
        symbols: (coins,).
        moments: (K,) market times.
        interval: of the candles to read.
        bar: length of that interval.
        tolerance: how long before the moment the bar that stands for it may have closed.

    Returns:
        (coins, K) prices and (coins, K) open interest, NaN where there is no such bar.
    """
    prices = np.full((len(symbols), len(moments)), np.nan)
    interest = prices.copy()
    places = {symbol: place for place, symbol in enumerate(symbols)}
    rows = session.execute(
        _PAST,
        {
            "symbols": list(symbols),
            "moments": list(moments),
            "interval": interval,
            "bar": bar,
            "tolerance": tolerance,
        },
    )
    for symbol, place, close, open_interest in rows:
        prices[places[symbol], place - 1] = close
        if open_interest is not None:
            interest[places[symbol], place - 1] = open_interest
    return prices, interest


_VOLUME = text(
    """
    select candles.symbol, span.place, sum(turnover_usd) as usd, count(*) as minutes
    from candles
    join unnest(cast(:starts as timestamptz[]), cast(:ends as timestamptz[])) with ordinality
        as span(starts_at, ends_at, place)
        on candles.start_at >= span.starts_at and candles.start_at < span.ends_at
    where interval = '1' and start_at >= :since and symbol = any(cast(:symbols as text[]))
    group by candles.symbol, span.place
    """
)


def turnover_over(
    session: Session, symbols: Sequence[str], spans: Sequence[tuple[datetime, datetime]]
) -> tuple[Floats, Floats]:
    """Turnover of each coin in each of some spans of time, from one-minute bars.

    Args:
        session: open.
        symbols: (coins,).
        spans: (K,) start and end, end excluded.

    Returns:
        (coins, K) USD and (coins, K) how many minutes are known.
    """
    usd = np.zeros((len(symbols), len(spans)))
    minutes = usd.copy()
    places = {symbol: place for place, symbol in enumerate(symbols)}
    rows = session.execute(
        _VOLUME,
        {
            "symbols": list(symbols),
            "starts": [start for start, _ in spans],
            "ends": [end for _, end in spans],
            "since": min(start for start, _ in spans),
        },
    )
    for symbol, place, total, count in rows:
        usd[places[symbol], place - 1] = total
        minutes[places[symbol], place - 1] = count
    return usd, minutes


_DAY_TURNOVER = text(
    """
    select asked.symbol, asked.place, tick.turnover_24h_usd
    from (
        select symbol, place, at from unnest(cast(:symbols as text[])) as symbol
        cross join unnest(cast(:moments as timestamptz[])) with ordinality as moment(at, place)
    ) as asked
    cross join lateral (
        select turnover_24h_usd from market_ticks
        where symbol = asked.symbol and ts <= asked.at and ts > asked.at - :tolerance
            and turnover_24h_usd is not null
        order by ts desc limit 1
    ) as tick
    """
)


def day_turnover_at(
    session: Session, symbols: Sequence[str], moments: Sequence[datetime], *, tolerance: timedelta
) -> Floats:
    """(coins, K) the exchange's own 24-hour turnover at each moment, USD, NaN where unknown."""
    turnover = np.full((len(symbols), len(moments)), np.nan)
    places = {symbol: place for place, symbol in enumerate(symbols)}
    rows = session.execute(
        _DAY_TURNOVER, {"symbols": list(symbols), "moments": list(moments), "tolerance": tolerance}
    )
    for symbol, place, usd in rows:
        turnover[places[symbol], place - 1] = usd
    return turnover
