"""The command from a folder to its report, its page and its digest."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
from typer.testing import CliRunner

from tests.backtest.random_market import candles
from whalestack.cli import app


def test_a_folder_becomes_a_report_a_page_and_a_digest(tmp_path: Path) -> None:
    for coin in candles(coins=2, bars=150).coins:
        rows = coin.rows[300]
        frame = pd.DataFrame(
            rows.values.T, columns=["open", "high", "low", "close", "volume", "turnover"], dtype=float
        )
        frame.insert(0, "timestamp", pd.to_datetime(rows.start_ms, unit="ms"))
        frame.to_csv(tmp_path / f"{coin.symbol}_5m.csv", index=False)
    report, page, lines = (tmp_path / name for name in ("report.json", "page.html", "lines.txt"))
    asked = ["backtest", "--candles", str(tmp_path), "--agents", "conservative,reversal-ladder", "--digest"]
    asked += ["--json", str(report), "--html", str(page), "--decisions", str(lines)]

    result = CliRunner().invoke(app, asked)

    assert 0 == result.exit_code, result.output
    made = json.loads(report.read_text())
    assert made["headline"] == result.output.splitlines()[0]
    assert ["COIN0USDT", "COIN1USDT"] == made["symbols"]
    assert all(agent["digest"] in result.output for agent in made["agents"])
    assert "<svg" in page.read_text()
    assert "http" not in page.read_text()
    assert lines.exists()
