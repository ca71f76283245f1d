"""The coins of the synthetic market: names and very different tempers."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Temper:
    """How a coin behaves.

    Args:
        daily_volatility: standard deviation of a day's move, a fraction.
        beta: how much of it comes from the whole market, 0 to 1.
        jumps_per_day: sudden moves of a few minutes.
        jump_size: standard deviation of such a move, a fraction.
        crowd_distance: how far price runs from where the crowd got in until the crowd is
            liquidated and a cascade begins, a fraction.
        restlessness: how much volatility itself varies, 0 to 1.
        daily_turnover_usd: typical.
        age_days: days since listing.
    """

    daily_volatility: float
    beta: float
    jumps_per_day: float
    jump_size: float
    crowd_distance: float
    restlessness: float
    daily_turnover_usd: float
    age_days: int = 900


TEMPERS = MappingProxyType(
    {
        "major": Temper(0.022, 0.85, 0.2, 0.008, 0.06, 0.2, 5e9),
        "steady": Temper(0.038, 0.7, 0.4, 0.015, 0.08, 0.3, 4e8),
        "alt": Temper(0.055, 0.6, 0.8, 0.02, 0.09, 0.4, 9e7),
        "meme": Temper(0.07, 0.5, 4.0, 0.03, 0.10, 0.4, 1.5e8),
        "jumpy": Temper(0.09, 0.3, 24.0, 0.04, 0.08, 0.5, 8e7, 240),
        "cascading": Temper(0.12, 0.4, 8.0, 0.03, 0.05, 0.6, 1.2e8, 120),
        "wild": Temper(0.16, 0.15, 20.0, 0.05, 0.10, 0.55, 1.5e8, 25),
        "quiet": Temper(0.008, 0.2, 0.02, 0.004, 0.05, 0.2, 3e7),
        "asleep": Temper(0.015, 0.3, 0.05, 0.01, 0.08, 0.2, 2e6),
    }
)

_NAMES = MappingProxyType(
    {
        "major": {"BTCUSDT": 98_000.0, "ETHUSDT": 3_600.0},
        "steady": {"SOLUSDT": 180.0, "XRPUSDT": 2.4, "BNBUSDT": 980.0, "ADAUSDT": 0.62, "LINKUSDT": 17.0},
        "alt": {
            "AVAXUSDT": 21.0, "DOTUSDT": 3.1, "NEARUSDT": 2.2, "UNIUSDT": 6.1, "AAVEUSDT": 215.0,
            "LTCUSDT": 92.0, "ARBUSDT": 0.31, "OPUSDT": 0.42, "APTUSDT": 3.3, "SUIUSDT": 2.5,
            "INJUSDT": 8.7, "ATOMUSDT": 3.2, "FILUSDT": 1.6, "LDOUSDT": 0.88, "CRVUSDT": 0.52,
            "1INCHUSDT": 0.19, "HBARUSDT": 0.17, "SEIUSDT": 0.19, "TIAUSDT": 1.0, "ENAUSDT": 0.44,
        },
        "meme": {
            "DOGEUSDT": 0.19, "1000PEPEUSDT": 0.0067, "1000BONKUSDT": 0.0138, "SHIB1000USDT": 0.0101,
            "WIFUSDT": 0.49, "1000FLOKIUSDT": 0.071, "10000SATSUSDT": 0.00025, "PENGUUSDT": 0.0198,
            "1000000MOGUSDT": 0.47, "POPCATUSDT": 0.17, "FARTCOINUSDT": 0.33,
        },
        "jumpy": {
            "AVNTUSDT": 0.64, "SNXUSDT": 1.28, "ZECUSDT": 231.0, "DASHUSDT": 46.0, "FUSDT": 0.0136,
            "KAITOUSDT": 1.1, "BIOUSDT": 0.09, "PUMPFUNUSDT": 0.0035,
        },
        "cascading": {
            "ASTERUSDT": 1.05, "XPLUSDT": 0.36, "HYPEUSDT": 36.0, "WLDUSDT": 0.85, "ONDOUSDT": 0.71,
        },
        "wild": {
            "EVAAUSDT": 6.2, "COAIUSDT": 12.0, "AIAUSDT": 1.6, "LIGHTUSDT": 1.7, "KGENUSDT": 0.27,
            "RECALLUSDT": 0.38, "BLESSUSDT": 0.044,
        },
        "quiet": {"XAUTUSDT": 4_090.0, "PAXGUSDT": 4_110.0, "TRXUSDT": 0.31},
        "asleep": {"ETCUSDT": 15.4, "ICXUSDT": 0.11, "ONTUSDT": 0.12, "QTUMUSDT": 2.1, "ZILUSDT": 0.0094},
    }
)  # fmt: skip

_CYCLE = ("alt", "meme", "jumpy", "alt", "wild", "steady", "cascading", "alt", "asleep", "quiet")


@dataclass(frozen=True)
class SyntheticCoin:
    """A coin to play: its symbol, price at the start in USDT, and temper."""

    symbol: str
    price: float
    temper: Temper


def synthetic_coins(count: int) -> tuple[SyntheticCoin, ...]:
    """The first `count` coins: one of every temper in turn, then made-up names without end."""
    columns = [
        [SyntheticCoin(name, price, TEMPERS[kind]) for name, price in names.items()]
        for kind, names in _NAMES.items()
    ]
    longest = max(len(column) for column in columns)
    coins = [column[row] for row in range(longest) for column in columns if row < len(column)]
    for number in range(len(coins), count):
        temper = TEMPERS[_CYCLE[number % len(_CYCLE)]]
        coins.append(SyntheticCoin(f"SIM{number:04d}USDT", 0.01 * (1 + number * 7919 % 9973), temper))
    return tuple(coins[:count])
