"""The doctor on real stores: all well beside a simulator, and one sentence each where nothing answers."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tests.simulator.served_world import served, small_world
from whalestack.config import Settings
from whalestack.dispatch import RecordingDispatcher
from whalestack.doctor import examine
from whalestack.runtime import Runtime

pytestmark = pytest.mark.timeout(120)


def runtime_at(service_settings: Settings, port: int) -> Runtime:
    stores = ("database_url", "redis_url", "redis_state_url")
    values = {name: getattr(service_settings, name) for name in stores}
    return Runtime(Settings(_env_file=None, simulator_port=port, **values), RecordingDispatcher())


def test_all_is_well_beside_a_simulator(service_settings: Settings) -> None:
    key = Settings(_env_file=None).coinglass_api_key
    with served(small_world(service_settings, coinglass_api_key=key)) as simulator:
        port = urlsplit(simulator.url).port
        assert port is not None
        findings = examine(runtime_at(service_settings, port))
    assert [finding for finding in findings if not finding.ok] == []
    assert [finding.check for finding in findings] == [
        *("settings", "database", "redis", "bybit", "bybit key", "clock skew", "coinglass", "telegram", "x")
    ]


def test_what_does_not_answer_is_named_and_hides_nothing(service_settings: Settings) -> None:
    findings = {finding.check: finding for finding in examine(runtime_at(service_settings, 1))}
    assert {name for name, finding in findings.items() if not finding.ok} == {
        *("bybit", "bybit key", "clock skew", "coinglass", "telegram")
    }
    assert all(finding.says and "\n" not in finding.says for finding in findings.values())


def test_no_finding_tells_a_key(service_settings: Settings) -> None:
    """The address of a bot holds its token, and an error may hold the address."""
    runtime = runtime_at(service_settings, 1)
    told = " ".join(finding.says for finding in examine(runtime))
    for secret in (runtime.settings.telegram_bot_token, runtime.settings.coinglass_api_key):
        assert secret.get_secret_value() not in told
