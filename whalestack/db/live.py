"""What every coin costs right now, in Redis: written by the streams, read by everyone.

The database keeps history; this keeps only the present, so losing it costs nothing: the
streams write it anew within a second. The watch prices are written again by the position
monitor's next sweep.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec
import redis

from whalestack.config import Settings
from whalestack.db.state_redis import state_client
from whalestack.errors import TryAgain

TICKS_KEY = "ws:ticks"
WATCH_KEY = "ws:watch"
CLAIM_PREFIX = "ws:claim"
STREAMS_KEY = "ws:streams"
STREAMS_EXPIRE_S = 10
SOCKET_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class LiveTick:
    """The latest state of one coin. Prices in Bybit price units, None where not known.

    Args:
        symbol: Bybit symbol.
        ts_ms: market time of the last change, ms since the epoch.
        last: last traded price.
        mark: mark price.
        bid: best bid.
        ask: best ask.
        open_interest: base coins, both sides counted.
        turnover_24h_usd: quote turnover of the last 24 hours.
        funding_rate_pct: per funding interval, in per cent.
    """

    symbol: str
    ts_ms: int
    last: float
    mark: float | None = None
    bid: float | None = None
    ask: float | None = None
    open_interest: float | None = None
    turnover_24h_usd: float | None = None
    funding_rate_pct: float | None = None

    @property
    def spread_pct(self) -> float | None:
        """How far the best ask is above the best bid, per cent of their middle; None where not known."""
        if self.bid is None or self.ask is None or self.bid <= 0:
            return None
        return (self.ask - self.bid) / ((self.ask + self.bid) / 2) * 100


@dataclass(frozen=True, slots=True)
class PriceWatch:
    """Prices at which a coin's position wants to be looked at; None is no limit.

    Args:
        above, below: reached when the last price is at least, at most this.
        at_risk_usd: what the position would give back from there to its stop as it stands.
    """

    above: float | None = None
    below: float | None = None
    at_risk_usd: float = field(default=0.0, compare=False)

    def is_reached(self, price: float) -> bool:
        """Whether `price` stands at or beyond one of the two."""
        return (self.above is not None and price >= self.above) or (
            self.below is not None and price <= self.below
        )


@dataclass(frozen=True, slots=True)
class SeenPrice:
    """A price that the streams have seen, and when: market ms since the epoch."""

    price: float
    ts_ms: int


class _StoredWatch(msgspec.Struct, frozen=True):
    above: float | None = None
    below: float | None = None
    at_risk_usd: float = 0.0


_StoredTick = tuple[
    int, float, float | None, float | None, float | None, float | None, float | None, float | None
]
_encode = msgspec.json.Encoder().encode
_decode_tick = msgspec.json.Decoder(_StoredTick).decode
_decode_watch = msgspec.json.Decoder(_StoredWatch).decode


class LiveMarket:
    """The live state of the market in the state Redis.

    Every method raises `whalestack.errors.TryAgain` when Redis is away or too slow.

    Args:
        client: a connection pool to the state Redis, with bytes replies.
    """

    def __init__(self, client: redis.Redis) -> None:
        # The stubs of redis-py give every reply as "sync or async"; this client is sync.
        self._redis: Any = client

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The live market that the settings name; nothing connects until it is first used."""
        return cls(state_client(settings, timeout_s=SOCKET_TIMEOUT_S))

    def put_many(self, ticks: Iterable[LiveTick]) -> int:
        """Store the newest tick of each coin; returns how many coins were written."""
        rows = {tick.symbol: _pack(tick) for tick in ticks}
        if rows:
            with _reaching_redis():
                self._redis.hset(TICKS_KEY, mapping=rows)
        return len(rows)

    def get(self, symbol: str) -> LiveTick | None:
        """The latest tick of one coin, None if the streams have not seen it."""
        with _reaching_redis():
            row = self._redis.hget(TICKS_KEY, symbol)
        return None if row is None else _unpack(symbol, row)

    def get_many(self, symbols: Iterable[str]) -> dict[str, LiveTick]:
        """The latest ticks of those coins that have one, by symbol."""
        names = list(symbols)
        if not names:
            return {}
        with _reaching_redis():
            rows = self._redis.hmget(TICKS_KEY, names)
        return {name: _unpack(name, row) for name, row in zip(names, rows, strict=True) if row is not None}

    def all(self) -> dict[str, LiveTick]:
        """The latest tick of every coin, by symbol."""
        with _reaching_redis():
            rows = self._redis.hgetall(TICKS_KEY)
        return {name.decode(): _unpack(name.decode(), row) for name, row in rows.items()}

    def forget(self, symbols: Iterable[str]) -> None:
        """Drop coins that are no longer followed, so that nobody reads a price that stands still."""
        names = list(symbols)
        if names:
            with _reaching_redis():
                self._redis.hdel(TICKS_KEY, *names)

    def set_watches(self, watches: Mapping[str, PriceWatch]) -> None:
        """Have the streams enqueue `trailing.check_symbol` once a coin's price stands at or beyond a limit.

        Args:
            watches: by Bybit symbol; an earlier watch of the coin is replaced, and an empty one
                watches it no longer. Where many are reached at once the largest `at_risk_usd` comes first.
        """
        set_to = {
            symbol: _encode(_StoredWatch(watch.above, watch.below, watch.at_risk_usd))
            for symbol, watch in watches.items()
            if watch != PriceWatch()
        }
        gone = watches.keys() - set_to.keys()
        with _reaching_redis():
            if set_to:
                self._redis.hset(WATCH_KEY, mapping=set_to)
            if gone:
                self._redis.hdel(WATCH_KEY, *gone)

    def watches(self) -> Mapping[str, PriceWatch]:
        """All watched coins and their limits."""
        with _reaching_redis():
            rows = self._redis.hgetall(WATCH_KEY)
        stored = {name.decode(): _decode_watch(row) for name, row in rows.items()}
        return {
            name: PriceWatch(watch.above, watch.below, watch.at_risk_usd) for name, watch in stored.items()
        }

    def reached(self, watches: Mapping[str, PriceWatch]) -> list[str]:
        """The watched coins whose latest price stands at or beyond their watch, most at risk first."""
        ticks = self.get_many(watches)
        found = [name for name, tick in ticks.items() if watches[name].is_reached(tick.last)]
        return sorted(found, key=lambda name: (-watches[name].at_risk_usd, name))

    def claim(self, purpose: str, symbol: str, *, hold_s: float) -> bool:
        """Take a turn that only one process may take in a while, such as a refetch of a coin.

        Args:
            purpose: what the turn is for, for example ``refetch``.
            symbol: Bybit symbol.
            hold_s: real seconds until the turn is free again; use `Clock.real_seconds`.

        Returns:
            True for the one caller that got it, False while it is held.
        """
        hold_ms = max(1, round(hold_s * 1000))
        with _reaching_redis():
            return bool(self._redis.set(f"{CLAIM_PREFIX}:{purpose}:{symbol}", b"1", nx=True, px=hold_ms))

    def release(self, purpose: str, symbol: str) -> None:
        """Give a turn from `claim` back before its time."""
        with _reaching_redis():
            self._redis.delete(f"{CLAIM_PREFIX}:{purpose}:{symbol}")

    def put_streams_status(self, status: bytes) -> None:
        """Show how the streams are; it expires soon unless it is shown again."""
        with _reaching_redis():
            self._redis.set(STREAMS_KEY, status, ex=STREAMS_EXPIRE_S)

    def streams_status(self) -> bytes | None:
        """What the streams process last showed, None if none runs; see `StreamsStatus.get`."""
        with _reaching_redis():
            found: bytes | None = self._redis.get(STREAMS_KEY)
        return found

    def close(self) -> None:
        """Close the connections of this process."""
        self._redis.close()


@contextmanager
def _reaching_redis() -> Iterator[None]:
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise TryAgain(f"the state Redis cannot be reached: {type(error).__name__}") from error


def _pack(tick: LiveTick) -> bytes:
    return _encode(
        (
            tick.ts_ms,
            tick.last,
            tick.mark,
            tick.bid,
            tick.ask,
            tick.open_interest,
            tick.turnover_24h_usd,
            tick.funding_rate_pct,
        )
    )


def _unpack(symbol: str, row: bytes) -> LiveTick:
    return LiveTick(symbol, *_decode_tick(row))
