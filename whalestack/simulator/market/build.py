"""Which market the settings ask for."""

from __future__ import annotations

from pathlib import Path

from whalestack.config import Settings
from whalestack.errors import StopAndTell
from whalestack.simulator.market.archive import archive_span, open_archive
from whalestack.simulator.market.base import Market
from whalestack.simulator.market.mirror import open_mirror
from whalestack.simulator.market.recorded import open_recorded, recorded_span
from whalestack.simulator.market.synthetic import open_synthetic

RECORDED = "recorded:"
ARCHIVE = "archive:"
MIRROR = "mirror:"


def build_market(settings: Settings, start_ms: int) -> Market:
    """The market named by `SIMULATOR_MARKET`.

    Args:
        settings: `simulator_market` is ``synthetic``, ``recorded:FOLDER``, ``archive:FOLDER`` or
            ``mirror:URL``.
        start_ms: market time at which playing begins.

    Raises:
        StopAndTell: the name is none of these, or the market cannot be opened.
    """
    name, symbols, seed = settings.simulator_market, settings.simulator_symbols, settings.simulator_seed
    if name == "synthetic":
        return open_synthetic(settings.simulator_coins, start_ms=start_ms, seed=seed, symbols=symbols)
    if name.startswith(RECORDED):
        return open_recorded(Path(name.removeprefix(RECORDED)), symbols, start_ms=start_ms, seed=seed)
    if name.startswith(ARCHIVE):
        return open_archive(Path(name.removeprefix(ARCHIVE)), symbols, start_ms=start_ms, seed=seed)
    if name.startswith(MIRROR):
        url, coins = name.removeprefix(MIRROR), settings.simulator_coins
        return open_mirror(url, start_ms=start_ms, seed=seed, coins=coins, symbols=symbols)
    raise StopAndTell(
        f"SIMULATOR_MARKET={name} is none of synthetic, recorded:FOLDER, archive:FOLDER, mirror:URL"
    )


def first_moment(settings: Settings) -> int | None:
    """Where a market that lies in the past begins when nobody has set the clock, ms; None for one of now.

    A recording begins a day after its first five-minute candle, for there must be a past; an
    archive when its first map had come, for a map brings its own.

    Raises:
        StopAndTell: there is nothing to be played.
    """
    name = settings.simulator_market
    if name.startswith(RECORDED):
        first_ms, last_ms = recorded_span(Path(name.removeprefix(RECORDED)), settings.simulator_symbols)
        return min(first_ms + 86_400_000, (first_ms + last_ms) // 2)
    if name.startswith(ARCHIVE):
        return archive_span(Path(name.removeprefix(ARCHIVE)))[0]
    return None
