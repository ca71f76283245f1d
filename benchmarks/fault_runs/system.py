"""One whole whalestack: embedded stores, the simulator, every process under the supervisor."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from celery import Celery

from fault_runs.exchange_record import ExchangeRecord
from whalestack.config import Mode, Settings, child_environment
from whalestack.embedded.stores import EmbeddedStores, embedded_stores
from whalestack.runtime import Runtime
from whalestack.supervisor.own_stores import free_port, fresh_database, fresh_folder, settings_of_run
from whalestack.supervisor.parent import own_pid
from whalestack.supervisor.plan import process_specs
from whalestack.supervisor.process import ManagedProcess, ProcessSpec
from whalestack.supervisor.supervisor import Supervisor
from whalestack.supervisor.up import start_stages
from whalestack.tasks.factory import make_app

DATABASE = "whalestack_faults"
SPEED = 8.0
MAJORS = 2
# Two, as on two machines: every race between them is there, and one goes on while the other is dead.
TRADE_WORKERS = ("worker-trade", "worker-trade-2")
WATCH_S = 0.1
# 2026-03-02 00:20 UTC: away from midnight, where the day's loss is counted anew, and from funding.
MARKET_ORIGIN_MS = 1_772_410_800_000


def settings_values(seed: int, coins: int) -> dict[str, str]:
    """What differs from the defaults, and why it has to for a proof that takes minutes."""
    return {
        "MODE": Mode.DEMO.value,
        "CLOCK_SPEED": str(SPEED),
        "CLOCK_REAL_ORIGIN_MS": str(time.time_ns() // 1_000_000),
        "CLOCK_MARKET_ORIGIN_MS": str(MARKET_ORIGIN_MS),
        "SIMULATOR_MARKET": "synthetic",
        "SIMULATOR_SEED": str(seed),
        "SIMULATOR_COINS": str(coins + MAJORS),
        # Enough for ladders on every coin, whatever the load loses on the way.
        "SIMULATOR_EQUITY_USD": "300000",
        "AUTOTRADERS": "stairs:CONSERVATIVE:open=1000:ladder=5,single:CONSERVATIVE:open=1000:ladder=off",
        "SIMULATOR_WARM_MAPS": "false",
        # Shorter waits than in production: each one is waited out hundreds of times.
        "BYBIT_TIMEOUT_S": "2",
        "BYBIT_RECV_WINDOW_MS": "3000",
        "BROADCAST_TIMEOUT_S": "2",
        "ENTRY_WAIT_S": str(round(10 * SPEED)),
        "SIGNAL_MAX_AGE_S": str(round(20 * SPEED)),
        # Every message is worth telling, so that one that is missing is lost and not too old.
        "BROADCAST_MAX_AGE_S": "10000000",
        "X_KINDS": "entry,close",
        "X_POSTS_PER_DAY": "100000",
        "X_POSTS_PER_MONTH": "1000000",
        # Signals come from the load, and every coin may be traded again and again.
        "REFRESH_INTERVAL_S": "1800",
        "TRIGGER_PRICE_CHANGE_PCT": "1000",
        "MOVER_1M_PCT": "1000",
        "MOVER_5M_PCT": "1000",
        "MAX_OPEN_POSITIONS": "1000",
        "AUTOTRADER_MAX_POSITIONS": "1000",
        "MAX_EXPOSURE_PCT": "100000",
        "MAX_COIN_EXPOSURE_PCT": "100",
        "MAX_DAILY_LOSS_PCT": "100",
        "MAX_DRAWDOWN_PCT": "100",
        "COOLDOWN_AFTER_STOP_S": "0",
        "MAX_STOP_STREAK": "1000000",
        "STOP_STREAK_PAUSE_S": "0",
        "MIN_TURNOVER_TO_RISK_RATIO": "0",
        "MIN_LISTING_AGE_H": "0",
        "HEATMAP_WORKERS": "1",
        "HEATMAP_CONCURRENCY": "4",
        "LOG_LEVEL": "WARNING",
        "SIMULATOR_PORT": str(free_port()),
    }


@dataclass
class System:
    """A running system and the handles to hurt it.

    Args:
        settings: of every process.
        runtime: of this process, on the same stores.
        stores: the servers.
        supervisor: of the processes; a thread keeps restarting what dies.
        record: the simulator's own record.
        beat_folder: where beats keep their state.
    """

    settings: Settings
    runtime: Runtime
    stores: EmbeddedStores
    supervisor: Supervisor
    record: ExchangeRecord
    beat_folder: Path
    timers: list[threading.Timer] = field(default_factory=list)

    @cached_property
    def celery(self) -> Celery:
        """For sending single tasks to single queues."""
        return make_app(self.settings)

    def later(self, after_s: float, act: Callable[[], None]) -> None:
        """End something that was begun, so many real seconds from now."""
        timer = threading.Timer(after_s, act)
        self.timers.append(timer)
        timer.start()

    def end_timers(self) -> None:
        """Wait until everything that was begun is ended."""
        for timer in self.timers:
            timer.join()

    def process(self, name: str) -> ManagedProcess:
        """One of the supervised processes by its name."""
        return next(each for each in self.supervisor.processes if each.spec.name == name)

    def kill(self, name: str) -> None:
        """kill -9 a process and all its children, as when the machine's memory runs out."""
        popen = self.process(name).popen
        if popen is not None:
            with suppress(ProcessLookupError):
                os.killpg(popen.pid, signal.SIGKILL)

    def kill_a_child(self, name: str, number: int) -> None:
        """kill -9 one pool process of a worker, whose parent lives on."""
        popen = self.process(name).popen
        children = [] if popen is None else _children(popen.pid)
        if children:
            with suppress(ProcessLookupError):
                os.kill(children[number % len(children)], signal.SIGKILL)

    def is_whole(self) -> bool:
        """Whether every process runs."""
        return all(process.is_running() for process in self.supervisor.processes)

    def beat_spec(self, name: str) -> ProcessSpec:
        """A beat with a state file of its own, as on a host of its own."""
        spec = self.process("beat").spec
        return ProcessSpec(name, [*spec.argv[:-1], str(self.beat_folder / name)], spec.stage)


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in found.read_text().split()] if found.exists() else []


