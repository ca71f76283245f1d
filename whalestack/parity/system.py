"""A whole system on a clock that is moved by hand: embedded stores, the simulator, every worker.

Beat is not among the processes, because the schedule is followed step by step, and the streams run
in this process, so that a step is over only when they have heard all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
import requests

from whalestack.clock import SteppedClock
from whalestack.config import Mode, Settings, child_environment
from whalestack.embedded.stores import embedded_stores
from whalestack.parity.held_jobs import HeldJobs
from whalestack.runtime import Runtime
from whalestack.sockets.keeper import KeeperTimes
from whalestack.sockets.process import StreamsProcess
from whalestack.supervisor.own_stores import free_port, fresh_database, fresh_folder, settings_of_run
from whalestack.supervisor.parent import own_pid
from whalestack.supervisor.plan import STAGE_BEAT, STAGE_STREAMS, process_specs
from whalestack.supervisor.supervisor import Supervisor
from whalestack.supervisor.up import start_stages
from whalestack.tasks.factory import make_app
from whalestack.tasks.idle import IdleWatch

# Between two steps a public stream has nothing to say, however long they take.
NEVER_S = 1e9
DATABASE = "whalestack_parity"
LEFT_OUT = frozenset({STAGE_BEAT, STAGE_STREAMS})


@dataclass(frozen=True)
class SteppedSystem:
    """What a walk needs of a running system.

    Args:
        settings: of every process.
        runtime: of this process, on the same stores.
        clock: of every process.
        streams: run in this process.
        held: where the streams' jobs wait.
        idle: says when the workers have done everything.
    """

    settings: Settings
    runtime: Runtime
    clock: SteppedClock
    streams: StreamsProcess
    held: HeldJobs
    idle: IdleWatch

    def ask_simulator(self, method: str, path: str) -> dict[str, object]:
        """One call of the simulator's own interface."""
        answer = requests.request(method, self.settings.simulator_url + path, timeout=60)
        answer.raise_for_status()
        return dict(answer.json())


@contextmanager
def stepped_system(run_dir: Path, *, start_ms: int, values: Mapping[str, str]) -> Iterator[SteppedSystem]:
    """Start everything at a market moment, and end it with the block.

    Args:
        run_dir: for the stores' data, the clock and the processes' logs.
        start_ms: market time.
        values: settings of the run by their names in `.env`: the market, its coins, the traders.
    """
    run_dir = run_dir.resolve()
    with embedded_stores(run_dir, durable=False) as stores:
        clock_file = run_dir / "market-clock"
        clock = SteppedClock.make(clock_file, start_ms)
        env_file = run_dir / "parity.env"
        own = {
            "MODE": Mode.DEMO.value,
            "DATABASE_URL": fresh_database(stores, DATABASE),
            "RUN_DIR": str(run_dir),
            "CLOCK_FILE": str(clock_file),
            "SIMULATOR_PORT": str(free_port()),
            "LOG_LEVEL": "WARNING",
        }
        settings = settings_of_run(stores.settings() | dict(values) | own, env_file)
        env = child_environment(env_file, SUPERVISOR_PID=str(own_pid()))
        specs = [spec for spec in process_specs(settings, with_flower=False) if spec.stage not in LEFT_OUT]
        runtime = Runtime(settings)
        broker = redis.Redis.from_url(stores.redis.url())
        with (
            Supervisor(specs, env, fresh_folder(run_dir / "logs")) as supervisor,
            IdleWatch(make_app(settings), broker) as idle,
        ):
            start_stages(supervisor, runtime)
            held = HeldJobs(runtime.dispatcher)
            streams = StreamsProcess(
                settings=settings,
                db=runtime.db,
                live=runtime.live,
                dispatcher=held,
                clock=clock,
                times=KeeperTimes(silent_after_s=NEVER_S),
            )
            streams.start()
            try:
                yield SteppedSystem(settings, runtime, clock, streams, held, idle)
            finally:
                streams.stop()
        runtime.close()
