"""The board and the coins on the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import get_args

import pytest
from typer.testing import CliRunner, Result

from tests.scanners.market_rows import add_coin, add_minutes
from whalestack.cli import app, base, universe
from whalestack.clock import ManualClock
from whalestack.config import Settings
from whalestack.db.agent_store import log_action
from whalestack.db.engine import Database
from whalestack.db.live import LiveTick
from whalestack.db.models.market import CHANGE_MEASURES, CHANGE_WINDOWS
from whalestack.dispatch import RecordingDispatcher
from whalestack.runtime import Runtime
from whalestack.scanners.board import BoardScanner


@pytest.fixture
def runtime(
    monkeypatch: pytest.MonkeyPatch,
    service_settings: Settings,
    dispatcher: RecordingDispatcher,
    clock: ManualClock,
) -> Iterator[Runtime]:
    runtime = Runtime(service_settings, dispatcher)
    runtime.clock = clock  # type: ignore[assignment]
    monkeypatch.setattr(base, "get_settings", lambda: service_settings)
    monkeypatch.setattr(base, "get_runtime", lambda: runtime)
    yield runtime
    runtime.close()


def whalestack(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def symbols(*words: str) -> list[str]:
    return [row["symbol"] for row in json.loads(whalestack(*words, "--json").stdout)]


@pytest.fixture
def board(runtime: Runtime, db: Database, clock: ManualClock) -> None:
    """A rises by 10 % in the last five minutes, B falls by 10, C has ten minutes of history, D none."""
    for symbol in ("AUSDT", "BUSDT", "CUSDT", "DUSDT"):
        add_coin(db, symbol, clock.now())
    add_minutes(db, "AUSDT", clock.now(), [100.0] * 40 + [110.0], turnover=[10.0] * 36 + [5.0] * 5)
    add_minutes(db, "BUSDT", clock.now(), [100.0] * 40 + [90.0], turnover=[10.0] * 36 + [50.0] * 5)
    add_minutes(db, "CUSDT", clock.now(), [100.0] * 10)
    BoardScanner(db=db, clock=clock).scan()


def test_the_choices_are_those_of_the_table() -> None:
    assert get_args(universe.Measure) == CHANGE_MEASURES
    assert get_args(universe.Window) == tuple(CHANGE_WINDOWS)


def test_the_board_is_ordered_by_what_was_asked_for(board: None) -> None:
    """Largest rise first, or with --down the largest fall; volume has an order of its own."""
    assert symbols("board", "--by", "price", "--window", "5m") == ["AUSDT", "CUSDT", "BUSDT"]
    assert symbols("board", "--by", "price", "--window", "5m", "--down") == ["BUSDT", "CUSDT", "AUSDT"]
    assert symbols("board", "--by", "volume", "--window", "5m", "--limit", "1") == ["BUSDT"]


def test_what_is_not_known_is_null_and_stands_last_with_its_reason(board: None) -> None:
    """Ten minutes say nothing of the last half hour."""
    shown = whalestack("board", "--window", "30m", "--json")
    row = json.loads(shown.stdout)[-1]
    assert (row["symbol"], row["rank"], row["price_pct"]) == ("CUSDT", None, None)
    assert row["note"] == "too little history"
    assert "1 of 3 coins have too little history for price over 30m" in shown.stderr


def test_an_old_board_says_so(board: None, clock: ManualClock) -> None:
    """The system stands still: the figures are not of now."""
    assert "minutes old" not in whalestack("board").stderr
    clock.advance(600)
    assert "this board is 10 minutes old" in whalestack("board").stderr


def test_a_window_that_does_not_exist_is_a_usage_error(runtime: Runtime) -> None:
    assert whalestack("board", "--window", "7m").exit_code == 2
    assert whalestack("board", "--by", "mood").exit_code == 2


@pytest.mark.parametrize("words", [("board",), ("board", "--check"), ("coins",), ("coins", "--skipped")])
def test_nothing_yet_is_an_empty_list_and_a_sentence(runtime: Runtime, words: tuple[str, ...]) -> None:
    assert json.loads(whalestack(*words, "--json").stdout) == []
    shown = whalestack(*words)
    assert (shown.exit_code, len(shown.stdout) > 3) == (0, True)


def test_the_latest_comparison_with_coinglass_is_shown(
    runtime: Runtime, db: Database, clock: ManualClock
) -> None:
    differences = [
        {"symbol": "AUSDT", "measure": "price", "window": "1h", "ours_pct": 5.0, "theirs_pct": 1.0}
    ]
    details = {
        "windows": ["1h", "24h"], "tolerance_pct": {"price": 1.0, "oi": 5.0}, "compared": 400, "beyond": 1,
        "differences": differences,
    }  # fmt: skip
    with db.begin() as work:
        log_action(
            work.session,
            agent_name="board-check",
            action="board_compared",
            now=clock.now(),
            details=details,
        )
    shown = whalestack("board", "--check", "--json")
    assert json.loads(shown.stdout) == differences
    assert "1 of 400 changes over 1h, 24h differ by more than" in shown.stderr


def test_each_coin_says_whether_it_is_followed_and_what_speaks_against_trading_it(
    runtime: Runtime, db: Database, clock: ManualClock
) -> None:
    """A followed and traded one, a major, a wide spread, one that CoinGlass lacks."""
    now = clock.now()
    add_coin(db, "AUSDT", now, turnover_24h_usd=9e6, launched_at=now - timedelta(days=10))
    add_coin(db, "BTCUSDT", now, turnover_24h_usd=8e6, is_major=True)
    add_coin(db, "WIDEUSDT", now, turnover_24h_usd=7e6)
    add_coin(db, "ODDUSDT", now, turnover_24h_usd=6e6, skipped_reason="no such coin at CoinGlass")
    runtime.live.put_many(
        [
            LiveTick("AUSDT", clock.now_ms(), 100.0, bid=99.9, ask=100.1),
            LiveTick("WIDEUSDT", clock.now_ms(), 100.0, bid=98.0, ask=102.0),
        ]
    )
    rows = {row["symbol"]: row for row in json.loads(whalestack("coins", "--json").stdout)}
    assert list(rows) == ["AUSDT", "BTCUSDT", "WIDEUSDT", "ODDUSDT"]
    assert [row["followed"] for row in rows.values()] == [True, True, True, False]
    assert [row["tradable"] for row in rows.values()] == [True, False, False, False]
    assert "is a major" in rows["BTCUSDT"]["against"]
    assert "bid and ask are 4.00 % apart, 0.5 % at most" in rows["WIDEUSDT"]["against"]
    assert (rows["AUSDT"]["age_days"], rows["AUSDT"]["spread_pct"]) == (10.0, pytest.approx(0.2))
    assert rows["ODDUSDT"]["skipped_reason"] == "no such coin at CoinGlass"
    assert symbols("coins", "--skipped") == ["ODDUSDT"]
