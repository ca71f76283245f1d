"""Decoding of heat maps: the one reply that is large and comes thousands of times a round.

A map of 17,000 triples costs 3 ms as Python objects, and all but the last column is
history that nobody asks for. So the triples stay bytes, the last column is cut out of
them by its index, and only a map whose earlier columns are wanted (30d, for the 14d map)
is decoded whole. Whatever does not look exactly as expected goes the slow, checked way.
"""

from __future__ import annotations

import re

import msgspec
import numpy as np
import orjson

from whalestack.clients.coinglass.envelope import open_envelope
from whalestack.clients.coinglass.errors import CoinglassBadReply, CoinglassNoMap, is_ok
from whalestack.clients.coinglass.types import Floats, Heatmap, Ints

# A column that has just turned may still be empty; a map that lacks more is not the present.
MAX_MISSING_COLUMNS = 1
# Later than any moment in seconds, earlier than any recent one in milliseconds.
_SECONDS_END = 100_000_000_000
_LAST_MS = 4_102_444_800_000  # the year 2100: later than any moment that can be meant
# Wider than any market; a figure outside would not fit the database, and one such figure
# must not cost the other maps that are stored with it.
_PRICES = (1e-20, 1e20)
_MOST_USD = 1e18


class _Map(msgspec.Struct):
    y_axis: msgspec.Raw
    liquidation_leverage_data: msgspec.Raw
    price_candlesticks: msgspec.Raw
    update_time: int | float | None = None


class _Reply(msgspec.Struct):
    code: str | int | None = None
    data: _Map | None = None


_REPLY = msgspec.json.Decoder(_Reply, strict=False)
_MAP = msgspec.json.Decoder(_Map | None, strict=False)
_NUMBERS = msgspec.json.Decoder(list[float | None])
_CELLS = msgspec.json.Decoder(list[tuple[float, float, float]], strict=False)
_CELL_OF_COLUMN = rb"\[%d,(?:(\d{1,6}),(\d+(?:\.\d+)?(?:[eE][-+]?\d{1,3})?)\])?"
_NOT_OF_NUMBERS = b'[]" \t\r\n'
_OF_NUMBERS = b'0123456789.eE+-" \t\r\n'
_FRAME_OF_CELL = b"[,,],"


def decode_heatmap(body: bytes, coin: str, timeframe: str, *, all_columns: bool = False) -> Heatmap:
    """One heat map out of a reply's body.

    Args:
        body: the whole reply, decompressed.
        coin, timeframe: what was asked for; named in every error.
        all_columns: decode every cell, not the last column alone.

    Raises:
        CoinglassNoMap: the reply holds no map.
        CoinglassBadReply: a part is mistyped or out of range, or columns are missing.
        CoinglassUnreadable: the body is cut off or no JSON.
        WhalestackError: the code says an error.
    """
    what = f"heat map of {coin} {timeframe}"
    raw = _open(body, what)
    y_axis = _levels(raw.y_axis, what)
    times_ms, price = _candles(raw.price_candlesticks, what)
    columns, rows, values = _cells(raw.liquidation_leverage_data, times_ms.size, all_columns, what)
    _check_cells(columns, rows, values, y_axis.size, times_ms.size, what)
    order = _ascending(y_axis)
    if order is not None:
        y_axis, rows = y_axis[order], np.argsort(order)[rows]
    map_time_ms = _map_time_ms(raw.update_time, what)
    return Heatmap(
        coin, timeframe, y_axis, times_ms.size, columns, rows, values, times_ms, price, map_time_ms
    )


def _open(body: bytes, what: str) -> _Map:
    """Envelope and map in one pass; anything unusual is opened again by the careful way."""
    try:
        reply = _REPLY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _open_carefully(body, what)
    if reply.data is None or reply.code is None or not is_ok(str(reply.code)):
        return _open_carefully(body, what)
    return reply.data


def _open_carefully(body: bytes, what: str) -> _Map:
    data = bytes(open_envelope(body, what))
    if data in (b"null", b"[]", b"{}", b'""'):
        raise CoinglassNoMap(f"{what}: CoinGlass has no such map (the reply is empty)")
    try:
        found: _Map | None = _MAP.decode(data)
    except msgspec.DecodeError as error:
        raise CoinglassBadReply(f"{what}: {error}") from None
    if found is None:
        raise CoinglassNoMap(f"{what}: CoinGlass has no such map (the reply is empty)")
    return found


def _numbers(raw: msgspec.Raw, name: str, what: str) -> list[float | None]:
    """Every number in a flat or nested list, whether written as number or as string."""
    try:
        return _NUMBERS.decode(b"[" + bytes(raw).translate(None, _NOT_OF_NUMBERS) + b"]")
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise CoinglassBadReply(f"{what}: {name} holds something that is no number") from None


def _levels(raw: msgspec.Raw, what: str) -> Floats:
    numbers = _numbers(raw, "y_axis", what)
    if not numbers or numbers == [None]:
        raise CoinglassNoMap(f"{what}: CoinGlass has no such map (y_axis is empty)")
    levels = np.array(numbers, dtype=np.float64)
    # NaN (from null) fails the comparison as well.
    if not (levels.min() >= _PRICES[0] and levels.max() <= _PRICES[1]):
        raise CoinglassBadReply(f"{what}: y_axis holds a price that is not above zero, or that is none")
    return levels


