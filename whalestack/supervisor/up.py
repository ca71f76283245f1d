"""`whalestack up`: the whole system against the services that the settings name."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import requests
import structlog
from pydantic import SecretStr

from whalestack.agents.key_safety import key_obstacle
from whalestack.clients.bybit.port import TradingPort
from whalestack.config import HeatmapSource, Mode, Settings, child_environment
from whalestack.db.migrations import schema_obstacle
from whalestack.errors import StopAndTell
from whalestack.runtime import Runtime, get_runtime
from whalestack.supervisor.parent import own_pid
from whalestack.supervisor.plan import (
    STAGE_BEAT,
    STAGE_SIMULATOR,
    STAGE_STREAMS,
    STAGE_WORKERS,
    process_specs,
)
from whalestack.supervisor.process import ProcessSpec
from whalestack.supervisor.supervisor import Supervisor

logger = structlog.get_logger(__name__)

SIMULATOR_START_S = 60.0


def run_up(settings: Settings, only: Sequence[str] = ()) -> int:
    """Run until SIGINT or SIGTERM.

    Args:
        settings: of every process.
        only: names of the processes to run, as on a second host; none for all.

    Raises:
        StopAndTell: a value is missing, a port is taken, the schema is not current, the key
            is not one to trade with, or there is no process of a name.
    """
    require_values(settings)
    specs = chosen(process_specs(settings), only)
    require_free_ports(settings, [spec.name for spec in specs])
    _require_schema(settings)
    require_safe_key(get_runtime().bybit, settings)
    env = child_environment(None, SUPERVISOR_PID=str(own_pid()))
    with stop_event() as stop, Supervisor(specs, env, settings.run_dir / "logs") as supervisor:
        start_stages(supervisor, get_runtime())
        while not stop.wait(1.0):
            supervisor.watch()
    return 0


def chosen(specs: Sequence[ProcessSpec], only: Sequence[str]) -> list[ProcessSpec]:
    """The processes of these names, or all.

    Raises:
        StopAndTell: names what there is not, and what there is.
    """
    unknown = sorted(set(only) - {spec.name for spec in specs})
    if unknown:
        names = ", ".join(sorted(spec.name for spec in specs))
        raise StopAndTell(f"there is no process {', '.join(unknown)}; there are {names}")
    return [spec for spec in specs if not only or spec.name in only]


def require_values(settings: Settings) -> None:
    """See that what the mode needs is there.

    Raises:
        StopAndTell: names every line of `.env` that is missing.
    """
    needed: dict[str, SecretStr] = {}
    if settings.mode not in (Mode.DEMO, Mode.PAPER):
        needed |= {"BYBIT_API_KEY": settings.bybit_api_key, "BYBIT_API_SECRET": settings.bybit_api_secret}
    if settings.mode is not Mode.DEMO and settings.heatmap_source is HeatmapSource.COINGLASS:
        needed["COINGLASS_API_KEY"] = settings.coinglass_api_key
    missing = [name for name, value in needed.items() if not value.get_secret_value()]
    if missing:
        raise StopAndTell(
            f"MODE={settings.mode.value} needs {', '.join(missing)}: set it in .env, or use MODE=demo"
        )


def require_free_ports(settings: Settings, processes: Collection[str]) -> None:
    """See that nobody else has the ports that these processes will open.

    Raises:
        StopAndTell: names the port and the line of `.env` that changes it.
    """
    ports = {}
    if "flower" in processes:
        ports["FLOWER_PORT"] = settings.flower_port
    if "simulator" in processes:
        ports["SIMULATOR_PORT"] = settings.simulator_port
    for name, port in ports.items():
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                raise StopAndTell(f"port {port} is taken: set another {name} in .env") from None


def start_stages(supervisor: Supervisor, runtime: Runtime) -> None:
    """Start everything in the order in which the parts need each other."""
    supervisor.start(STAGE_SIMULATOR)
    if any(process.spec.stage == STAGE_SIMULATOR for process in supervisor.processes):
        wait_for_simulator(supervisor, runtime.settings)
    # Streams and workers know coins only from the table.
    runtime.coin_scanner.refresh()
    # Where the last run ended a minute ago its comparison is young, and signals of then may wait.
    runtime.reconciler.require("the system has just started")
    for stage in (STAGE_WORKERS, STAGE_STREAMS, STAGE_BEAT):
        supervisor.start(stage)


def wait_for_simulator(supervisor: Supervisor, settings: Settings) -> None:
    """Until the simulator answers.

    Raises:
        StopAndTell: it ended or did not answer in time; names its log.
    """
    simulator = next(p for p in supervisor.processes if p.spec.stage == STAGE_SIMULATOR)
    deadline = time.monotonic() + SIMULATOR_START_S
    while time.monotonic() < deadline and simulator.is_running():
        try:
            if requests.get(f"{settings.simulator_url}/sim/health", timeout=2).ok:
                return
        except requests.RequestException:
            time.sleep(0.1)
    last = _last_line(simulator.log_path.read_text())
    raise StopAndTell(f"the simulator did not start; {last} (log: {simulator.log_path})")


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it wrote nothing"


def _require_schema(settings: Settings) -> None:
    obstacle = schema_obstacle(settings.database_url.get_secret_value())
    if obstacle is not None:
        raise StopAndTell(obstacle)


def require_safe_key(exchange: TradingPort, settings: Settings) -> None:
    """Refuse to start with a key that may withdraw, or that may not trade.

    Raises:
        StopAndTell: what is wrong with the key, and what to do.
    """
    obstacle = key_obstacle(exchange, settings)
    if obstacle is not None:
        raise StopAndTell(obstacle)


@contextmanager
def stop_event() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set, for as long as the block runs."""
    stop = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
