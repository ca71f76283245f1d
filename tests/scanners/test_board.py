"""The board of all coins."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import event, insert, select

from tests.scanners.market_rows import add_coin, add_minutes
from whalestack.clock import ManualClock
from whalestack.db.engine import Database
from whalestack.db.models import Candle, MarketChange, MarketTick
from whalestack.scanners.board import BoardReport, BoardScanner


def board(db: Database) -> dict[str, MarketChange]:
    with db.begin() as work:
        return {row.symbol: row for row in work.session.scalars(select(MarketChange))}


def test_changes_and_ranks_by_hand(db: Database, clock: ManualClock):
    """Three hours of minutes. A doubles in the last minute with twice the volume; B halves over 5 minutes."""
    now = clock.now()
    for symbol in ("AUSDT", "BUSDT", "CUSDT"):
        add_coin(db, symbol, now)
    add_minutes(
        db, "AUSDT", now, [100.0] * 180 + [200.0],
        turnover=[10.0] * 180 + [20.0], interest=[1000.0] * 180 + [1100.0],
    )  # fmt: skip
    add_minutes(db, "BUSDT", now, [100.0] * 176 + [90.0, 80.0, 70.0, 60.0, 50.0])
    report = BoardScanner(db=db, clock=clock).scan()
    rows = board(db)
    assert report.coins == 2
    assert set(rows) == {"AUSDT", "BUSDT"}
    first, second = rows["AUSDT"], rows["BUSDT"]
    assert (first.price, first.ts) == (200.0, now)
    assert (first.price_change_1m_pct, first.price_change_1h_pct) == (100.0, 100.0)
    assert first.oi_change_15m_pct == pytest.approx(10.0)
    assert (first.volume_change_1m_pct, first.volume_change_5m_pct) == (100.0, pytest.approx(20.0))
    assert (first.price_rank_5m, second.price_rank_5m) == (1, 2)
    assert second.price_change_5m_pct == pytest.approx(-50.0)
    assert second.volume_change_1h_pct == 0.0


def test_what_is_not_known_has_neither_change_nor_rank(db: Database, clock: ManualClock):
    """Three hours of bars say nothing of four hours or a day, nor of the volume before two hours."""
    add_coin(db, "AUSDT", clock.now())
    add_minutes(db, "AUSDT", clock.now(), [100.0] * 100, interest=None)
    BoardScanner(db=db, clock=clock).scan()
    row = board(db)["AUSDT"]
    assert (row.price_change_4h_pct, row.price_rank_4h) == (None, None)
    assert (row.oi_change_5m_pct, row.oi_rank_5m) == (None, None)
    assert (row.volume_change_30m_pct, row.volume_change_1h_pct) == (0.0, None)
    assert row.price_rank_1h == 1


def test_a_day_is_told_by_hourly_bars_and_the_exchanges_own_turnover(db: Database, clock: ManualClock):
    """Before we ran there are hourly bars: 80 a day ago, 100 now. Turnover 3M now, 2M then."""
    now = clock.now()
    add_coin(db, "AUSDT", now)
    add_minutes(db, "AUSDT", now, [100.0] * 10)
    day_ago = now - timedelta(hours=25)
    hourly = {
        "symbol": "AUSDT", "interval": "60", "start_at": day_ago, "open": 70.0, "high": 90.0, "low": 60.0,
        "close": 80.0, "volume": 1.0, "turnover_usd": 1.0, "open_interest": None,
    }  # fmt: skip
    ticks = [
        {"symbol": "AUSDT", "ts": at, "price": 1.0, "turnover_24h_usd": usd}
        for at, usd in ((now, 3e6), (now - timedelta(days=1), 2e6))
    ]
    with db.begin() as work:
        work.session.execute(insert(Candle).values(**hourly))
        work.session.execute(insert(MarketTick), ticks)
    BoardScanner(db=db, clock=clock).scan()
    row = board(db)["AUSDT"]
    assert row.price_change_24h_pct == pytest.approx(25.0)
    assert row.volume_change_24h_pct == pytest.approx(50.0)


def test_a_minute_has_one_board(db: Database, clock: ManualClock):
    """A second scan within the minute writes nothing new; without coins there is no board."""
    scanner = BoardScanner(db=db, clock=clock)
    assert scanner.scan() == BoardReport(0, 0)
    add_coin(db, "AUSDT", clock.now())
    add_minutes(db, "AUSDT", clock.now(), [100.0] * 10)
    scanner.scan()
    clock.advance(20)
    scanner.scan()
    assert len(board(db)) == 1


def test_the_board_reads_as_often_for_many_coins_as_for_few(db: Database, clock: ManualClock):
    """Five times: the coins, two lengths of bars, volumes, turnovers."""
    asked: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    counts = []
    for first, many in ((0, 2), (2, 40)):
        for number in range(first, many):
            add_coin(db, f"C{number:02d}USDT", clock.now())
            add_minutes(db, f"C{number:02d}USDT", clock.now(), [100.0] * 3)
        asked.clear()
        assert BoardScanner(db=db, clock=clock).scan().coins == many
        counts.append(len([text for text in asked if text.strip().lower().startswith("select")]))
        clock.advance(60)
    event.remove(db.engine, "before_cursor_execute", note)
    assert counts == [5, 5]
