"""The claim that everything else about the backtest rests on: it decides what the running system decides."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from whalestack.clock import to_ms
from whalestack.parity.compare import Stretch, compare

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(300)]

CANDLES = "bybit_candles_50perps_20251019_20251022"
BEGIN = datetime(2025, 10, 20, 15, 25, tzinfo=UTC)
END = datetime(2025, 10, 20, 15, 35, tzinfo=UTC)
# So that within ten minutes an order fills, its stop moves twice and the trade is over.
QUICK = (("TRAILING_STEPS_PCT", "0.1:0.02,0.2:0.1,1:0.5,2:1"), ("ENTRY_OFFSET_PCT", "0.2"))


def test_ten_recorded_minutes_are_decided_alike(shared_data: Path, scratch_folder: Path) -> None:
    stretch = Stretch(
        folder=shared_data / CANDLES,
        symbols=("AIAUSDT", "BLESSUSDT", "COAIUSDT"),
        begin_ms=to_ms(BEGIN),
        end_ms=to_ms(END),
        agents=("conservative", "aggressive"),
        values=QUICK,
    )

    found = compare(stretch, scratch_folder / "run")

    assert found.failed == ()
    assert found.system.ordered() == found.backtest.ordered()
    assert found.system.digest() == found.backtest.digest()
    # The maps too, where the backtest makes them as the live source does: all but a little of what was
    # opened in the minutes since the start.
    assert found.as_live.decisions.ordered() == found.system.ordered()
    assert all(each.alike_pct > 99.5 for each in found.ranges)
    kinds = {line.split()[1] for line in found.system.lines}
    assert kinds == {"signal", "order", "fill", "stop", "close"}
