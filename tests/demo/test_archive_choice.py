"""A demo on an archive begins with the first map that is in it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from whalestack.clients.raw_archive import ArchiveBounds, RawArchive
from whalestack.clock import ManualClock
from whalestack.demo.choices import choose
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
