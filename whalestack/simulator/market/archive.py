"""A market that plays an archive of raw replies back (`ARCHIVE_RAW`, `archive:FOLDER`).

Prices come from what was archived (see `archived_candles`), contracts from the archived
instruments, and heat maps are served as they were at the market's moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from whalestack.clock import from_ms
from whalestack.errors import StopAndTell
from whalestack.simulator.archived_maps import HEATMAPS, ArchivedHeatmaps
from whalestack.simulator.market.archive_index import Key, ReplyIndex, read_index
from whalestack.simulator.market.archived_candles import (
    COARSE_S,
    FIVE_MS,
    ArchivedPast,
    Rows,
    fives_of,
    interest_over,
    read_past,
    source_of,
    without_holes,
)
from whalestack.simulator.market.instruments import Instruments, Seen, derived_row
from whalestack.simulator.market.open_interest import derive_open_interest
from whalestack.simulator.market.played import PlayedMarket
from whalestack.simulator.market.recorded import CandleBlocks
from whalestack.simulator.market.store import INTEREST, Backdrop, join_sources

log = structlog.get_logger()

INSTRUMENTS = "/v5/market/instruments-info"
QUOTE = "USDT"
_MOMENT = "%Y-%m-%d %H:%M UTC"
_HOUR_MS = 3_600_000
_NAMED_AT_MOST = 50
_NEEDED = {
    "symbol",
    "baseCoin",
    "priceScale",
    "priceFilter",
    "lotSizeFilter",
    "leverageFilter",
    "fundingInterval",
}


class ArchivedMarket(PlayedMarket):
    """A played market with the maps that belong to it."""

    derived_data = (
        "open_interest_between_archived_points",
        "funding_rate",
        "mark_price",
        "book",
        "liquidations",
    )
    maps: ArchivedHeatmaps


def archive_span(folder: Path) -> tuple[int, int]:
    """(first, last) moment in ms at which a map was archived; of any reply where there is no map.

    Raises:
        StopAndTell: there is nothing in the folder.
    """
    index = read_index(folder.resolve())
    keys = index.keys("coinglass", f"{HEATMAPS}*") or index.keys("bybit", "*")
    times = [moment for key in keys for moment in (index.times(key)[0], index.times(key)[-1])]
    return -(-min(times) // FIVE_MS) * FIVE_MS, max(times)


def open_archive(folder: Path, symbols: Sequence[str], *, start_ms: int, seed: int) -> ArchivedMarket:
    """A market that plays a folder of raw replies from `start_ms` on.

    A coin without candles at the start cannot be played and is named.

    Args:
        folder: `data/incoming`, or one day of it.
        symbols: which coins, empty for all that were archived.
        start_ms: market time at which playing begins.
        seed: of what no reply tells (sizes of liquidations).

    Raises:
        StopAndTell: nothing can be played at `start_ms`.
    """
    index = read_index(folder.resolve())
    past = read_past(index)
    rows = _instrument_rows(index, start_ms)
    maps = _map_keys(index)
    asked = tuple(symbols) or tuple(sorted(set(rows) or _quoted(past)))
    fives = {symbol: fives_of(symbol, past, index, maps) for symbol in asked}
    chosen = _playable(fives, start_ms, folder)
    backdrop, end_ms = _backdrop(chosen, fives, past)
    derived = derive_open_interest(backdrop, start_ms).interest
    ends_ms = backdrop.start_ms + backdrop.length_ms
    for coin, symbol in enumerate(chosen):
        backdrop.bars[INTEREST, coin] = interest_over(ends_ms, derived[coin], past.interest.get(symbol, []))
    instruments = _instruments(chosen, rows, fives)
    market = ArchivedMarket(
        instruments, backdrop, CandleBlocks(backdrop), start_ms=start_ms, end_ms=end_ms, seed=seed
    )
    market.maps = ArchivedHeatmaps(index, lambda: market.now_ms)
    log.info(
        "market_opened",
        kind="archive",
        coins=len(chosen),
        ends_at=f"{from_ms(end_ms):{_MOMENT}}",
        derived_instruments=instruments.derived,
    )
    return market


def _quoted(past: ArchivedPast) -> set[str]:
    """Perpetuals of which any price was archived."""
    named = {symbol for by_symbol in past.klines.values() for symbol in by_symbol} | set(past.tickers)
    return {symbol for symbol in named if symbol.endswith(QUOTE)}


def _map_keys(index: ReplyIndex) -> dict[tuple[str, str], Key]:
    """How each coin's map of a range was asked for."""
    found = {}
    for key in index.keys("coinglass", f"{HEATMAPS}*"):
        asked = dict(key[2])
        if asked.keys() == {"symbol", "range"}:
            found[asked["symbol"], asked["range"]] = key
    return found


