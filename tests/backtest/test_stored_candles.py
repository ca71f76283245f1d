"""A system's own minutes as the candles of a backtest."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from tests.backtest.random_market import START_MS, candles, settings
from whalestack.backtest.command import Request, backtest_of
from whalestack.backtest.stored_candles import read_database
from whalestack.clock import from_ms
from whalestack.db.engine import Database
from whalestack.db.models import Candle
from whalestack.errors import StopAndTell

MINUTES = 400
HOLE = 7


def store(db: Database, symbol: str) -> None:
    """Random minutes, one of them missing, with open interest from the second hour on."""
    rows = candles(coins=1, bars=MINUTES, bar_s=60).coins[0].rows[60].values.T.tolist()
    with db.begin() as work:
        for number, (open_, high, low, close, volume, turnover) in enumerate(rows):
            if number == HOLE:
                continue
            work.session.add(
                Candle(
                    symbol=symbol,
                    interval="1",
                    start_at=from_ms(START_MS) + timedelta(minutes=number),
                    open=open_,
                    high=high,
                    low=low,
                    close=close,
                    volume=volume,
                    turnover_usd=turnover,
                    open_interest=1000.0 if number >= 60 else None,
                )
            )


def test_the_databases_minutes_are_played(db: Database) -> None:
    """With their hole filled and counted, and their recorded open interest."""
    store(db, "COIN0USDT")
    with db.begin() as work:
        found = read_database(work.session, [], None, None)
    coin = found.coins[0]
    assert coin.interest is not None
    assert (coin.symbol, coin.rows[60].start_ms.size) == ("COIN0USDT", MINUTES)
    assert np.array_equal(coin.interest[1], np.full(MINUTES - 60, 1000.0))
    report = backtest_of(Request("db"), settings(), found).report
    assert sum(report.repairs.values()) == 1


def test_only_what_is_asked_for_is_read(db: Database) -> None:
    """A coin that has none, and times before the first, are refused in a sentence."""
    store(db, "COIN0USDT")
    with db.begin() as work:
        with pytest.raises(StopAndTell, match="no one-minute candles"):
            read_database(work.session, ["OTHERUSDT"], None, None)
        with pytest.raises(StopAndTell, match="no one-minute candles"):
            read_database(work.session, [], None, START_MS)
