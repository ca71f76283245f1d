"""Settings are refused by name, modes decide endpoints, and `.env.example` tells them all."""

from __future__ import annotations

from pathlib import Path

import pytest
from dotenv import dotenv_values

from whalestack.config import LIVE_CONFIRMATION, Settings, child_environment, load_settings
from whalestack.errors import StopAndTell

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def no_file(tmp_path: Path) -> Path:
    return tmp_path / "absent.env"


def test_a_value_out_of_range_is_refused_by_its_name(no_file: Path) -> None:
    with pytest.raises(StopAndTell, match="RISK_PER_TRADE_PCT"):
        load_settings(no_file, risk_per_trade_pct=-1)


def test_every_bad_value_is_named_at_once(no_file: Path) -> None:
    with pytest.raises(StopAndTell) as refusal:
        load_settings(no_file, stop_max_pct=0, ranking_top="many")
    assert "STOP_MAX_PCT" in str(refusal.value)
    assert "RANKING_TOP" in str(refusal.value)


def test_a_refusal_never_repeats_the_value(no_file: Path) -> None:
    """The value could be a key that was put on the wrong line."""
    with pytest.raises(StopAndTell) as refusal:
        load_settings(no_file, ranking_top="a-secret-key")
    assert "a-secret-key" not in str(refusal.value)


def test_live_needs_the_second_switch(no_file: Path) -> None:
    with pytest.raises(StopAndTell, match="LIVE_TRADING_CONFIRMED"):
        load_settings(no_file, mode="live")
    assert load_settings(no_file, mode="live", live_trading_confirmed=LIVE_CONFIRMATION).is_real_money


def test_live_does_not_trade_to_learn_unless_told(no_file: Path) -> None:
    live = {"mode": "live", "live_trading_confirmed": LIVE_CONFIRMATION}
    assert not load_settings(no_file, **live).may_trade_without_history
    assert load_settings(no_file, **live, trade_without_history=True).may_trade_without_history
    assert load_settings(no_file).may_trade_without_history


def test_demo_reaches_no_real_service_whatever_the_file_holds(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text(
        "BYBIT_REST_URL=https://api.bybit.com\nBYBIT_API_KEY=real\nCOINGLASS_API_KEY=real\n"
        "TELEGRAM_BOT_TOKEN=real\nX_ACCESS_TOKEN=real\nSIMULATOR_PORT=1234\n"
    )
    settings = load_settings(env_file)
    endpoints = (settings.bybit_rest_url, settings.coinglass_url, settings.telegram_url, settings.x_url)
    assert endpoints == ("http://127.0.0.1:1234",) * 4
    keys = (
        settings.bybit_api_key,
        settings.coinglass_api_key,
        settings.telegram_bot_token,
        settings.x_access_token,
    )
    assert "real" not in [key.get_secret_value() for key in keys]


def test_paper_trades_on_the_simulator_and_tells_real_people(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("MODE=paper\nBYBIT_API_KEY=real\nTELEGRAM_BOT_TOKEN=real\n")
    settings = load_settings(env_file)
    assert settings.bybit_rest_url == settings.simulator_url
    assert settings.bybit_api_key.get_secret_value() != "real"
    assert settings.telegram_bot_token.get_secret_value() == "real"
    assert settings.simulator_market == "mirror:https://api.bybit.com"


def test_secrets_are_not_shown_when_settings_are_printed(no_file: Path) -> None:
    settings = load_settings(no_file, mode="testnet", bybit_api_secret="do-not-show")
    assert "do-not-show" not in repr(settings)
    assert "do-not-show" not in str(settings.model_dump())


def test_a_child_with_a_file_of_its_own_inherits_no_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MODE", "live")
    monkeypatch.setenv("PATH_OF_MINE", "kept")
    env = child_environment(tmp_path / "demo.env", SUPERVISOR_PID="1")
    assert "MODE" not in env
    assert env["PATH_OF_MINE"] == "kept"
    assert env["SUPERVISOR_PID"] == "1"


def test_the_example_file_has_every_setting_with_its_default_and_a_comment() -> None:
    example = ROOT / ".env.example"
    for_docker = {"POSTGRES_PASSWORD", "REDIS_PASSWORD", "GRAFANA_DB_PASSWORD", "GRAFANA_ADMIN_PASSWORD"}
    named = set(dotenv_values(example)) - for_docker
    assert named == {name.upper() for name in Settings.model_fields}
    from_example = load_settings(example)
    assert from_example == Settings(_env_file=None)
    for block in example.read_text().split("\n\n"):
        assert block.lstrip().startswith("#"), f"not explained: {block[:40]}"
