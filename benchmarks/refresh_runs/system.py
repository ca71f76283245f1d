"""A whole system for measuring: embedded stores, the simulator on fixed maps, workers as `up` runs them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import requests
from celery import Celery
from sqlalchemy import text

from whalestack.config import Mode, Settings, child_environment
from whalestack.embedded.stores import EmbeddedStores, embedded_stores
from whalestack.math.timeframes import SERVED_TIMEFRAMES
from whalestack.runtime import Runtime
from whalestack.supervisor.own_stores import free_port, fresh_database, fresh_folder, settings_of_run
from whalestack.supervisor.parent import own_pid
from whalestack.supervisor.plan import (
    STAGE_BEAT,
    STAGE_SIMULATOR,
    STAGE_STREAMS,
    STAGE_WORKERS,
    process_specs,
)
from whalestack.supervisor.process import ManagedProcess
from whalestack.supervisor.supervisor import Supervisor
from whalestack.supervisor.up import wait_for_simulator
from whalestack.tasks.factory import make_app

DATABASE = "whalestack_refresh"
UNLIMITED_PER_MIN = 100_000
READY_WITHIN_S = 60.0
# Coins that the universe's filters take away must not be missing from the number asked for.
SPARE_COINS = 20
# What a round needs: its own worker, and the one that ranks when it ends.
ROUND_ONLY = frozenset({"simulator", "worker-heatmap", "worker-scan"})


@dataclass
class RefreshSystem:
    """A running system.

    Args:
        settings: of every process.
        runtime: of this process, on the same stores.
        stores: the servers.
        supervisor: of the processes.
    """

    settings: Settings
    runtime: Runtime
    stores: EmbeddedStores
    supervisor: Supervisor

    @cached_property
    def celery(self) -> Celery:
        """For sending tasks."""
        return make_app(self.settings)

    def process(self, name: str) -> ManagedProcess:
        """One of the supervised processes by its name."""
        return next(each for each in self.supervisor.processes if each.spec.name == name)

    def query(self, statement: str, **values: object) -> list[Any]:
        """Rows of the database."""
        with self.runtime.reading() as session:
            return list(session.execute(text(statement), values).all())

    def coinglass_counts(self) -> dict[str, int]:
        """What the simulator has answered so far: `heatmaps`, `ok`, `code_429` and others."""
        found: dict[str, int] = requests.get(f"{self.settings.simulator_url}/sim/stats", timeout=30).json()[
            "coinglass"
        ]
        return found

    def ask_for_every_range(self) -> None:
        """Have the simulator make its pool of maps now and not in the first round. These calls come out
        of the system's budget, as every call must."""
        for timeframe in SERVED_TIMEFRAMES:
            self.runtime.coinglass.heatmap("ETH", timeframe)


def settings_values(coins: int, calls_per_min: int, run_dir: Path) -> dict[str, str]:
    """What differs from the defaults."""
    return {
        "MODE": Mode.DEMO.value,
        "SIMULATOR_MARKET": "synthetic",
        "SIMULATOR_COINS": str(coins + SPARE_COINS),
        "SIMULATOR_MAPS": "fixed",
        "SIMULATOR_COINGLASS_CALLS_PER_MIN": str(calls_per_min),
        "COINGLASS_CALLS_PER_MIN": str(calls_per_min),
        "MAX_COINS": str(coins),
        "MIN_LISTING_AGE_H": "0",
        "LOG_LEVEL": "WARNING",
        "RUN_DIR": str(run_dir),
        "BEAT_STATE_DIR": str(fresh_folder(run_dir / "beat")),
        "SIMULATOR_PORT": str(free_port()),
        "FLOWER_PORT": str(free_port()),
    }


@contextmanager
def running_system(
    run_dir: Path,
    *,
    coins: int,
    calls_per_min: int = UNLIMITED_PER_MIN,
    only: Collection[str] | None = ROUND_ONLY,
    changes: Mapping[str, str] | None = None,
) -> Iterator[RefreshSystem]:
    """Start everything but beat, wait until every worker works, and end it with the block.

    Args:
        run_dir: for the stores' data and the processes' logs.
        coins: that are followed.
        calls_per_min: of the CoinGlass plan, at the simulator and here.
        only: names of the processes to start; None for all but Flower.
        changes: of the settings besides, by their upper-case names.
    """
    run_dir = run_dir.resolve()
    # As in production: what is committed is on the disk.
    with embedded_stores(run_dir, durable=True) as stores:
        values = settings_values(coins, calls_per_min, run_dir) | stores.settings() | dict(changes or {})
        values |= {"DATABASE_URL": fresh_database(stores, DATABASE)}
        env_file = run_dir / "refresh.env"
        settings = settings_of_run(values, env_file)
        runtime = Runtime(settings)
        specs = [
            spec for spec in process_specs(settings, with_flower=False) if only is None or spec.name in only
        ]
        env = child_environment(env_file, SUPERVISOR_PID=str(own_pid()))
        with Supervisor(specs, env, fresh_folder(run_dir / "logs")) as supervisor:
            supervisor.start(STAGE_SIMULATOR)
            wait_for_simulator(supervisor, settings)
            system = RefreshSystem(settings, runtime, stores, supervisor)
            system.ask_for_every_range()
            runtime.coin_scanner.refresh()
            supervisor.start(STAGE_WORKERS)
            supervisor.start(STAGE_STREAMS)
            await_workers(system)
            yield system
        runtime.close()


def start_beat(system: RefreshSystem) -> None:
    """Let the schedule begin, the first round with it."""
    system.supervisor.start(STAGE_BEAT)


def await_workers(system: RefreshSystem) -> None:
    """Until a small task has run on every queue that has a worker here."""
    names = [process.spec.name for process in system.supervisor.processes]
    queues = [name.removeprefix("worker-") for name in names if name.startswith("worker-")]
    for queue in queues:
        system.celery.send_task("history.canary", kwargs={"queue": queue}, queue=queue)
    keys = [f"ws:canary:{queue}" for queue in queues]
    await_that(lambda: system.runtime.redis.exists(*keys) == len(keys), READY_WITHIN_S, "every worker works")


def await_that(holds: Callable[[], bool], within_s: float, what: str) -> None:
    """Look until it holds.

    Raises:
        TimeoutError: it did not; says what.
    """
    end_s = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > end_s:
            raise TimeoutError(f"not within {within_s:g} s: {what}")
        time.sleep(0.05)