def _instrument_rows(index: ReplyIndex, at_ms: int) -> dict[str, dict[str, Any]]:
    """Rows of perpetuals as the newest reply before `at_ms` had them; else as the first one after it."""
    replies = sorted(index.results(INSTRUMENTS), key=lambda reply: reply[0])
    earlier = [reply for reply in replies if reply[0] <= at_ms]
    rows: dict[str, dict[str, Any]] = {}
    for _, _, result in earlier or replies[::-1]:
        listed = result.get("list") if isinstance(result, dict) else None
        rows |= {row["symbol"]: row for row in listed or () if _is_contract(row)}
    return rows


def _is_contract(row: object) -> bool:
    """Whether a row is one of a perpetual that trades, and whole enough to trade by."""
    if not isinstance(row, dict) or not row.keys() >= _NEEDED:
        return False
    kind = (row.get("quoteCoin"), row.get("contractType"), row.get("status"))
    return kind == (QUOTE, "LinearPerpetual", "Trading")


def _playable(fives: Mapping[str, Rows], start_ms: int, folder: Path) -> tuple[str, ...]:
    """Coins with a candle in the hour before the start and one from the start on."""
    begin_ms = start_ms // FIVE_MS * FIVE_MS
    chosen = tuple(
        symbol
        for symbol, rows in fives.items()
        if any(begin_ms - _HOUR_MS <= at_ms <= begin_ms for at_ms in rows) and max(rows) >= begin_ms
    )
    left_out = [symbol for symbol in fives if symbol not in chosen]
    if left_out:
        log.warning(
            "archive_has_no_candles",
            at=f"{from_ms(start_ms):{_MOMENT}}",
            count=len(left_out),
            coins=left_out[:_NAMED_AT_MOST],
        )
    if not chosen:
        starts = [at_ms for rows in fives.values() for at_ms in rows]
        known = f"{from_ms(min(starts)):{_MOMENT}} to {from_ms(max(starts)):{_MOMENT}}" if starts else "none"
        raise StopAndTell(
            f"{folder} has no candles to play at {from_ms(start_ms):{_MOMENT}} (candles: {known}):"
            " set CLOCK_REAL_ORIGIN_MS and CLOCK_MARKET_ORIGIN_MS"
        )
    return chosen


def _backdrop(chosen: Sequence[str], fives: Mapping[str, Rows], past: ArchivedPast) -> tuple[Backdrop, int]:
    """Candles of all lengths on one axis, and the moment at which the last one closes."""
    base = source_of(FIVE_MS // 1000, [fives[symbol] for symbol in chosen])
    if base is None:
        raise ValueError("a playable coin has candles")
    filled, holes = without_holes(base)
    if holes.any():
        worst = int(np.argmax(holes))
        log.warning(
            "archive_holes_filled",
            candles=int(holes.sum()),
            coins=int((holes > 0).sum()),
            most=(chosen[worst], int(holes[worst])),
        )
    sources = [filled]
    for name, interval_s in COARSE_S.items():
        coarse = source_of(interval_s, [past.klines[name].get(symbol, {}) for symbol in chosen])
        sources += [coarse] if coarse is not None else []
    return join_sources(sources), int(base.start_ms[-1]) + FIVE_MS


def _instruments(
    chosen: Sequence[str], rows: Mapping[str, dict[str, Any]], fives: Mapping[str, Rows]
) -> Instruments:
    """The archived row of each coin, as it was; where none was archived a derived one."""
    full = {
        symbol: rows[symbol] if symbol in rows else derived_row(symbol, _seen(fives[symbol]), number)
        for number, symbol in enumerate(chosen, start=1)
    }
    return Instruments(full, tuple(symbol for symbol in chosen if symbol not in rows))


def _seen(rows: Rows) -> Seen:
    closes = [row[3] for row in rows.values()]
    decimals = max(len(f"{close:.10g}".partition(".")[2]) for close in closes[-100:])
    daily_usd = sum(row[5] for row in rows.values()) / len(rows) * 288
    return Seen(closes[-1], decimals, min(rows), daily_usd)
