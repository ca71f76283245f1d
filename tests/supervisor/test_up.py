"""What `whalestack up` refuses before it starts anything: one sentence that says what to do."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from whalestack.config import LIVE_CONFIRMATION, Settings, load_settings
from whalestack.errors import StopAndTell
from whalestack.supervisor.plan import process_specs
from whalestack.supervisor.up import chosen, require_free_ports, require_values, run_up


def settings_of(tmp_path: Path, **values: object) -> Settings:
    return load_settings(tmp_path / "absent.env", **values)


def test_the_demo_needs_no_key(tmp_path: Path) -> None:
    require_values(settings_of(tmp_path))


@pytest.mark.parametrize("mode", ["testnet", "bybit-demo", "live"])
def test_every_missing_key_is_named_at_once(tmp_path: Path, mode: str) -> None:
    settings = settings_of(tmp_path, mode=mode, live_trading_confirmed=LIVE_CONFIRMATION)
    with pytest.raises(StopAndTell, match="BYBIT_API_KEY, BYBIT_API_SECRET, COINGLASS_API_KEY"):
        require_values(settings)


def test_paper_needs_no_key_of_bybit(tmp_path: Path) -> None:
    with pytest.raises(StopAndTell, match="needs COINGLASS_API_KEY:"):
        require_values(settings_of(tmp_path, mode="paper"))
    require_values(settings_of(tmp_path, mode="paper", coinglass_api_key="k"))


def test_maps_of_our_own_need_no_key_of_coinglass(tmp_path: Path) -> None:
    """HEATMAP_SOURCE=model in paper mode needs no key at all."""
    require_values(settings_of(tmp_path, mode="paper", heatmap_source="model"))


@pytest.mark.parametrize("name", ["flower_port", "simulator_port"])
def test_a_taken_port_is_named_with_the_line_that_changes_it(
    tmp_path: Path, name: str, unused_ports: dict[str, int]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(StopAndTell, match=f"port {port} is taken: set another {name.upper()} in .env"):
            require_free_ports(
                settings_of(tmp_path, **(unused_ports | {name: port})), ["flower", "simulator"]
            )


def test_a_further_host_runs_only_what_is_named(tmp_path: Path) -> None:
    """Beside a host that has the ports, the streams and beat already."""
    settings = settings_of(tmp_path)
    specs = chosen(process_specs(settings), ["worker-heatmap", "worker-refetch"])
    assert ["worker-heatmap", "worker-refetch"] == sorted(spec.name for spec in specs)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        taken = settings_of(tmp_path, flower_port=port, simulator_port=port)
        require_free_ports(taken, [spec.name for spec in specs])


def test_a_process_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(StopAndTell, match="no process worker-heatmaps; there are beat, flower, simulator"):
        chosen(process_specs(settings_of(tmp_path)), ["worker-heatmaps", "beat"])


def test_a_database_without_the_schema_says_which_command_makes_it(
    service_settings: Settings, empty_database_url: str, unused_ports: dict[str, int]
) -> None:
    settings = load_settings(
        Path("absent.env"),
        database_url=empty_database_url,
        redis_url=service_settings.redis_url.get_secret_value(),
        **unused_ports,
    )
    with pytest.raises(StopAndTell, match="run `whalestack db upgrade`"):
        run_up(settings)


@pytest.fixture
def unused_ports() -> dict[str, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        return {"flower_port": one.getsockname()[1], "simulator_port": two.getsockname()[1]}
