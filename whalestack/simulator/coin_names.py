"""CoinGlass's coins and Bybit's contracts: PEPE is a thousandth of 1000PEPEUSDT."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_THOUSANDS_FIRST = re.compile(r"^(10+)([A-Z].*)$")
_THOUSANDS_LAST = re.compile(r"^([A-Z]+?)(10+)$")


@dataclass(frozen=True)
class Coin:
    """A coin as CoinGlass names it.

    Args:
        name: for example PEPE.
        symbol: Bybit's contract, for example 1000PEPEUSDT.
        contract_size: how many coins a contract unit holds, for example 1000.
    """

    name: str
    symbol: str
    contract_size: float


def coin_of(symbol: str) -> Coin:
    """The coin of a Bybit symbol; 1INCHUSDT is 1INCH, SHIB1000USDT is SHIB."""
    base = symbol.removesuffix("USDT")
    if match := _THOUSANDS_FIRST.match(base):
        return Coin(match[2], symbol, float(match[1]))
    if match := _THOUSANDS_LAST.match(base):
        return Coin(match[1], symbol, float(match[2]))
    return Coin(base, symbol, 1.0)


def coins_by_name(symbols: Iterable[str]) -> dict[str, Coin]:
    """Coins by CoinGlass's name; where two contracts are of one coin the first stands."""
    coins: dict[str, Coin] = {}
    for symbol in symbols:
        coin = coin_of(symbol)
        coins.setdefault(coin.name, coin)
    return coins
