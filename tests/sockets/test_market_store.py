"""What the streams see stands in the database once, as it was last."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from tests.sockets.coins import add_coin
from whalestack.db.engine import Database
from whalestack.db.live import LiveTick
from whalestack.db.market_store import BarRow, FollowedCoin, LearnedThresholds, LiquidationRow, MarketStore
from whalestack.db.models import Trade

MS = 1_760_875_200_123
TICK = LiveTick("AIAUSDT", MS, 1.25, 1.26, None, 1.27, 5e6, 1e7, -0.5)
BAR = BarRow("AIAUSDT", "1", MS - 123, 1.0, 2.0, 0.5, 1.5, 10.0, 15.0, 5e6)


@pytest.fixture
def store(db: Database) -> MarketStore:
    return MarketStore(db)


def rows(db: Database, query: str) -> list[Any]:
    with db.begin() as work:
        return [tuple(row) for row in work.session.execute(text(query))]


def test_a_tick_keeps_its_millisecond_and_stands_once(store: MarketStore, db: Database) -> None:
    store.put_ticks([TICK, replace(TICK, symbol="BIOUSDT")])
    store.put_ticks([replace(TICK, last=9.0)])

    found = rows(
        db, "select symbol, ts, price, bid_price, ask_price, funding_rate_pct from market_ticks order by 1"
    )

    moment = datetime(2025, 10, 19, 12, 0, 0, 123000, UTC)
    assert [
        ("AIAUSDT", moment, 1.25, None, 1.27, -0.5),
        ("BIOUSDT", moment, 1.25, None, 1.27, -0.5),
    ] == found


def test_an_open_bar_is_overwritten_and_keeps_a_known_open_interest(store: MarketStore, db: Database) -> None:
    store.put_bars([BAR])
    store.put_bars([replace(BAR, close=1.6, open_interest=None), replace(BAR, close=1.7, open_interest=None)])

    assert [(1.7, 5e6)] == rows(db, "select close, open_interest from candles")
    assert BAR.start_ms == store.last_bar_ms("AIAUSDT", "1")
    assert store.last_bar_ms("AIAUSDT", "60") is None


def test_a_liquidation_told_twice_is_one_row(store: MarketStore, db: Database) -> None:
    event = LiquidationRow(MS, "AIAUSDT", "Bybit", "long", 1.2, 500.0)

    store.put_liquidations([event, event])
    store.put_liquidations([event, replace(event, value_usd=501.0)])

    assert [("long", 500.0), ("long", 501.0)] == rows(
        db, "select side, value_usd from liquidation_orders order by value_usd"
    )


def test_nothing_to_write_is_written_without_a_transaction(store: MarketStore) -> None:
    store.put_ticks([])
    store.put_bars([])
    store.put_liquidations([])


def test_coins_that_trade_are_followed_the_busiest_first(store: MarketStore, db: Database) -> None:
    add_coin(db, "QUIETUSDT")
    add_coin(db, "BUSYUSDT", turnover=100.0)
    add_coin(db, "GONEUSDT", turnover=200.0, status="Closed")

    assert [
        FollowedCoin("BUSYUSDT", "A", 1000, 100.0),
        FollowedCoin("QUIETUSDT", "A", 1000, 0.0),
    ] == store.followed_coins()


def test_learned_thresholds_are_read(store: MarketStore, db: Database) -> None:
    statement = """
        insert into coin_thresholds
            (symbol, min_cluster_threshold, avg_cluster_size, oi_change_pct, last_updated)
        values ('AIAUSDT', 1, 1, 4.5, now())"""
    with db.begin() as work:
        work.session.execute(text(statement))

    assert {"AIAUSDT": LearnedThresholds(4.5, None, None, None, None)} == store.learned_thresholds()


def test_a_coin_that_is_held_is_followed_before_all_others(store: MarketStore, db: Database) -> None:
    """The universe may be cut short; a position's stop must not wait for a price that nobody follows."""
    add_coin(db, "QUIETUSDT", turnover=1.0)
    add_coin(db, "BUSYUSDT", turnover=100.0)
    now = datetime.now(UTC)
    with db.begin() as work:
        work.session.add(
            Trade(
                agent_name="a",
                symbol="QUIETUSDT",
                side="LONG",
                entry_price=Decimal(1),
                qty=Decimal(1),
                open_qty=Decimal(1),
                entry_time=now,
                mode="demo",
                updated_at=now,
            )
        )

    assert ["QUIETUSDT", "BUSYUSDT"] == [coin.symbol for coin in store.followed_coins()]
