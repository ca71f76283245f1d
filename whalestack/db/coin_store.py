"""The universe in the database: what is followed, and under which name at CoinGlass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from whalestack.db.models import Coin


@dataclass(frozen=True)
class FollowedCoin:
    """A coin whose maps are collected.

    Args:
        symbol: Bybit's.
        coin: CoinGlass's name.
        multiplier: a Bybit price is the CoinGlass price times this.
    """

    symbol: str
    coin: str
    multiplier: int


def upsert_coins(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Insert or overwrite coins, whole rows, in one statement."""
    if not rows:
        return
    statement = insert(Coin).values(list(rows))
    changed = {column.name: statement.excluded[column.name] for column in Coin.__table__.columns}
    changed.pop("symbol")
    session.execute(statement.on_conflict_do_update(index_elements=["symbol"], set_=changed))


def known_coins(session: Session) -> dict[str, Coin]:
    """Every coin ever seen, by symbol."""
    return {coin.symbol: coin for coin in session.scalars(select(Coin))}


def followed_coins(session: Session, symbols: Sequence[str] | None = None) -> list[FollowedCoin]:
    """Coins that are not skipped, largest turnover first.

    Args:
        symbols: only these; None for all.
    """
    query = (
        select(Coin.symbol, Coin.coinglass_symbol, Coin.price_multiplier)
        .where(Coin.skipped_reason.is_(None), Coin.coinglass_symbol.is_not(None))
        .order_by(Coin.turnover_24h_usd.desc().nulls_last(), Coin.symbol)
    )
    if symbols is not None:
        query = query.where(Coin.symbol.in_(symbols))
    return [
        FollowedCoin(symbol, coin, multiplier)
        for symbol, coin, multiplier in session.execute(query)
        if coin is not None
    ]
