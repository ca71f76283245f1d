"""`liquidation_data_raw` shows stored maps level by level."""

from __future__ import annotations

from sqlalchemy import text

from whalestack.clock import ManualClock
from whalestack.db.engine import Database
from whalestack.db.models import LiquidationSnapshot


def test_a_level_above_price_holds_shorts_and_one_below_holds_longs(db: Database, clock: ManualClock) -> None:
    with db.begin() as work:
        work.session.add(
            LiquidationSnapshot(
                symbol="EVAAUSDT",
                timeframe="7d",
                fetched_at=clock.now(),
                price=2.0,
                prices=[1.5, 2.5],
                values=[1000.0, 3000.0],
                source="coinglass",
            )
        )
    with db.begin() as work:
        rows = work.session.execute(text("select * from liquidation_data_raw order by price")).all()

    assert [
        ("EVAAUSDT", "7d", 1.5, 1000.0, "long", clock.now()),
        ("EVAAUSDT", "7d", 2.5, 3000.0, "short", clock.now()),
    ] == [tuple(row) for row in rows]
