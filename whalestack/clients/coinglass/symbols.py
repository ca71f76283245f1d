"""CoinGlass names coins, Bybit names contracts, and some contracts hold a thousand coins.

1000PEPEUSDT holds 1000 PEPE, SHIB1000USDT holds 1000 SHIB; 1INCHUSDT holds one 1INCH.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

_LEADING = re.compile(r"(10{3,7})([A-Z].*)")
_TRAILING = re.compile(r"(.*[A-Z])(10{3,7})")


@dataclass(frozen=True)
class CoinName:
    """A coin as CoinGlass names it.

    Args:
        coin: for example "PEPE".
        multiplier: coins in one Bybit contract unit; a Bybit price is the CoinGlass
            price times this.
    """

    coin: str
    multiplier: int = 1


def coinglass_candidates(base_coin: str) -> tuple[CoinName, ...]:
    """The names CoinGlass may have for a Bybit base coin, likeliest first.

    The name as it stands comes first: a coin may truly be called 1000SATS.
    """
    name = base_coin.upper()
    found = [CoinName(name)]
    if leading := _LEADING.fullmatch(name):
        found.append(CoinName(leading[2], int(leading[1])))
    if trailing := _TRAILING.fullmatch(name):
        found.append(CoinName(trailing[1], int(trailing[2])))
    return tuple(found)


def match_coin(base_coin: str, is_supported: Callable[[str], bool]) -> CoinName | None:
    """The CoinGlass coin of a Bybit base coin, None where CoinGlass has none.

    Args:
        base_coin: as Bybit spells it, "1000PEPE".
        is_supported: whether CoinGlass lists a coin of this name.
    """
    return next((name for name in coinglass_candidates(base_coin) if is_supported(name.coin)), None)
