"""The command line: tables for people, JSON for programs, exit codes that mean something."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner, Result

from whalestack.agents.trading_gate import open_gate, read_gate
from whalestack.cli import app, base
from whalestack.clock import ManualClock
from whalestack.config import Settings
from whalestack.db.engine import Database
from whalestack.db.models import CoinRanking, FastPriceMover
from whalestack.dispatch import RecordingDispatcher
from whalestack.runtime import Runtime


@pytest.fixture
def runtime(
    monkeypatch: pytest.MonkeyPatch, service_settings: Settings, dispatcher: RecordingDispatcher
) -> Runtime:
    runtime = Runtime(service_settings, dispatcher)
    monkeypatch.setattr(base, "get_settings", lambda: service_settings)
    monkeypatch.setattr(base, "get_runtime", lambda: runtime)
    return runtime


def whalestack(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def rank(db: Database, clock: ManualClock) -> None:
    with db.begin() as work:
        at = {"created_at": clock.now()}
        work.session.add(CoinRanking(symbol="AAAUSDT", rank=1, direction="LONG", score=90.0, **at))
        work.session.add(CoinRanking(symbol="BBBUSDT", rank=2, direction="SHORT", score=80.0, **at))
        work.session.add(CoinRanking(symbol="CCCUSDT", dropped_reason="NEUTRAL", **at))


def test_rank_is_a_table_for_people_and_json_for_programs(
    runtime: Runtime, db: Database, clock: ManualClock
) -> None:
    rank(db, clock)
    assert "AAAUSDT" in whalestack("rank").stdout
    rows = json.loads(whalestack("rank", "--json").stdout)
    assert [(row["rank"], row["symbol"]) for row in rows] == [(1, "AAAUSDT"), (2, "BBBUSDT")]


def test_a_coin_that_is_not_ranked_says_why(runtime: Runtime, db: Database, clock: ManualClock) -> None:
    rank(db, clock)
    rows = json.loads(whalestack("rank", "--dropped", "--json").stdout)
    assert [(row["symbol"], row["dropped_reason"]) for row in rows] == [("CCCUSDT", "NEUTRAL")]


def test_movers_are_shown_newest_first(runtime: Runtime, db: Database, clock: ManualClock) -> None:
    for symbol in ("AAAUSDT", "BBBUSDT"):
        clock.advance(60)
        with db.begin() as work:
            work.session.add(
                FastPriceMover(symbol=symbol, detected_at=clock.now(), price_5min_change=6.0, price=1.0)
            )
    rows = json.loads(whalestack("movers", "--json").stdout)
    assert [row["symbol"] for row in rows] == ["BBBUSDT", "AAAUSDT"]


@pytest.mark.parametrize("command", ["rank", "movers", "signals", "trades"])
def test_nothing_yet_is_an_empty_list_and_a_sentence(runtime: Runtime, command: str) -> None:
    assert json.loads(whalestack(command, "--json").stdout) == []
    found = whalestack(command)
    assert (found.exit_code, "yet" in found.stdout) == (0, True)


def test_kill_works_while_everything_else_is_dead_and_resume_undoes_it(runtime: Runtime) -> None:
    """No worker and no exchange runs: the switch is thrown all the same, and the exit code says
    that orders could not be cancelled."""
    killed = whalestack("kill", "--reason", "storm")
    assert runtime.kill_switch.state().is_on
    assert runtime.kill_switch.state().reason == "storm"
    assert killed.exit_code == 1
    assert whalestack("resume").exit_code == 0
    assert not runtime.kill_switch.state().is_on


def test_nothing_is_traded_after_a_start_in_docker_before_both_sides_are_compared(runtime: Runtime) -> None:
    """The schema is brought up before every worker: that shuts the gate."""
    with runtime.db.begin() as work:
        open_gate(work.session, runtime.clock.now())
    assert whalestack("db", "upgrade").exit_code == 0
    with runtime.db.begin() as work:
        assert not read_gate(work.session).is_open


def test_an_unknown_command_is_a_usage_error() -> None:
    assert whalestack("trade-everything").exit_code == 2
