"""What a demo plays when it is not told: of an archive from its first map, of a recording the last hours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from whalestack.clients.raw_archive import ArchiveBounds, RawArchive
from whalestack.clock import ManualClock
from whalestack.demo.choices import PLAYED, RECORDED_COINS, choose
from whalestack.errors import StopAndTell

MAP = "/api/futures/liquidation/aggregated-heatmap/model2"


def test_an_archive_is_played_from_its_first_map(tmp_path: Path, clock: ManualClock) -> None:
    """Or from the moment that is asked for; a folder without replies is refused by name."""
    with pytest.raises(StopAndTell, match="holds no raw replies"):
        choose(f"archive:{tmp_path}", speed=None, start=None, coins=None)
    clock.advance(60)
    archive = RawArchive(tmp_path, clock, ArchiveBounds(min_free_bytes=0))
    archive.keep("coinglass", MAP, {"symbol": "BTC", "range": "24h"}, 200, b"{}")
    choice = choose(f"archive:{tmp_path}", speed=None, start=None, coins=None)
    assert (choice.market, choice.symbols) == (f"archive:{tmp_path}", ())
    assert choice.start == clock.now() + timedelta(minutes=4)
    later = clock.now() + timedelta(hours=1)
    assert choose(f"archive:{tmp_path}", speed=None, start=later, coins=None).start == later


def test_a_recording_is_played_to_its_end_with_the_liveliest_coins(tmp_path: Path) -> None:
    """What lies before is the past that maps are made from; coins that hardly move show nothing."""
    begin = datetime(2025, 10, 19, tzinfo=UTC)
    for number in range(RECORDED_COINS + 1):
        lines = [
            f"{begin + timedelta(minutes=5 * each):%Y-%m-%d %H:%M:%S},1,{1.01 + number / 100},1,1,1,1"
            for each in range(12 * 24)
        ]
        header = "timestamp,open,high,low,close,volume,turnover"
        (tmp_path / f"C{number:02}USDT_5m.csv").write_text("\n".join([header, *lines]))
    choice = choose(f"recorded:{tmp_path}", speed=None, start=None, coins=None)
    assert choice.symbols == tuple(f"C{number:02}USDT" for number in range(1, RECORDED_COINS + 1))
    assert choice.start == begin + timedelta(minutes=5 * (12 * 24 - 1)) - PLAYED
    assert choose(f"recorded:{tmp_path}", speed=None, start=begin, coins=2).symbols == ("C19USDT", "C20USDT")
