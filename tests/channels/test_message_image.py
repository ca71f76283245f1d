"""The picture of a signal: what it shows, and that both channels take it."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.channels.loopback import Channels
from whalestack.agents.message_image import (
    BACKGROUND,
    HEIGHT,
    LONGS,
    PRICE_LINE,
    SHORTS,
    TARGET_LINE,
    WIDTH,
    liquidity_png,
)
from whalestack.clients.telegram.client import TelegramClient
from whalestack.clients.x.client import XClient
from whalestack.math.heatmap import LevelMap

NOW_MS = 1_760_875_200_000


def level_map(prices: list[float], values: list[float], price: float = 100.0) -> LevelMap:
    return LevelMap("7d", price, np.array(prices), np.array(values), NOW_MS)


def pixels_of(png: bytes) -> np.ndarray:
    """Read back an unfiltered RGB picture, checking every chunk's checksum."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    position, chunks = 8, {}
    while position < len(png):
        (length,) = struct.unpack(">I", png[position : position + 4])
        kind, data = png[position + 4 : position + 8], png[position + 8 : position + 8 + length]
        (checksum,) = struct.unpack(">I", png[position + 8 + length : position + 12 + length])
        assert zlib.crc32(kind + data) == checksum
        chunks[kind], position = data, position + 12 + length
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), dtype=np.uint8).reshape(height, 1 + 3 * width)
    return lines[:, 1:].reshape(height, width, 3)


def test_bars_lie_at_their_prices_with_lengths_in_proportion() -> None:
    """The picture spans 125 to 75 over 400 rows: 110 lies in row (25-10)/50*399 = 120, 85 in row
    (25+15)/50*399 = 319; half of the largest value is half of the width."""
    pixels = pixels_of(liquidity_png(level_map([85, 110], [4e6, 2e6]), target_price=112.5))
    assert (HEIGHT, WIDTH, 3) == pixels.shape
    assert (SHORTS, BACKGROUND) == (tuple(pixels[120, WIDTH // 2 - 1]), tuple(pixels[120, WIDTH // 2]))
    assert LONGS == tuple(pixels[319, WIDTH - 1])
    assert PRICE_LINE == tuple(pixels[200, 0])
    assert TARGET_LINE == tuple(pixels[100, 0])


def test_what_lies_outside_the_picture_is_not_shown() -> None:
    pixels = pixels_of(liquidity_png(level_map([50, 130], [1e6, 1e6]), target_price=200.0))
    colours = {tuple(colour) for colour in np.unique(pixels.reshape(-1, 3), axis=0)}
    assert {BACKGROUND, PRICE_LINE} == colours


@pytest.mark.parametrize("levels", [0, 1])
def test_an_empty_map_is_a_picture_of_the_price_alone(levels: int) -> None:
    pixels = pixels_of(liquidity_png(level_map([101.0] * levels, [0.0] * levels)))
    assert PRICE_LINE == tuple(pixels[200, 0])


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(10, 300), st.integers(0, 10**9)), max_size=40, unique_by=lambda level: level[0]
    ),
    st.sampled_from([0.5, 2.0, 1024.0]),
)
def test_the_picture_does_not_depend_on_the_scale(levels: list[tuple[int, int]], factor: float) -> None:
    """Powers of two scale without rounding, so the bytes must be equal."""
    prices, values = [float(p) for p, _ in sorted(levels)], [float(v) for _, v in sorted(levels)]
    small = liquidity_png(level_map(prices, values))
    large = liquidity_png(
        level_map([p * factor for p in prices], [v * factor for v in values], price=100.0 * factor)
    )
    assert small == large


def test_both_channels_take_the_picture(channels: Channels, telegram: TelegramClient, x: XClient) -> None:
    picture = liquidity_png(level_map(list(np.linspace(80, 120, 120)), list(np.linspace(1e5, 2e6, 120))))
    telegram.send("chart", picture)
    x.send("chart", picture)
    assert len(picture) == channels.telegram.messages[0].photo_bytes
    assert [len(picture)] == list(channels.x.media.values())
