"""A picture of the liquidity around a price, for a signal's message: a PNG drawn with numpy.

Each pixel row is a price. A bar's length is the value that waits there, relative to the
largest bar shown: warm above the price, where shorts are liquidated, cool below it, where
longs are. A light line marks the price, a yellow one the target. There is no text in it:
the caption has the numbers.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from whalestack.math.heatmap import LevelMap

WIDTH, HEIGHT = 640, 400
REACH_PCT = 25.0
"""How far above and below the price the picture reaches, per cent."""

BACKGROUND = (16, 20, 28)
SHORTS = (236, 106, 76)
LONGS = (64, 160, 196)
PRICE_LINE = (230, 230, 230)
TARGET_LINE = (250, 210, 70)

Pixels = NDArray[np.uint8]


def liquidity_png(level_map: LevelMap, *, target_price: float | None = None) -> bytes:
    """Draw what stands in one map around its price.

    The picture does not change when every price, or every value, is multiplied by ten.

    Args:
        level_map: of one coin and range; an empty one gives a picture of the price alone.
        target_price: marked if it lies within the picture, in the unit of the map's prices.

    Returns:
        A PNG of 640 x 400 pixels.
    """
    lengths = _bar_lengths(level_map)
    pixels = np.empty((HEIGHT, WIDTH, 3), dtype=np.uint8)
    pixels[:] = BACKGROUND
    middle = _row_of(level_map.price, level_map.price)
    columns = np.arange(WIDTH)
    for first, last, colour in ((0, middle, SHORTS), (middle, HEIGHT, LONGS)):
        pixels[first:last][columns < lengths[first:last, None]] = colour
    pixels[middle] = PRICE_LINE
    if target_price is not None and abs(target_price / level_map.price - 1) * 100 <= REACH_PCT:
        pixels[_row_of(target_price, level_map.price)] = TARGET_LINE
    return encode_png(pixels)


def encode_png(pixels: Pixels) -> bytes:
    """Write pixels as a PNG (8-bit RGB, no interlace; the format's specification, chapters 5 and 11).

    Args:
        pixels: (height, width, 3) red, green, blue.
    """
    height, width, _ = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    # Each line begins with its filter type; 0 is none.
    lines = np.zeros((height, 1 + 3 * width), dtype=np.uint8)
    lines[:, 1:] = pixels.reshape(height, 3 * width)
    body = zlib.compress(lines.tobytes(), 9)
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", body), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _bar_lengths(level_map: LevelMap) -> NDArray[np.int64]:
    """(HEIGHT,) pixels of the bar in each row; where levels share a row the largest counts."""
    distance_pct = (level_map.prices / level_map.price - 1) * 100
    shown = (np.abs(distance_pct) <= REACH_PCT) & (level_map.values > 0)
    lengths = np.zeros(HEIGHT)
    if not shown.any():
        return lengths.astype(np.int64)
    rows = np.round((REACH_PCT - distance_pct[shown]) / (2 * REACH_PCT) * (HEIGHT - 1)).astype(np.int64)
    values = level_map.values[shown] / level_map.values[shown].max()
    for offset in _thickness(level_map):
        np.maximum.at(lengths, np.clip(rows + offset, 0, HEIGHT - 1), values)
    return np.ceil(lengths * WIDTH).astype(np.int64)


def _thickness(level_map: LevelMap) -> range:
    """Row offsets that a level covers, so that neighbouring levels touch."""
    if len(level_map.prices) < 2:
        return range(-1, 2)
    spacing_pct = float(np.median(np.diff(level_map.prices))) / level_map.price * 100
    rows = round(abs(spacing_pct) / (2 * REACH_PCT) * HEIGHT)
    reach = min(max(rows // 2, 1), HEIGHT // 40)
    return range(-reach, reach + 1)


def _row_of(price: float, center: float) -> int:
    distance_pct = (price / center - 1) * 100
    return round((REACH_PCT - distance_pct) / (2 * REACH_PCT) * (HEIGHT - 1))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
