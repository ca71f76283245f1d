"""One whole whalestack at market speed 1, as `whalestack up` runs it, with a machine's load beside it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fault_runs.exchange_record import ExchangeRecord
from sqlalchemy import text

from whalestack.config import Mode, Settings, child_environment
from whalestack.embedded.stores import embedded_stores
from whalestack.runtime import Runtime
from whalestack.sockets.status import StreamsStatus
from whalestack.supervisor.own_stores import free_port, fresh_database, fresh_folder, settings_of_run
from whalestack.supervisor.parent import own_pid
from whalestack.supervisor.plan import STAGE_SIMULATOR, process_specs
from whalestack.supervisor.process import ProcessSpec
from whalestack.supervisor.supervisor import Supervisor
from whalestack.supervisor.up import start_stages

DATABASE = "whalestack_latency"
MAP_SERVER = Path(__file__).with_name("map_server.py")
READY_WITHIN_S = 180.0
LOOK_EVERY_S = 0.5
CLOCK_TICKS_A_S = os.sysconf("SC_CLK_TCK")

# What every latency run has in common, and why it differs from the defaults: the clock is real,
# nothing but the time of things is to be judged, so no limit of the account may end a run.
COMMON = {
    "MODE": Mode.DEMO.value,
    "SIMULATOR_MARKET": "synthetic",
    "SIMULATOR_WARM_MAPS": "false",
    "SIMULATOR_EQUITY_USD": "1000000",
    "LOG_LEVEL": "INFO",
    "LOG_FORMAT": "json",
    "LADDER_RUNGS": "1",
    "RISK_PER_TRADE_PCT": "0.01",
    "MAX_OPEN_POSITIONS": "100000",
    "AUTOTRADER_MAX_POSITIONS": "100000",
    "MAX_EXPOSURE_PCT": "100000",
    "MAX_COIN_EXPOSURE_PCT": "100",
    "MAX_DAILY_LOSS_PCT": "100",
    "MAX_DRAWDOWN_PCT": "100",
    "COOLDOWN_AFTER_STOP_S": "0",
    "MAX_STOP_STREAK": "1000000",
    "MIN_TURNOVER_TO_RISK_RATIO": "0",
    "MIN_LISTING_AGE_H": "0",
    # Nothing is learned from a made-up past: the design's floors decide.
    "TRIGGER_MIN_OBSERVATIONS": "1000000",
}


@dataclass
class System:
    """A running system.

    Args:
        settings: of every process.
        runtime: of this process, on the same stores.
        supervisor: of the processes.
        record: the simulator's own record.
        logs: where the processes write their JSON lines.
        store_pids: of PostgreSQL's first process and of Redis, by name.
    """

    settings: Settings
    runtime: Runtime
    supervisor: Supervisor
    record: ExchangeRecord
    logs: Path
    store_pids: Mapping[str, int | None] = field(default_factory=dict)
    _cpu_before: dict[str, float] = field(default_factory=dict)

    def await_ready(self, coins: int) -> None:
        """Until every coin has a price and a history, and trading is allowed.

        Raises:
            TimeoutError: says what is missing.
        """
        deadline = time.monotonic() + READY_WITHIN_S
        while (missing := self._missing(coins)) is not None:
            if time.monotonic() > deadline:
                raise TimeoutError(missing)
            self.supervisor.watch()
            time.sleep(LOOK_EVERY_S)

    def _missing(self, coins: int) -> str | None:
        status = StreamsStatus.get(self.runtime.live)
        if status is None or status.history_filled < coins:
            return f"streams: {status}"
        with self.runtime.db.begin() as work:
            gate = work.session.scalar(text("select is_on from switches where name = 'reconciled'"))
        return None if gate else "the reconciler has not passed yet"

    def begin_measuring_cpu(self) -> None:
        """From now on `cpu_shares` counts."""
        self._cpu_before = {**self._cpu_s(), "": time.monotonic()}

    def cpu_shares(self) -> dict[str, float]:
        """Cores that each process and its children used since, by name."""
        elapsed_s = time.monotonic() - self._cpu_before[""]
        now = self._cpu_s()
        return {name: round((now[name] - self._cpu_before.get(name, 0.0)) / elapsed_s, 3) for name in now}

    def _cpu_s(self) -> dict[str, float]:
        ours = {
            process.spec.name: _cpu_of_group(process.popen.pid)
            for process in self.supervisor.processes
            if process.popen is not None
        }
        stores = {name: _cpu_of_family(pid) for name, pid in self.store_pids.items() if pid is not None}
        return ours | stores | {"benchmark": time.process_time()}


@contextmanager
def running_system(
    run_dir: Path, values: Mapping[str, str], *, with_maps: bool, keep: Callable[[ProcessSpec], bool]
) -> Iterator[System]:
    """Start everything and end it with the block.

    Args:
        run_dir: for the stores' data and the processes' logs.
        values: settings by environment name, over `COMMON`.
        with_maps: whether CoinGlass is a process of its own, whose maps cost next to nothing to
            make: what a map costs us is measured, and not what it costs to invent one.
        keep: which processes of `whalestack up` to run.
    """
    with embedded_stores(run_dir, durable=True) as stores:
        own = {"DATABASE_URL": fresh_database(stores, DATABASE), "RUN_DIR": str(run_dir)}
        own |= {"SIMULATOR_PORT": str(free_port()), "FLOWER_PORT": str(free_port())}
        own |= {"BEAT_STATE_DIR": str(fresh_folder(run_dir / "beat"))}
        map_port = free_port()
        if with_maps:
            own |= _coinglass_at(map_port, own["SIMULATOR_PORT"])
        env_file = run_dir / "latency.env"
        settings = settings_of_run(COMMON | dict(values) | stores.settings() | own, env_file)
        runtime = Runtime(settings)
        specs = [spec for spec in process_specs(settings) if keep(spec)]
        if with_maps:
            argv = [sys.executable, str(MAP_SERVER), str(map_port)]
            specs.append(ProcessSpec("maps", argv, STAGE_SIMULATOR))
        env = child_environment(env_file, SUPERVISOR_PID=str(own_pid()))
        with Supervisor(specs, env, run_dir / "logs") as supervisor:
            start_stages(supervisor, runtime)
            record = ExchangeRecord(settings.simulator_url)
            pids = {"postgres": stores.postgres.pid, "redis": stores.redis.pid}
            yield System(settings, runtime, supervisor, record, run_dir / "logs", pids)
        runtime.close()


def _coinglass_at(port: int, simulator_port: str) -> dict[str, str]:
    return {
        "COINGLASS_URL": f"http://127.0.0.1:{port}",
        "COINGLASS_WS_URL": f"ws://127.0.0.1:{simulator_port}/ws-api",
        "COINGLASS_API_KEY": "simulator-coinglass-key",
    }


def _cpu_of_group(leader: int) -> float:
    """CPU seconds of a process group's living members and of the children they have buried."""
    return _cpu_of(lambda fields: int(fields[3]) == leader)


def _cpu_of_family(parent: int) -> float:
    """The same of a process and its children: those of PostgreSQL begin sessions of their own."""
    return _cpu_of(lambda fields: parent in (int(fields[0]), int(fields[2])))


def _cpu_of(counts: Callable[[list[str]], bool]) -> float:
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text_of = stat.read_text()
        except OSError:
            continue
        fields = [text_of.partition(" ")[0], *text_of.rpartition(")")[2].split()]
        if counts(fields):
            total += sum(map(int, fields[12:16]))
    return total / CLOCK_TICKS_A_S
