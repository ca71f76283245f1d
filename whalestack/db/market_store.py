"""Ticks, bars and realised liquidations into the database, many rows in one statement."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import exists, select, text

from whalestack.clock import to_ms
from whalestack.db.engine import Database
from whalestack.db.live import LiveTick
from whalestack.db.models import Candle, Coin, CoinThreshold, Trade

TRADING = "Trading"


@dataclass(frozen=True, slots=True)
class BarRow:
    """One bar of `candles`; `open_interest` in base coins, None where it is not known."""

    symbol: str
    interval: str
    start_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    turnover_usd: float
    open_interest: float | None = None
    is_closed: bool = True


@dataclass(frozen=True, slots=True)
class LiquidationRow:
    """One realised liquidation. `side` is who was liquidated: long or short."""

    ts_ms: int
    symbol: str
    exchange: str
    side: str
    price: float
    value_usd: float

    @property
    def event_key(self) -> str:
        """The same for the same event told twice; the streams give no id."""
        facts = f"{self.exchange}|{self.symbol}|{self.ts_ms}|{self.side}|{self.price!r}|{self.value_usd!r}"
        return hashlib.blake2b(facts.encode(), digest_size=12).hexdigest()


@dataclass(frozen=True, slots=True)
class FollowedCoin:
    """A coin of the universe, as the streams need it."""

    symbol: str
    coinglass_symbol: str | None
    price_multiplier: int
    turnover_24h_usd: float


@dataclass(frozen=True, slots=True)
class LearnedThresholds:
    """What `coin_thresholds` knows of a coin's speed; None where it has not learned it."""

    oi_change_pct: float | None
    volume_ratio: float | None
    price_change_pct: float | None
    mover_1m_pct: float | None
    mover_5m_pct: float | None