@contextmanager
def running_system(
    run_dir: Path, *, seed: int, coins: int, changes: Mapping[str, str] | None = None
) -> Iterator[System]:
    """Start everything, keep it alive, and end it with the block.

    Args:
        run_dir: for the stores' data and the processes' logs.
        seed: of the simulated market.
        coins: how many coins are traded.
        changes: of the settings besides, by their upper-case names.
    """
    # As in production: a commit that was acknowledged outlives a kill -9 of the server, and so
    # does what Redis has taken.
    with embedded_stores(run_dir, durable=True) as stores:
        values = settings_values(seed, coins) | dict(changes or {}) | stores.settings()
        values |= {"DATABASE_URL": fresh_database(stores, DATABASE), "RUN_DIR": str(run_dir)}
        env_file = run_dir / "faults.env"
        settings = settings_of_run(values, env_file)
        runtime = Runtime(settings)
        with _supervised(settings, runtime, stores, env_file, run_dir) as system:
            yield system
        runtime.close()


@contextmanager
def _supervised(
    settings: Settings, runtime: Runtime, stores: EmbeddedStores, env_file: Path, run_dir: Path
) -> Iterator[System]:
    beat_folder = fresh_folder(run_dir / "beat")
    specs = [_with_own_schedule(spec, beat_folder) for spec in process_specs(settings, with_flower=False)]
    specs.append(_second(next(spec for spec in specs if spec.name == TRADE_WORKERS[0])))
    env = child_environment(env_file, SUPERVISOR_PID=str(own_pid()))
    with Supervisor(specs, env, run_dir / "logs") as supervisor:
        record = ExchangeRecord(settings.simulator_url)
        system = System(settings, runtime, stores, supervisor, record, beat_folder)
        start_stages(supervisor, runtime)
        stop = threading.Event()
        keeper = threading.Thread(target=_keep_alive, args=(system, stop), name="keeper")
        keeper.start()
        try:
            yield system
        finally:
            system.end_timers()
            stop.set()
            # The kernel tells children of a thread that ends; they are ended right after this anyway.
            keeper.join()


def _with_own_schedule(spec: ProcessSpec, beat_folder: Path) -> ProcessSpec:
    if spec.name != "beat":
        return spec
    return ProcessSpec(spec.name, [*spec.argv, "--schedule", str(beat_folder / "beat")], spec.stage)


def _second(spec: ProcessSpec) -> ProcessSpec:
    """A second worker of a queue, as on a second machine."""
    argv = [part.replace("@%h", "-2@%h") for part in spec.argv]
    return ProcessSpec(TRADE_WORKERS[1], argv, spec.stage, spec.nice)


def _keep_alive(system: System, stop: threading.Event) -> None:
    """The supervisor's own restarts, each after its first delay of a second: it was not the process's
    fault, so the delay does not grow."""
    while not stop.wait(WATCH_S):
        system.supervisor.watch()
        for process in system.supervisor.processes:
            process.restarts = 0
