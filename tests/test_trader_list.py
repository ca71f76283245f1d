"""AUTOTRADERS: what is read, what each trader's settings become, and every bad entry by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from whalestack.config import load_settings
from whalestack.errors import StopAndTell
from whalestack.trader_list import TraderSpec, parse_traders

EXAMPLE = "conservative-1:CONSERVATIVE,aggressive-1:AGGRESSIVE:risk=0.5:open=2,reversal-1:REVERSAL:off"


def test_entries_are_read() -> None:
    assert parse_traders(EXAMPLE + ", deep:conservative:ladder=12:on") == (
        TraderSpec("conservative-1", "CONSERVATIVE"),
        TraderSpec("aggressive-1", "AGGRESSIVE", risk_pct=0.5, open_positions=2),
        TraderSpec("reversal-1", "REVERSAL", enabled=False),
        TraderSpec("deep", "CONSERVATIVE", ladder_rungs=12),
    )
    assert parse_traders(" ") == ()


def test_each_trader_has_settings_of_its_own(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text(f"AUTOTRADERS={EXAMPLE}:ladder=off\nRISK_PER_TRADE_PCT=2\n")
    settings = load_settings(env_file)
    careful, bold, fader = settings.of_traders()
    assert (careful.risk_per_trade_pct, bold.risk_per_trade_pct) == (2.0, 0.5)
    assert (careful.autotrader_max_positions, bold.autotrader_max_positions) == (5, 2)
    assert (careful.ladder_rungs, fader.ladder_rungs) == (0, 1)
    assert [each.autotrader_strategy for each in (careful, bold, fader)] == [
        "CONSERVATIVE", "AGGRESSIVE", "REVERSAL",
    ]  # fmt: skip
    assert settings.acting_traders() == (careful, bold)
    assert settings.trader("reversal-1") == fader
    with pytest.raises(StopAndTell, match="conservative-1, aggressive-1, reversal-1"):
        settings.trader("nobody")


def test_without_a_list_there_is_the_one_trader_of_the_other_settings(tmp_path: Path) -> None:
    settings = load_settings(tmp_path / "absent", autotrader_name="me", autotrader_strategy="REVERSAL")
    assert settings.of_traders() == (settings,)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("careful", "careful needs a strategy"),
        ("careful:BRAVE", "careful needs a strategy"),
        ("a:REVERSAL,Not A Name:REVERSAL", "entry 2"),
        ("a-name-that-is-too-long:REVERSAL", "entry 1"),
        ("a:REVERSAL,a:AGGRESSIVE", "a is there twice"),
        ("kill-switch:REVERSAL", "kill-switch is the name of another agent"),
        ("a:REVERSAL:risk=0", "risk of a"),
        ("a:REVERSAL:risk=101", "risk of a"),
        ("a:REVERSAL:risk=nan", "risk of a"),
        ("a:REVERSAL:risk=much", "risk of a"),
        ("a:REVERSAL:open=0", "open of a"),
        ("a:REVERSAL:open=1.5", "open of a"),
        ("a:REVERSAL:ladder=21", "ladder of a"),
        ("a:REVERSAL:ladder=maybe", "ladder of a"),
        ("a:REVERSAL:riks=1", "option 1 of a"),
        ("a:REVERSAL:on=1", "option 1 of a"),
        ("a:REVERSAL:", "option 1 of a"),
        ("a:REVERSAL:on:off", "a has switch twice"),
        ("a:REVERSAL:risk=1:risk=2", "a has risk twice"),
    ],
)
def test_a_bad_entry_is_refused_by_name(tmp_path: Path, text: str, says: str) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text(f"AUTOTRADERS={text}\n")
    with pytest.raises(StopAndTell, match="AUTOTRADERS") as refusal:
        load_settings(env_file)
    assert says in str(refusal.value)


def test_a_ladder_that_could_reach_the_stop_is_refused_at_start(tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    with pytest.raises(StopAndTell, match="LADDER_DEPTH_PCT"):
        load_settings(absent, ladder_depth_pct=5, stop_min_pct=5)
    assert load_settings(absent, ladder_depth_pct=5, stop_min_pct=5, ladder_rungs=1).ladder_rungs == 1


def test_the_name_of_another_agent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StopAndTell, match="AUTOTRADER_NAME"):
        load_settings(tmp_path / "absent", autotrader_name="reconciler")
