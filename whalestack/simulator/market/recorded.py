"""A market that replays candle files.

A folder holds `SYMBOL_5m.csv` and, for the longer past, `SYMBOL_30m.csv`,
`SYMBOL_1h.csv` and `SYMBOL_1d.csv`, each with
`timestamp(UTC),open,high,low,close,volume(base),turnover(quote)`. The five-minute
candles are played, walked inside as `walk` states; open interest is derived as
`open_interest` states. Nothing after the present is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog

from whalestack.clock import from_ms
from whalestack.errors import StopAndTell
from whalestack.simulator.market.base import FloatArray, IntArray
from whalestack.simulator.market.instruments import Seen, instruments_for, read_recorded
from whalestack.simulator.market.open_interest import derive_open_interest
from whalestack.simulator.market.played import BLOCK_MS, Block, PlayedMarket
from whalestack.simulator.market.store import (
    CLOSE,
    FIELDS,
    HIGH,
    INTEREST,
    LOW,
    OPEN,
    TURNOVER,
    VOLUME,
    Backdrop,
    Source,
    join_sources,
)
from whalestack.simulator.market.walk import walk_points

log = structlog.get_logger()

INTERVALS_S = {"5m": 300, "30m": 1800, "1h": 3600, "1d": 86_400}
_MOMENT = "%Y-%m-%d %H:%M UTC"
POINTS = 60
"""Price points in a five-minute candle: one every five market seconds."""


@dataclass(frozen=True, eq=False)
class CandleFile:
    """One file: opening moments (B,), and open, high, low, close, volume, turnover (6, B)."""

    start_ms: IntArray
    rows: FloatArray
    price_decimals: int


def read_candles(path: Path) -> CandleFile:
    """Read one candle file.

    Raises:
        StopAndTell: the file is not what the module's text says, with its name and why.
    """
    cells = [line.split(",") for line in path.read_text().strip().splitlines()[1:]]
    try:
        start = np.array([cell[0] for cell in cells], dtype="datetime64[ms]").astype(np.int64)
        rows = np.array([cell[1:7] for cell in cells], dtype=np.float64).T
        if rows.shape[0] != 6 or np.any(np.diff(start) <= 0) or not np.isfinite(rows).all():
            raise ValueError("rows out of order, of wrong length or not finite")
    except (ValueError, IndexError) as error:
        raise StopAndTell(f"{path}: not a candle file: {error}") from error
    decimals = max(len(cell[4].partition(".")[2]) for cell in cells)
    return CandleFile(start, rows, decimals)


def recorded_symbols(folder: Path) -> tuple[str, ...]:
    """The coins of a folder, sorted.

    Raises:
        StopAndTell: there is no five-minute candle file in it.
    """
    symbols = tuple(sorted(path.name.removesuffix("_5m.csv") for path in folder.glob("*_5m.csv")))
    if not symbols:
        raise StopAndTell(f"{folder} holds no SYMBOL_5m.csv candle files")
    return symbols


def recorded_span(folder: Path, symbols: Sequence[str] = ()) -> tuple[int, int]:
    """(first, last) moment in ms at which the five-minute candles of all coins can be played."""
    files = [read_candles(folder / f"{symbol}_5m.csv") for symbol in symbols or recorded_symbols(folder)]
    first = max(int(file.start_ms[0]) for file in files)
    last = min(int(file.start_ms[-1]) for file in files) + BLOCK_MS
    return first, last


def _align(files: list[CandleFile | None], interval_s: int) -> Source | None:
    """Files of one interval on one time axis, NaN where a coin has no candle."""
    present = [file for file in files if file is not None]
    if not present:
        return None
    first = min(int(file.start_ms[0]) for file in present)
    last = max(int(file.start_ms[-1]) for file in present)
    step = interval_s * 1000
    start_ms = np.arange(first, last + step, step, dtype=np.int64)
    bars = np.full((FIELDS, len(files), len(start_ms)), np.nan)
    for coin, file in enumerate(files):
        if file is not None:
            bars[:INTEREST, coin, (file.start_ms - first) // step] = file.rows
    return Source(interval_s, start_ms, bars)


def load_folder(folder: Path, symbols: Sequence[str]) -> tuple[Backdrop, dict[str, Seen]]:
    """All candles of the coins on one time axis, and what they tell of each contract."""
    sources: list[Source] = []
    fine: list[CandleFile] = []
    launch = dict.fromkeys(symbols, 2**62)
    for name, interval_s in INTERVALS_S.items():
        paths = [folder / f"{symbol}_{name}.csv" for symbol in symbols]
        files = [read_candles(path) if path.exists() else None for path in paths]
        fine = fine or [file for file in files if file is not None]
        for symbol, file in zip(symbols, files, strict=True):
            launch[symbol] = min(launch[symbol], int(file.start_ms[0]) if file else 2**62)
        source = _align(files, interval_s)
        sources += [source] if source else []
    seen = {
        symbol: Seen(float(file.rows[CLOSE][-1]), file.price_decimals, launch[symbol], _daily_usd(file))
        for symbol, file in zip(symbols, fine, strict=True)
    }
    return join_sources(sources), seen


def _daily_usd(file: CandleFile) -> float:
    return float(file.rows[TURNOVER].mean()) * 288.0


class CandleBlocks:
    """Blocks of points from five-minute candles.

    Args:
        backdrop: candles with open interest filled in.
        points: price points in a candle.
    """

    def __init__(self, backdrop: Backdrop, points: int = POINTS) -> None:
        self._back = backdrop
        self._points = points

    def block(self, start_ms: int) -> Block | None:
        row = int(np.searchsorted(self._back.start_ms, start_ms))
        if row >= len(self._back.start_ms) or self._back.length_ms[row] != BLOCK_MS:
            return None
        bar = self._back.bars[:, :, row]
        if np.isnan(bar[CLOSE]).any():
            return None
        prices, shares = walk_points(bar[OPEN], bar[HIGH], bar[LOW], bar[CLOSE], self._points)
        before = self._back.bars[INTEREST, :, row - 1] if row else bar[INTEREST]
        before = np.where(np.isnan(before), bar[INTEREST], before)
        grown = before[:, None] + (bar[INTEREST] - before)[:, None] * np.cumsum(shares, axis=1)
        turnover, volume = bar[TURNOVER][:, None] * shares, bar[VOLUME][:, None] * shares
        return Block(start_ms, BLOCK_MS // self._points, prices, turnover, volume, grown)


def open_recorded(folder: Path, symbols: Sequence[str], *, start_ms: int, seed: int) -> PlayedMarket:
    """A market that replays a folder from `start_ms` on.

    Args:
        folder: candle files; a folder `bybit_instruments` beside it gives instrument rows.
        symbols: which coins, empty for all of the folder.
        start_ms: market time at which playing begins.
        seed: of what candles do not tell (sizes of liquidations).

    Raises:
        StopAndTell: a coin has no file, a file is broken, or `start_ms` is not recorded.
    """
    chosen = tuple(symbols) or recorded_symbols(folder)
    missing = [symbol for symbol in chosen if not (folder / f"{symbol}_5m.csv").exists()]
    if missing:
        raise StopAndTell(f"{folder} has no five-minute candles of {', '.join(missing)}")
    first_ms, end_ms = recorded_span(folder, chosen)
    if not first_ms <= start_ms < end_ms:
        raise StopAndTell(
            f"{folder} can be played from {from_ms(first_ms):{_MOMENT}} to {from_ms(end_ms):{_MOMENT}},"
            f" the clock says {from_ms(start_ms):{_MOMENT}}:"
            " set CLOCK_REAL_ORIGIN_MS and CLOCK_MARKET_ORIGIN_MS"
        )
    backdrop, seen = load_folder(folder, chosen)
    backdrop.bars[INTEREST] = derive_open_interest(backdrop, start_ms).interest
    instruments = instruments_for(seen, read_recorded(folder.parent / "bybit_instruments"))
    log.info("market_opened", kind="recorded", coins=len(chosen), derived_instruments=instruments.derived)
    blocks = CandleBlocks(backdrop)
    return PlayedMarket(instruments, backdrop, blocks, start_ms=start_ms, end_ms=end_ms, seed=seed)
