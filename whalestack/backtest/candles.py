"""Candles out of folders: Bybit CSV files, freqtrade's feather files, open interest as parquet.

| file | what |
|---|---|
| `SYMBOL_5m.csv`, `_1m`, `_30m`, `_1h`, `_1d` | `timestamp,open,high,low,close,volume,turnover`, UTC |
| `BASE_USDT_USDT-1m-futures.feather`, `-5m-` | `date,open,high,low,close,volume(base)` |
| `BASE_USDT_USDT-8h-funding_rate.feather` | `date,open`: the rate that fell due, a fraction |
| `SYMBOL_oi.parquet` | indexed by moment, `open_interest` in base coins, both sides |

Where no turnover is written it is volume times (high + low + close) / 3. The finest interval of 1m and
5m is played; the others are only the past before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from whalestack.backtest.repair import Repairs, Rows, repaired
from whalestack.errors import StopAndTell
from whalestack.math.heatmap import Floats, Ints

INTERVALS_S = {"1m": 60, "5m": 300, "30m": 1800, "1h": 3600, "1d": 86_400}
PLAYED = ("1m", "5m")
_FEATHER = "_USDT_USDT-{interval}-futures.feather"
_FUNDING = "_USDT_USDT-8h-funding_rate.feather"


@dataclass(frozen=True, eq=False)
class CoinCandles:
    """What is known of one coin.

    Args:
        symbol: as Bybit spells it.
        rows: by interval in seconds, repaired.
        price_decimals: of the finest price seen.
        interest: moments (K,) and open interest (K,) in base coins; None where none was recorded.
        funding: moments (K,) and rates (K,), fractions; None where none were recorded.
    """

    symbol: str
    rows: dict[int, Rows]
    price_decimals: int
    interest: tuple[Ints, Floats] | None = None
    funding: tuple[Ints, Floats] | None = None

    def until(self, end_ms: int) -> CoinCandles:
        """The same coin without candles that close after a moment, and without what came later."""
        kept = {each: rows.part(rows.start_ms + each * 1000 <= end_ms) for each, rows in self.rows.items()}
        return replace(
            self,
            rows={each: rows for each, rows in kept.items() if len(rows)},
            interest=_known(self.interest, end_ms),
            funding=_known(self.funding, end_ms),
        )


@dataclass(frozen=True, eq=False)
class Candles:
    """Everything that was read, and what had to be repaired."""

    coins: tuple[CoinCandles, ...]
    repairs: Repairs = field(default_factory=Repairs)
    left_out: dict[str, str] = field(default_factory=dict)

    def until(self, end_ms: int) -> Candles:
        """What was known at a moment: candles that close later, and coins without any, are not there."""
        coins = [coin.until(end_ms) for coin in self.coins]
        return Candles(
            tuple(coin for coin in coins if self.played_s in coin.rows), self.repairs, self.left_out
        )

    @property
    def played_s(self) -> int:
        """The finest interval that every coin has, seconds."""
        return max(min(coin.rows) for coin in self.coins)


def _known(found: tuple[Ints, Floats] | None, end_ms: int) -> tuple[Ints, Floats] | None:
    return None if found is None else (found[0][found[0] <= end_ms], found[1][found[0] <= end_ms])


def read_folder(folder: Path, symbols: Sequence[str] = ()) -> Candles:
    """Read the candles of a folder.

    Args:
        folder: with files as above.
        symbols: only these; empty for all.

    Raises:
        StopAndTell: there is no such file, or one that cannot be read at all. A coin whose candles are
            beyond repair is left out and named in the result.
    """
    names = sorted(set(_csv_symbols(folder)) | set(_feather_symbols(folder)))
    if not names:
        raise StopAndTell(f"{folder} holds neither SYMBOL_5m.csv nor BASE_USDT_USDT-1m-futures.feather files")
    missing = set(symbols) - set(names)
    if missing:
        raise StopAndTell(f"{folder} has no candles of {', '.join(sorted(missing))}")
    repairs, left_out, coins = Repairs(), {}, []
    for symbol in names:
        if symbols and symbol not in symbols:
            continue
        try:
            coins.append(_read_coin(folder, symbol, repairs))
        except StopAndTell as error:
            left_out[symbol] = str(error)
    if not coins:
        raise StopAndTell("; ".join(left_out.values()))
    return Candles(tuple(coins), repairs, left_out)


def _csv_symbols(folder: Path) -> list[str]:
    return [
        path.name.removesuffix(f"_{each}.csv") for each in PLAYED for path in folder.glob(f"*_{each}.csv")
    ]


def _feather_symbols(folder: Path) -> list[str]:
    ends = [_FEATHER.format(interval=each) for each in PLAYED]
    return [f"{path.name.removesuffix(end)}USDT" for end in ends for path in folder.glob(f"*{end}")]


def _read_coin(folder: Path, symbol: str, repairs: Repairs) -> CoinCandles:
    rows: dict[int, Rows] = {}
    decimals = 0
    for interval, seconds in INTERVALS_S.items():
        frame = _frame(folder, symbol, interval)
        if frame is None or (seconds == INTERVALS_S["5m"] and INTERVALS_S["1m"] in rows):
            continue
        if not rows:
            decimals = _decimals(frame["close"].tail(1000))
        rows[seconds] = repaired(symbol, _rows(symbol, frame), seconds, repairs)
    return CoinCandles(symbol, rows, decimals, read_interest(folder, symbol), _read_funding(folder, symbol))


def _frame(folder: Path, symbol: str, interval: str) -> pd.DataFrame | None:
    """Columns start (moments), open, high, low, close, volume, turnover, or None without a file."""
    csv = folder / f"{symbol}_{interval}.csv"
    feather = folder / f"{symbol.removesuffix('USDT')}{_FEATHER.format(interval=interval)}"
    path = csv if csv.exists() else feather
    if not path.exists():
        return None
    try:
        frame = pd.read_csv(csv) if path == csv else pd.read_feather(feather)
        frame = frame.rename(columns={"timestamp": "start", "date": "start", "timestamp(UTC)": "start"})
        for name in ("open", "high", "low", "close", "volume"):
            frame[name] = pd.to_numeric(frame[name], errors="coerce")
        if "turnover" not in frame:
            frame["turnover"] = frame["volume"] * (frame["high"] + frame["low"] + frame["close"]) / 3
        frame["turnover"] = pd.to_numeric(frame["turnover"], errors="coerce")
    except (ValueError, KeyError, OSError) as error:
        raise StopAndTell(f"{path}: not a candle file: {error}") from error
    return frame


def _rows(symbol: str, frame: pd.DataFrame) -> Rows:
    values = frame[["open", "high", "low", "close", "volume", "turnover"]].to_numpy(np.float64).T
    return Rows(_moments(symbol, frame["start"]), np.ascontiguousarray(values))


def _moments(symbol: str, column: Any) -> Ints:
    """Milliseconds since the epoch; moments without a zone are UTC.

    Raises:
        StopAndTell: a moment cannot be read, or the zones differ from row to row.
    """
    if not pd.api.types.is_datetime64_any_dtype(column):
        texts = column.astype(str)
        zones = set(texts.str.extract(r"(Z|[+-]\d\d:?\d\d)$")[0].fillna("").replace("Z", "+00:00"))
        if len(zones) > 1:
            raise StopAndTell(f"{symbol}: candles of several time zones ({', '.join(sorted(zones))})")
        try:
            column = pd.to_datetime(texts, utc=True, format="ISO8601")
        except ValueError as error:
            raise StopAndTell(f"{symbol}: {error}") from error
    moments = pd.DatetimeIndex(column)
    if moments.tz is not None:
        moments = moments.tz_convert("UTC").tz_localize(None)
    stamps: Ints = moments.to_numpy(dtype="datetime64[ms]").astype(np.int64)
    return stamps


def _decimals(prices: Any) -> int:
    """Decimals of the finest price, ten at most."""
    texts = (f"{price:.10f}".rstrip("0") for price in prices.tolist() if price == price)
    return max((len(text.partition(".")[2]) for text in texts), default=2)


def read_interest(folder: Path, symbol: str) -> tuple[Ints, Floats] | None:
    """Recorded open interest beside the candles or in a folder `bybit_open_interest*` next to theirs."""
    for place in (folder, *sorted(folder.parent.glob("bybit_open_interest*"))):
        path = place / f"{symbol}_oi.parquet"
        if path.exists():
            frame = pd.read_parquet(path)
            held = frame["open_interest"].to_numpy(np.float64)
            known = np.isfinite(held) & (held > 0)
            return _moments(symbol, frame.index)[known], held[known]
    return None


def _read_funding(folder: Path, symbol: str) -> tuple[Ints, Floats] | None:
    path = folder / f"{symbol.removesuffix('USDT')}{_FUNDING}"
    if not path.exists():
        return None
    frame = pd.read_feather(path)
    return _moments(symbol, frame["date"]), frame["open"].to_numpy(np.float64)
