"""What the demo plays when it is not told otherwise."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from whalestack.clock import from_ms
from whalestack.errors import StopAndTell
from whalestack.simulator.market.archive import archive_span

SYNTHETIC_SPEED = 30.0
SYNTHETIC_COINS = 60
RECORDED_SPEED = 60.0
RECORDED_COINS = 20
# Maps of then come every five minutes of the market, however fast it is played.
ARCHIVE_SPEED = 10.0
# So much of a recording is played; what lies before is the past that maps, wicks and thresholds
# are made from, and the more of it the better.
PLAYED = timedelta(hours=4, minutes=30)


@dataclass(frozen=True)
class Choice:
    """One demo.

    Args:
        market: ``synthetic``, ``recorded:FOLDER`` or ``archive:FOLDER``, the folder absolute.
        symbols: the coins that take part, empty for all of a synthetic or archived market.
        coins: how many coins a synthetic market has.
        speed: market seconds in a real second.
        start: market time at the start.
    """

    market: str
    symbols: tuple[str, ...]
    coins: int
    speed: float
    start: datetime


def choose(market: str, *, speed: float | None, start: datetime | None, coins: int | None) -> Choice:
    """Fill in what was left open.

    Raises:
        StopAndTell: the market is not one that can be played; says what is expected.
    """
    kind, _, folder = market.partition(":")
    if kind == "synthetic":
        return Choice(
            "synthetic",
            (),
            coins or SYNTHETIC_COINS,
            speed or SYNTHETIC_SPEED,
            _utc(start) or datetime.now(UTC),
        )
    if kind == "recorded":
        return _recorded(Path(folder), speed, _utc(start), coins)
    if kind == "archive":
        first_ms, _ = archive_span(Path(folder))
        name = f"archive:{Path(folder).resolve()}"
        return Choice(
            name, (), coins or SYNTHETIC_COINS, speed or ARCHIVE_SPEED, _utc(start) or from_ms(first_ms)
        )
    raise StopAndTell(f"--market {market}: give synthetic, recorded:FOLDER or archive:FOLDER")


def _utc(moment: datetime | None) -> datetime | None:
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)


def _recorded(folder: Path, speed: float | None, start: datetime | None, coins: int | None) -> Choice:
    files = sorted(folder.glob("*_5m.csv"))
    if not files:
        raise StopAndTell(f"--market recorded:{folder}: no *_5m.csv there; give a folder of candle files")
    ranges = {path.name.removesuffix("_5m.csv"): _daily_range_pct(path) for path in files}
    liveliest = sorted(ranges, key=lambda symbol: -ranges[symbol])[: coins or RECORDED_COINS]
    return Choice(
        f"recorded:{folder.resolve()}",
        tuple(sorted(liveliest)),
        len(liveliest),
        speed or RECORDED_SPEED,
        start or _start_of_play(files[0]),
    )


def _daily_range_pct(path: Path) -> float:
    """Mean high-low range of the file's candles in per cent: how lively the coin is."""
    with path.open(newline="") as lines:
        ranges = [
            (float(row["high"]) / float(row["low"]) - 1) * 100
            for row in csv.DictReader(lines)
            if float(row["low"]) > 0
        ]
    return sum(ranges) / len(ranges) if ranges else 0.0


def _start_of_play(path: Path) -> datetime:
    with path.open(newline="") as lines:
        moments = [row["timestamp"] for row in csv.DictReader(lines)]
    first, last = (datetime.fromisoformat(moment).replace(tzinfo=UTC) for moment in (moments[0], moments[-1]))
    return max(first, last - PLAYED)