def _candles(raw: msgspec.Raw, what: str) -> tuple[Ints, float]:
    """Start of each column in ms, and the last close."""
    rows = bytes(raw).count(b"[") - 1
    numbers = _numbers(raw, "price_candlesticks", what)
    if rows < 1 or not numbers:
        raise CoinglassNoMap(f"{what}: CoinGlass has no such map (price_candlesticks is empty)")
    width, rest = divmod(len(numbers), rows)
    if rest or width < 5:
        raise CoinglassBadReply(f"{what}: price_candlesticks are not rows of time, open, high, low, close")
    table = np.array(numbers, dtype=np.float64).reshape(rows, width)
    times, price = table[:, 0], float(table[-1, 4])
    if not (np.diff(times).min(initial=1.0) > 0 and times[0] > 0 and times[-1] < _LAST_MS):
        raise CoinglassBadReply(f"{what}: price_candlesticks are not in the order of time")
    if not _PRICES[0] <= price <= _PRICES[1]:
        raise CoinglassBadReply(f"{what}: the last candle has no price")
    return _as_ms(times), price


def _map_time_ms(update_time: float | None, what: str) -> int | None:
    if update_time is None:
        return None
    if not 0 < update_time < _LAST_MS:
        raise CoinglassBadReply(f"{what}: update_time {update_time:g} is no moment")
    return int(_as_ms(np.array([update_time]))[0])


def _as_ms(moments: Floats) -> Ints:
    """Candles come in seconds, update_time in milliseconds; either is taken."""
    return np.rint(np.where(moments < _SECONDS_END, moments * 1000, moments)).astype(np.int64)


def _cells(raw: msgspec.Raw, n_columns: int, all_columns: bool, what: str) -> tuple[Ints, Ints, Floats]:
    if not all_columns:
        # A view, not a copy: fresh pages for 350 kB cost as much as the search.
        cut = _cut_last_column(memoryview(raw), n_columns - 1)
        if cut is not None:
            return cut
    columns, rows, values = _all_cells(bytes(raw), what)
    if all_columns or columns.size == 0:
        return columns, rows, values
    last = columns == columns.max()
    return columns[last], rows[last], values[last]


def _cut_last_column(triples: memoryview, last: int) -> tuple[Ints, Ints, Floats] | None:
    """The cells of column `last`, None where they are not written as plain compact numbers."""
    # A cell beyond the last candle means that candles are missing: not the ordinary case.
    if re.search(rb"\[%d," % (last + 1), triples):
        return None
    # A cell that only begins right is found as well, without its level and value.
    found = re.findall(_CELL_OF_COLUMN % last, triples)
    if not found or (b"", b"") in found:
        return None
    cells = np.array([(float(row), float(value)) for row, value in found], dtype=np.float64)
    return np.full(len(cells), last, dtype=np.int64), cells[:, 0].astype(np.int64), cells[:, 1].copy()


def _all_cells(triples: bytes, what: str) -> tuple[Ints, Ints, Floats]:
    table = _flat_cells(triples)
    if table is None:
        table = _checked_cells(triples, what)
    columns, rows, values = np.ascontiguousarray(table.T)
    return _indices(columns, what), _indices(rows, what), values


def _indices(numbers: Floats, what: str) -> Ints:
    # Beyond 2**31 a float would overflow on its way to an index; NaN fails the comparison as well.
    if numbers.size and not (numbers.min() > -(2**31) and numbers.max() < 2**31):
        raise CoinglassBadReply(f"{what}: a cell's column or level is out of all bounds")
    indices = numbers.astype(np.int64)
    if not np.array_equal(indices, numbers):
        raise CoinglassBadReply(f"{what}: a cell's column or level is no whole number")
    return indices


def _flat_cells(triples: bytes) -> Floats | None:
    """(N, 3) cells read as one long list of numbers, half the time of reading lists of three.

    None where anything but numbers is left of a list of lists of three when they are taken out.
    """
    frame = triples.translate(None, _OF_NUMBERS)
    cells = len(frame) // len(_FRAME_OF_CELL)
    if cells == 0 or frame != b"[" + (_FRAME_OF_CELL * cells)[:-1] + b"]":
        return None
    try:
        # For one long list of bare numbers twice as fast as msgspec.
        numbers = orjson.loads(b"[" + triples.translate(None, _NOT_OF_NUMBERS) + b"]")
    except orjson.JSONDecodeError:
        return None
    return (
        np.fromiter(numbers, np.float64, len(numbers)).reshape(-1, 3) if len(numbers) == 3 * cells else None
    )


def _checked_cells(triples: bytes, what: str) -> Floats:
    """(N, 3) cells, or the exact place that is wrong."""
    try:
        cells = _CELLS.decode(triples)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CoinglassBadReply(f"{what}: liquidation_leverage_data: {error}") from None
    return np.array(cells, dtype=np.float64).reshape(-1, 3)


def _check_cells(columns: Ints, rows: Ints, values: Floats, n_levels: int, n_columns: int, what: str) -> None:
    if columns.size == 0:
        raise CoinglassNoMap(f"{what}: CoinGlass has no such map (no cell has a value)")
    newest = int(columns.max())
    if columns.min() < 0 or newest >= n_columns:
        raise CoinglassBadReply(f"{what}: a cell lies in column {newest}, there are {n_columns} candles")
    if rows.min() < 0 or rows.max() >= n_levels:
        raise CoinglassBadReply(f"{what}: a cell lies on level {rows.max()}, there are {n_levels}")
    if newest < n_columns - 1 - MAX_MISSING_COLUMNS:
        raise CoinglassBadReply(f"{what}: columns stop short at {newest + 1} of {n_columns}")
    if not (values.min() >= 0 and values.max() <= _MOST_USD):
        raise CoinglassBadReply(f"{what}: a cell's value is negative, or no sum of money")


def _ascending(y_axis: Floats) -> Ints | None:
    """The order that sorts the levels, None where they are sorted."""
    if np.diff(y_axis).min(initial=1.0) >= 0:
        return None
    return np.argsort(y_axis, kind="stable")
