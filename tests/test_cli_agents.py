"""Comparing agents on the command line."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from typer.testing import CliRunner

from whalestack.cli import app, base
from whalestack.clock import ManualClock
from whalestack.config import Settings
from whalestack.db.engine import Database
from whalestack.db.models import Trade
from whalestack.dispatch import RecordingDispatcher
from whalestack.runtime import Runtime
from whalestack.trader_list import parse_traders


@pytest.fixture
def _on_this_database(
    monkeypatch: pytest.MonkeyPatch, service_settings: Settings, dispatcher: RecordingDispatcher
) -> None:
    traders = parse_traders("careful:CONSERVATIVE,bold:AGGRESSIVE:risk=0.5")
    settings = service_settings.model_copy(update={"autotraders": traders})
    runtime = Runtime(settings, dispatcher)
    monkeypatch.setattr(base, "get_settings", lambda: settings)
    monkeypatch.setattr(base, "get_runtime", lambda: runtime)


def add_trade(db: Database, clock: ManualClock, agent: str, symbol: str, pnl_pct: float) -> None:
    with db.begin() as work:
        work.session.add(
            Trade(
                agent_name=agent,
                symbol=symbol,
                side="LONG",
                entry_price=Decimal(100),
                qty=Decimal(1),
                open_qty=Decimal(0),
                pnl_pct=pnl_pct,
                pnl_usd=Decimal(str(pnl_pct)),
                entry_time=clock.now(),
                exit_time=clock.now() + timedelta(hours=1),
                status="closed",
                mode="demo",
                updated_at=clock.now(),
            )
        )


def printed(*arguments: str) -> list[dict[str, object]]:
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    found: list[dict[str, object]] = json.loads(result.stdout)
    return found


@pytest.mark.usefixtures("_on_this_database")
def test_agents_are_shown_side_by_side(db: Database, clock: ManualClock) -> None:
    """Those of the settings first, with or without trades; then everybody else who traded."""
    add_trade(db, clock, "bold", "AUSDT", 3.0)
    add_trade(db, clock, "bold", "BUSDT", -1.0)
    add_trade(db, clock, "manual", "CUSDT", 1.0)
    rows = printed("agents")
    assert [(row["agent"], row["trades"], row["wins"]) for row in rows] == [
        ("careful", 0, 0), ("bold", 2, 1), ("manual", 1, 1),
    ]  # fmt: skip
    assert (rows[1]["mean_pnl_pct"], rows[1]["total_pnl_pct"], rows[1]["risk_pct"]) == (1.0, 2.0, 0.5)


@pytest.mark.usefixtures("_on_this_database")
def test_trades_of_one_agent(db: Database, clock: ManualClock) -> None:
    add_trade(db, clock, "bold", "AUSDT", 3.0)
    add_trade(db, clock, "manual", "CUSDT", 1.0)
    assert [row["symbol"] for row in printed("trades", "--agent", "bold")] == ["AUSDT"]