class MarketStore:
    """Writes what the streams see, and reads what they need to know.

    Args:
        db: the database; each call is a transaction of its own.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    def put_ticks(self, ticks: Sequence[LiveTick]) -> None:
        """Insert ticks; one that is there already stays as it is."""
        self._run(
            """
            insert into market_ticks (symbol, ts, price, mark_price, open_interest, turnover_24h_usd,
                                      funding_rate_pct, bid_price, ask_price)
            select symbol,
                   timestamptz 'epoch' + ts_ms * interval '1 millisecond',
                   price, mark, oi, turnover, funding, bid, ask
            from unnest(cast(:symbol as text[]), cast(:ts_ms as bigint[]), cast(:price as float8[]),
                        cast(:mark as float8[]), cast(:oi as float8[]), cast(:turnover as float8[]),
                        cast(:funding as float8[]), cast(:bid as float8[]), cast(:ask as float8[]))
                 as fresh (symbol, ts_ms, price, mark, oi, turnover, funding, bid, ask)
            on conflict do nothing
            """,
            {
                "symbol": [tick.symbol for tick in ticks],
                "ts_ms": [tick.ts_ms for tick in ticks],
                "price": [tick.last for tick in ticks],
                "mark": [tick.mark for tick in ticks],
                "oi": [tick.open_interest for tick in ticks],
                "turnover": [tick.turnover_24h_usd for tick in ticks],
                "funding": [tick.funding_rate_pct for tick in ticks],
                "bid": [tick.bid for tick in ticks],
                "ask": [tick.ask for tick in ticks],
            },
        )

    def put_bars(self, bars: Sequence[BarRow]) -> None:
        """Insert or overwrite bars. An open interest that is known is never overwritten by None."""
        # One statement may not touch a row twice: of equal bars the last one counts.
        latest = list({(bar.symbol, bar.interval, bar.start_ms): bar for bar in bars}.values())
        self._run(
            """
            insert into candles as stored (symbol, interval, start_at, open, high, low, close, volume,
                                           turnover_usd, open_interest)
            select symbol, step,
                   timestamptz 'epoch' + start_ms * interval '1 millisecond', o, h, l, c, volume, turnover, oi
            from unnest(cast(:symbol as text[]), cast(:step as text[]), cast(:start_ms as bigint[]),
                        cast(:o as float8[]), cast(:h as float8[]), cast(:l as float8[]),
                        cast(:c as float8[]), cast(:volume as float8[]), cast(:turnover as float8[]),
                        cast(:oi as float8[]))
                 as fresh (symbol, step, start_ms, o, h, l, c, volume, turnover, oi)
            on conflict (symbol, interval, start_at) do update set
                open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
                volume = excluded.volume, turnover_usd = excluded.turnover_usd,
                open_interest = coalesce(excluded.open_interest, stored.open_interest)
            """,
            {
                "symbol": [bar.symbol for bar in latest],
                "step": [bar.interval for bar in latest],
                "start_ms": [bar.start_ms for bar in latest],
                "o": [bar.open for bar in latest],
                "h": [bar.high for bar in latest],
                "l": [bar.low for bar in latest],
                "c": [bar.close for bar in latest],
                "volume": [bar.volume for bar in latest],
                "turnover": [bar.turnover_usd for bar in latest],
                "oi": [bar.open_interest for bar in latest],
            },
        )

    def put_liquidations(self, rows: Sequence[LiquidationRow]) -> None:
        """Insert realised liquidations; an event told twice is one row."""
        self._run(
            """
            insert into liquidation_orders (ts, event_key, symbol, exchange, side, price, value_usd)
            select timestamptz 'epoch' + ts_ms * interval '1 millisecond',
                   event_key, symbol, exchange, side, price, value_usd
            from unnest(cast(:ts_ms as bigint[]), cast(:event_key as text[]), cast(:symbol as text[]),
                        cast(:exchange as text[]), cast(:side as text[]), cast(:price as float8[]),
                        cast(:value_usd as float8[]))
                 as fresh (ts_ms, event_key, symbol, exchange, side, price, value_usd)
            on conflict do nothing
            """,
            {
                "ts_ms": [row.ts_ms for row in rows],
                "event_key": [row.event_key for row in rows],
                "symbol": [row.symbol for row in rows],
                "exchange": [row.exchange for row in rows],
                "side": [row.side for row in rows],
                "price": [row.price for row in rows],
                "value_usd": [row.value_usd for row in rows],
            },
        )

    def followed_coins(self) -> list[FollowedCoin]:
        """Every coin that trades: those with an open trade, then the busiest first.

        What is held must be followed, however little it trades: its stop waits for its price.
        """
        turnover = Coin.turnover_24h_usd
        held = exists().where(Trade.symbol == Coin.symbol, Trade.status == "open")
        query = (
            select(Coin.symbol, Coin.coinglass_symbol, Coin.price_multiplier, turnover)
            .where(Coin.status == TRADING)
            .order_by(held.desc(), turnover.desc().nulls_last(), Coin.symbol)
        )
        with self._db.begin() as work:
            return [FollowedCoin(*row[:3], row[3] or 0.0) for row in work.session.execute(query)]

    def last_bar_ms(self, symbol: str, interval: str) -> int | None:
        """Start of the coin's newest stored bar, market ms; None if there is none."""
        query = (
            select(Candle.start_at)
            .where(Candle.symbol == symbol, Candle.interval == interval)
            .order_by(Candle.start_at.desc())
            .limit(1)
        )
        with self._db.begin() as work:
            found = work.session.scalar(query)
        return None if found is None else to_ms(found)

    def learned_thresholds(self) -> Mapping[str, LearnedThresholds]:
        """What each coin's own past says is fast, by symbol."""
        query = select(
            CoinThreshold.symbol,
            CoinThreshold.oi_change_pct,
            CoinThreshold.volume_ratio,
            CoinThreshold.price_change_pct,
            CoinThreshold.mover_1m_pct,
            CoinThreshold.mover_5m_pct,
        )
        with self._db.begin() as work:
            return {row[0]: LearnedThresholds(*row[1:]) for row in work.session.execute(query)}

    def _run(self, statement: str, columns: dict[str, list[Any]]) -> None:
        # Moments are made of milliseconds in the statement, without to_timestamp's rounding.
        if any(columns.values()):
            with self._db.begin() as work:
                work.session.execute(text(statement), columns)
