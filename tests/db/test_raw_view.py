"""`liquidation_data_raw` shows stored maps level by level."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from whalestack.clock import ManualClock
from whalestack.db.engine import Database
from whalestack.db.heatmap_rows import FetchedMap
from whalestack.db.heatmap_store import store_maps
from whalestack.db.models import LiquidationSnapshot
from whalestack.db.packed import pack, unpack
from whalestack.math.heatmap import LevelMap


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


@given(
    levels=st.lists(
        st.tuples(st.floats(1e-12, 1e12), st.one_of(st.just(0.0), st.floats(1e-12, 1e15))), max_size=40
    )
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_sql_reads_what_python_packed(db: Database, levels: list[tuple[float, float]]) -> None:
    """The format is told twice, in `packed.py` and in `map_levels`: to the last bit the same."""
    packed = [pack([level[place] for level in levels]) for place in (0, 1)]
    with db.begin() as work:
        rows = work.session.execute(
            text("select price, value from map_levels(:prices, :values)"),
            dict(zip(("prices", "values"), packed, strict=True)),
        ).all()
    told = zip(unpack(packed[0]), unpack(packed[1]), strict=True)
    assert [tuple(row) for row in rows] == [(float(price), float(value)) for price, value in told]


def test_the_view_of_now_shows_the_newest_map_however_long_it_stands(
    db: Database, clock: ManualClock
) -> None:
    """At the price of the last fetch: a level that price has passed is on the other side."""
    levels = LevelMap("7d", 2.0, np.array([1.5, 2.5]), np.array([1000.0, 3000.0]), map_time_ms=0)
    first, last = clock.now(), clock.now() + timedelta(hours=1)
    with db.begin() as work:
        for at, price in ((first, 2.0), (last, 2.75)):
            now = replace(levels, price=price)
            store_maps(work.session, [FetchedMap("EVAAUSDT", now, (), at, None, "coinglass")])
        rows = work.session.execute(text("select * from liquidation_data_now order by price")).all()

    assert [
        ("EVAAUSDT", "7d", 1.5, 1000.0, "long", last),
        ("EVAAUSDT", "7d", 2.5, 3000.0, "long", last),
    ] == [tuple(row) for row in rows]
