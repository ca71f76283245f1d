"""`whalestack accuracy` over candle files: table, JSON and picture."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from typer.testing import CliRunner

from whalestack.backtest.hit_rates import studied_ranges
from whalestack.cli import app

RECORDED = Path(__file__).resolve().parents[2] / "shared/data/bybit_candles_50perps_20251019_20251022"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight days of five-minute candles of two coins."""
    for seed, symbol in enumerate(("BTCUSDT", "AUSDT")):
        rng = np.random.default_rng(seed)
        closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.002, 8 * 288)))
        start = np.datetime64("2025-10-01T00:00:00")
        lines = ["timestamp(UTC),open,high,low,close,volume,turnover"]
        for number, close in enumerate(closes):
            moment = start + np.timedelta64(5 * number, "m")
            prices = f"{close:.4f},{close * 1.002:.4f},{close * 0.998:.4f},{close:.4f}"
            lines.append(f"{moment},{prices},10,{1e5 * (2 - seed)}")
        (tmp_path / f"{symbol}_5m.csv").write_text("\n".join(lines))
    return tmp_path


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["accuracy", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_candle_files_give_a_table_json_and_a_picture(folder: Path, tmp_path: Path) -> None:
    """The same rows three ways; the picture is well-formed and has a line for each row."""
    picture = tmp_path / "rates.svg"
    (rows,) = json.loads(run("--candles", str(folder), "--json", "--picture", str(picture))).values()
    assert [(row["timeframe"], row["group"]) for row in rows if row["timeframe"] == "12h"] == [
        ("12h", "all"), ("12h", "major"), ("12h", "small"),
    ]  # fmt: skip
    assert all(0 <= row["hit"]["low"] <= row["hit"]["rate"] <= row["hit"]["high"] <= 1 for row in rows)
    assert rows[0]["clusters"] > 100
    dots = ElementTree.parse(picture).iter("{http://www.w3.org/2000/svg}circle")
    assert len(list(dots)) == 3 * len(rows)
    table = run("--candles", str(folder))
    # The answer stands in the first line of both.
    assert table.startswith(f"None of {len(rows)} lines is shown to beat chance; ")
    assert table.splitlines()[0] in picture.read_text()
    assert "2 coins, 5m candles" in table
    assert table.count("12h") == 3


def test_other_pictures_than_svg_are_refused(folder: Path) -> None:
    """Said before anything is measured."""
    result = CliRunner().invoke(app, ["accuracy", "--candles", str(folder), "--picture", "x.png"])
    assert result.exit_code != 0


def test_ranges_need_candles_for_twice_their_length() -> None:
    """Forty days of hours: up to 7d (14d needs 42 for three horizons); of days: from 7d on."""
    assert studied_ranges(960, 3600) == ("12h", "24h", "3d", "7d")
    assert studied_ranges(1000, 86_400) == ("7d", "14d", "30d", "90d", "180d", "1y")
    assert studied_ranges(10, 60) == ()


@pytest.mark.skipif(not RECORDED.exists(), reason="the recorded candles are not beside the project")
def test_recorded_candles_are_measured_as_they_are(tmp_path: Path) -> None:
    """Three of the fifty coins, twice: the same figures to the last digit."""
    for symbol in ("AIAUSDT", "SOLUSDT"):
        (tmp_path / f"{symbol}_5m.csv").symlink_to(RECORDED / f"{symbol}_5m.csv")
    first, second = (run("--candles", str(tmp_path), "--json") for _ in range(2))
    assert first == second
    assert "12h" in first
