"""What became of coins between two looks at the universe: gone, renamed, missing, changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog

from whalestack.clients.bybit.types import Instrument
from whalestack.db.models import Coin
from whalestack.errors import TryAgain

log = structlog.get_logger()

TRADING = "Trading"
GONE = "Gone"
UNREADABLE = "Bybit quotes it and does not list it readably among its instruments"
# What an order is rounded and bounded by: a change between two refreshes is told.
CONTRACT_FIELDS = (
    "tick_size",
    "qty_step",
    "min_order_qty",
    "max_order_qty",
    "max_market_order_qty",
    "min_notional_usd",
    "max_leverage",
)
# An answer that lacks more than this of the known coins at once is not believed, unless it is all
# that was heard for so long: then it is the exchange, or another one than before.
MOST_GONE_SHARE = 0.25
ALWAYS_BELIEVED = 20
DOUBTED_FOR = timedelta(hours=2, minutes=30)


def missing_coins(known: Mapping[str, Coin], instruments: Iterable[Instrument], now: datetime) -> list[str]:
    """Known coins that are not listed now and were at the refresh before.

    Args:
        known: every coin ever seen, by symbol.
        instruments: what is listed now.
        now: market time.

    Raises:
        TryAgain: too many at once, for the first times.
    """
    listed = {each.symbol for each in instruments}
    before = [symbol for symbol, coin in known.items() if coin.status != GONE]
    missing = sorted(set(before) - listed)
    heard_at = max((coin.updated_at for coin in known.values()), default=now)
    is_doubted = now - heard_at < DOUBTED_FOR
    if is_doubted and len(missing) > max(ALWAYS_BELIEVED, MOST_GONE_SHARE * len(before)):
        raise TryAgain(
            f"Bybit lists {len(missing)} of {len(before)} known coins no more; its answer is not believed"
        )
    return missing


def mark_missing(
    coins: Iterable[Coin], gone: Collection[str], rows: Sequence[Mapping[str, Any]], now: datetime
) -> None:
    """Write onto coins that are not listed what they are now.

    Those that Bybit still quotes are not entered and keep their status, so that the streams
    go on with them and a position in one is led by live prices.

    Args:
        coins: as `missing_coins` named them.
        gone: the symbols among them that Bybit does not quote either.
        rows: of the coins that are listed.
        now: market time.
    """
    trades_as = {row["coinglass_symbol"]: row["symbol"] for row in rows if row["status"] == TRADING}
    for coin in coins:
        coin.updated_at = now
        if coin.symbol not in gone:
            coin.skipped_reason = UNREADABLE
            log.warning("instrument_missing", symbol=coin.symbol)
            continue
        successor = trades_as.get(coin.coinglass_symbol) if coin.coinglass_symbol else None
        renamed = f"; its coin trades as {successor} now" if successor else ""
        coin.status, coin.skipped_reason = GONE, f"no longer listed on Bybit{renamed}"


def has_changed(coin: Coin | None, row: Mapping[str, Any]) -> bool:
    """Whether the contract is another than it was; each field that is, is told.

    Args:
        coin: as it was, None where it was not known.
        row: as it is.
    """
    if coin is None:
        return False
    pairs = {name: (getattr(coin, name), row[name]) for name in CONTRACT_FIELDS}
    changed = {name: f"{before} -> {after}" for name, (before, after) in pairs.items() if before != after}
    if changed:
        log.info("contract_changed", symbol=coin.symbol, **changed)
    return bool(changed)
