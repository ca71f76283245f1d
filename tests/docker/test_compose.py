"""The compose file says what the code says, and keeps to the rules for running it.

No engine runs here. Where a compose client is installed it reads the file as it would before
starting it; the other tests read the file themselves.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from whalestack.config import Settings
from whalestack.db.migrations import ROOT
from whalestack.tasks.queues import queues

STORES = {"timescaledb", "redis", "grafana"}
SECRETS = (
    "POSTGRES_PASSWORD",
    "REDIS_PASSWORD",
    "GRAFANA_DB_PASSWORD",
    "GRAFANA_ADMIN_PASSWORD",
    "FLOWER_BASIC_AUTH",
)

Service = dict[str, Any]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Service]:
    found: dict[str, Service] = compose["services"]
    return found


def ours(services: dict[str, Service]) -> dict[str, Service]:
    return {name: service for name, service in services.items() if name not in STORES}


def test_a_compose_client_accepts_the_file(tmp_path: Path) -> None:
    clients = [["docker-compose"], ["docker", "compose"]]
    usable = [client for client in clients if shutil.which(client[0]) and answers(*client, "version")]
    if not usable:
        pytest.skip("no compose client is installed (Debian: apt install docker-compose)")
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    (tmp_path / ".env").write_text("".join(f"{name}=x\n" for name in SECRETS))

    done = subprocess.run(
        [*usable[0], "config", "--quiet"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (0, "") == (done.returncode, done.stderr)


def answers(*command: str) -> bool:
    return subprocess.run(command, check=False, capture_output=True, timeout=30).returncode == 0


def test_a_nice_worker_has_a_smaller_share_of_the_cores(
    services: dict[str, Service], settings: Settings
) -> None:
    """A fifth less for each step of niceness, as Linux weighs them within one container."""
    expected = {f"worker-{each.name}": round(1024 / 1.25**each.nice) for each in queues(settings)}

    assert expected == {
        name: service.get("cpu_shares", 1024)
        for name, service in services.items()
        if name.startswith("worker-")
    }


def test_each_queue_has_a_worker_started_as_the_code_says(
    services: dict[str, Service], settings: Settings
) -> None:
    start = ["celery", "--app", "whalestack.tasks.app", "worker", "--loglevel", "INFO"]
    expected = {f"worker-{queue.name}": [*start, *queue.worker_arguments()] for queue in queues(settings)}

    assert expected == {
        name: service["command"] for name, service in services.items() if name.startswith("worker-")
    }


def test_the_rest_of_the_system_is_there(services: dict[str, Service]) -> None:
    expected = {"timescaledb", "redis", "migrate", "beat", "streams", "flower", "grafana", "simulator"}

    assert expected == {name for name in services if not name.startswith("worker-")}


def test_the_stores_are_of_the_versions_that_the_design_names(services: dict[str, Service]) -> None:
    assert services["timescaledb"]["image"].startswith("timescale/timescaledb:2.22.")
    assert services["timescaledb"]["image"].endswith("-pg16")
    assert services["redis"]["image"].startswith("redis:7.4")


def test_all_that_is_ours_is_one_image(services: dict[str, Service]) -> None:
    assert {"whalestack:latest"} == {service["image"] for service in ours(services).values()}
    assert ["migrate"] == [name for name, service in services.items() if "build" in service]


def test_the_image_does_not_run_as_root() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    users = [line for line in lines if line.startswith("USER ")]

    assert ["USER whalestack"] == users
    assert lines.index("USER whalestack") > max(n for n, line in enumerate(lines) if line.startswith("FROM "))


def test_everything_comes_back_after_a_crash(services: dict[str, Service]) -> None:
    policies = {name: service["restart"] for name, service in services.items()}

    assert {"on-failure"} == {policies.pop("migrate")}  # it ends, and should
    assert {"unless-stopped"} == set(policies.values())


def test_everything_that_goes_on_is_watched(services: dict[str, Service]) -> None:
    assert ["migrate"] == [name for name, service in services.items() if "healthcheck" not in service]


def test_ports_are_published_on_loopback_and_only_for_people(services: dict[str, Service]) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}

    assert {"flower", "grafana"} == set(published)
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_the_stores_of_data_cannot_be_reached_from_outside(
    compose: dict[str, Any], services: dict[str, Service]
) -> None:
    assert compose["networks"]["inside"] == {"internal": True}
    assert [["inside"], ["inside"]] == [services[name]["networks"] for name in ("timescaledb", "redis")]


def test_no_secret_stands_in_the_file() -> None:
    """Each is taken from .env, and its absence is a sentence."""
    text = (ROOT / "docker-compose.yml").read_text()

    for name in SECRETS:
        assert f"${{{name}:?set {name}" in text
        assert f"${{{name}}}" not in text
        assert f"${{{name}:-" not in text


def test_every_name_that_the_file_asks_for_stands_in_the_example() -> None:
    example = (ROOT / ".env.example").read_text().splitlines()

    assert [] == [name for name in SECRETS if f"{name}=" not in example]


def test_nothing_of_ours_starts_before_the_schema_is_there(services: dict[str, Service]) -> None:
    late = {name: service["depends_on"] for name, service in ours(services).items() if name != "migrate"}

    assert {"service_completed_successfully"} == {needs["migrate"]["condition"] for needs in late.values()}


def test_beat_keeps_its_state_in_a_volume_and_there_is_one(services: dict[str, Service]) -> None:
    assert ["beat:/app/celerybeat-schedule"] == services["beat"]["volumes"]
    assert 1 == sum("beat" in service.get("command", []) for service in services.values())


def test_a_stop_waits_longer_than_the_longest_order_task(
    services: dict[str, Service], settings: Settings
) -> None:
    longest_s = max(queue.time_limit_s for queue in queues(settings) if queue.name in ("trade", "trailing"))

    assert int(services["worker-trade"]["stop_grace_period"].removesuffix("s")) > longest_s


def test_mounted_files_exist(services: dict[str, Service]) -> None:
    mounted = [volume.split(":")[0] for service in services.values() for volume in service.get("volumes", ())]

    assert [] == [path for path in mounted if path.startswith("./") and not (ROOT / path).exists()]


def test_the_image_gets_what_it_needs_and_no_keys() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source.rstrip("/")
        for line in (ROOT / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    }

    assert copied == allowed
    assert "*" in (ROOT / ".dockerignore").read_text().splitlines()
