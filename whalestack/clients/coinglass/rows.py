"""Decoding of the small replies. Numbers may be strings, and any field may be missing."""

from __future__ import annotations

from datetime import datetime

import msgspec

from whalestack.clients.coinglass.envelope import decode_data
from whalestack.clients.coinglass.errors import CoinglassBadReply
from whalestack.clients.coinglass.types import CoinMarket, MaxPain, Subscription
from whalestack.clock import from_ms


class _Market(msgspec.Struct):
    symbol: str
    current_price: float | None = None
    market_cap_usd: float | None = None
    open_interest_usd: float | None = None
    open_interest_change_percent_1h: float | None = None
    price_change_percent_1h: float | None = None
    open_interest_change_percent_4h: float | None = None
    price_change_percent_4h: float | None = None
    open_interest_change_percent_24h: float | None = None
    price_change_percent_24h: float | None = None


class _MaxPain(msgspec.Struct):
    symbol: str
    price: float
    long_max_pain_liq_level: float
    long_max_pain_liq_price: float
    short_max_pain_liq_level: float
    short_max_pain_liq_price: float


class _Subscription(msgspec.Struct):
    level: str
    expire_time: int | None = None
    expired: bool = False


_COINS = msgspec.json.Decoder(list[str])
_MARKETS = msgspec.json.Decoder(list[_Market] | None, strict=False)
_MAX_PAIN = msgspec.json.Decoder(list[_MaxPain], strict=False)
_SUBSCRIPTION = msgspec.json.Decoder(_Subscription, strict=False)


def decode_supported_coins(body: bytes, what: str) -> frozenset[str]:
    """Names of coins, upper case.

    Raises:
        CoinglassBadReply: the list is mistyped or empty. An empty list would end the
            collection of every coin, so it is not believed.
    """
    coins = frozenset(coin.upper() for coin in decode_data(body, what, _COINS))
    if not coins:
        raise CoinglassBadReply(f"{what}: the list is empty")
    return coins


def decode_coin_markets(body: bytes, what: str) -> list[CoinMarket]:
    """Rows of one page; a page beyond the last is empty or null.

    Raises:
        CoinglassBadReply: the rows are mistyped.
    """
    return [
        CoinMarket(
            coin=row.symbol.upper(),
            price=row.current_price,
            market_cap_usd=row.market_cap_usd,
            open_interest_usd=row.open_interest_usd,
            open_interest_change_1h_pct=row.open_interest_change_percent_1h,
            price_change_1h_pct=row.price_change_percent_1h,
            open_interest_change_4h_pct=row.open_interest_change_percent_4h,
            price_change_4h_pct=row.price_change_percent_4h,
            open_interest_change_24h_pct=row.open_interest_change_percent_24h,
            price_change_24h_pct=row.price_change_percent_24h,
        )
        for row in decode_data(body, what, _MARKETS) or []
    ]


def decode_max_pain(body: bytes, what: str) -> list[MaxPain]:
    """Rows of max pain.

    Raises:
        CoinglassBadReply: the rows are mistyped.
    """
    return [
        MaxPain(
            coin=row.symbol.upper(),
            price=row.price,
            long_price=row.long_max_pain_liq_price,
            long_usd=row.long_max_pain_liq_level,
            short_price=row.short_max_pain_liq_price,
            short_usd=row.short_max_pain_liq_level,
        )
        for row in decode_data(body, what, _MAX_PAIN)
    ]


def decode_subscription(body: bytes, what: str) -> Subscription:
    """The plan of the key.

    Raises:
        CoinglassBadReply: the reply is mistyped.
    """
    row = decode_data(body, what, _SUBSCRIPTION)
    expires_at: datetime | None = None if row.expire_time is None else from_ms(row.expire_time)
    return Subscription(level=row.level, expires_at=expires_at, expired=row.expired)
