"""Two worker hosts on one Redis and one database; one of them is cut off while it works, and comes back.

    python benchmarks/two_hosts.py --seed 1

A whole system on one host, and on a second one a worker for every queue. The second host reaches Redis,
PostgreSQL, Bybit, CoinGlass, Telegram and X through a link that can be cut: then nothing passes in either
direction, every connection stays open and nobody is told, as when a cable is pulled. Trades, messages and
full rounds of heat maps go on all the time. The second host is cut off three times: for longer than the
broker waits for its messages; for so long that the database ends its transactions; and for good, by
kill -9 of every process of its, which start anew. What it had sent before a cut arrives late. At the end
the simulator's own record is compared with the database, row by row, as in `faults.py`, and every
round with its maps. The last line is JSON; the exit code is 1 if anything that must be zero is not.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fault_runs import signs
from fault_runs.judgement import HARMS, judge
from fault_runs.load import Load
from fault_runs.recovery import RecoveryWatch
from fault_runs.run import rest, say
from fault_runs.system import System, running_system, settings_values
from refresh_runs.cut_link import Links
from sqlalchemy import text
from sqlalchemy.engine import make_url

from whalestack.config import child_environment
from whalestack.logs import configure_logging
from whalestack.supervisor.own_stores import settings_of_run
from whalestack.supervisor.parent import own_pid
from whalestack.supervisor.plan import STAGE_WORKERS, process_specs
from whalestack.supervisor.process import ProcessSpec
from whalestack.supervisor.supervisor import Supervisor

VISIBILITY_TIMEOUT_S = 8
SHORT_CUT_S = 20.0
LONG_CUT_S = 75.0
BETWEEN_S = 15.0
FIRST_TRADES_WITHIN_S = 40.0
ROUND_EVERY_S = 10.0
SOCKET = ".s.PGSQL.5432"
CHANGES = {
    # Work that a cut takes along must come back while somebody watches; in production it is 900 s.
    "BROKER_VISIBILITY_TIMEOUT_S": str(VISIBILITY_TIMEOUT_S),
    "COINGLASS_TIMEOUT_S": "3",
    "HEATMAP_BATCH": "16",
    # Rounds are sent from here, as often as they may be; in market time, eight times as fast.
    "REFRESH_INTERVAL_S": "600",
    "COINGLASS_CALLS_PER_MIN": "100000",
    "SIMULATOR_COINGLASS_CALLS_PER_MIN": "100000",
}
SLOW_MAPS = {"endpoint": "GET /api/futures/liquidation/*", "kind": "latency", "delay_ms": 150.0}


@dataclass
class SecondHost:
    """The workers behind the link.

    Args:
        links: to everything that it uses.
        supervisor: of its workers.
    """

    links: Links
    supervisor: Supervisor

    def kill(self) -> None:
        """Switch the host off."""
        for process in self.supervisor.processes:
            if process.popen is not None:
                os.killpg(process.popen.pid, signal.SIGKILL)

    def restart(self) -> None:
        """Switch it on again."""
        for process in self.supervisor.processes:
            if process.popen is not None:
                process.popen.wait()
            process.start()


@dataclass
class Rounds:
    """Sends full rounds one after the other until the block ends."""

    system: System
    sent: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Until `stop` is called."""
        while not self._stop.wait(ROUND_EVERY_S):
            self.system.celery.send_task("heatmap.refresh", queue="heatmap", expires=ROUND_EVERY_S)
            self.sent += 1

    def stop(self) -> None:
        """Send no more."""
        self._stop.set()


def main(argv: list[str] | None = None) -> int:
    """Run, print the line, and say by the exit code whether it was harmless."""
    options = _parse(argv)
    configure_logging("CRITICAL")
    run_dir = options.run_dir.resolve()
    run_dir.mkdir(parents=True, exist_ok=True)
    began_s = time.monotonic()
    with (
        running_system(run_dir, seed=options.seed, coins=options.coins, changes=CHANGES) as system,
        second_host(system, run_dir, options) as host,
    ):
        line = _run(system, host, options)
    line |= {"elapsed_s": round(time.monotonic() - began_s, 1), "load_after": os.getloadavg()[0]}
    print(json.dumps({"benchmark": "two_hosts", "seed": options.seed} | line), flush=True)
    return 1 if line["harm"] else 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1, help="of market and load")
    parser.add_argument("--coins", type=int, default=24, help="how many are traded")
    parser.add_argument("--signals-per-s", type=float, default=0.6, help="load, real seconds")
    parser.add_argument("--run-dir", type=Path, default=Path(".run/two_hosts"), help="for data and logs")
    return parser.parse_args(argv)


@contextmanager
def second_host(system: System, run_dir: Path, options: argparse.Namespace) -> Iterator[SecondHost]:
    """A worker for every queue, behind a link."""
    settings = system.settings
    sockets = Path(str(make_url(settings.database_url.get_secret_value()).query["host"]))
    redis_port = make_url(settings.redis_url.get_secret_value()).port
    assert redis_port is not None
    folder = run_dir / "second"
    folder.mkdir(exist_ok=True)
    (folder / SOCKET).unlink(missing_ok=True)
    near = ("127.0.0.1", 0)
    targets = [
        (near, ("127.0.0.1", redis_port)),
        (near, ("127.0.0.1", settings.simulator_port)),
        (folder / SOCKET, sockets / SOCKET),
    ]
    with Links(targets) as links:
        values = _far_values(system, links, folder, options)
        env_file = run_dir / "second.env"
        specs = [_named(spec) for spec in process_specs(settings_of_run(values, env_file))]
        specs = [spec for spec in specs if spec.name.startswith("worker-")]
        env = child_environment(env_file, SUPERVISOR_PID=str(own_pid()))
        with Supervisor(specs, env, run_dir / "logs" / "second") as supervisor:
            supervisor.start(STAGE_WORKERS)
            yield SecondHost(links, supervisor)
            links.mend()


def _far_values(system: System, links: Links, folder: Path, options: argparse.Namespace) -> dict[str, str]:
    """The system's settings, with every address behind the link."""
    settings = system.settings
    redis_port, simulator_port, _ = links.ports

    def through(url: str) -> str:
        return make_url(url).set(port=redis_port).render_as_string(hide_password=False)

    database = make_url(settings.database_url.get_secret_value()).update_query_dict({"host": str(folder)})
    return settings_values(options.seed, options.coins) | CHANGES | {
        "DATABASE_URL": database.render_as_string(hide_password=False),
        "REDIS_URL": through(settings.redis_url.get_secret_value()),
        "REDIS_STATE_URL": through(settings.redis_state_url.get_secret_value()),
        "RUN_DIR": str(folder),
        "SIMULATOR_PORT": str(simulator_port),
        "CLOCK_REAL_ORIGIN_MS": str(settings.clock_real_origin_ms),
        "CLOCK_MARKET_ORIGIN_MS": str(settings.clock_market_origin_ms),
    }  # fmt: skip


def _named(spec: ProcessSpec) -> ProcessSpec:
    argv = [part.replace("@%h", "@second") for part in spec.argv]
    return ProcessSpec(spec.name, argv, spec.stage, spec.nice)


def _run(system: System, host: SecondHost, options: argparse.Namespace) -> dict[str, Any]:
    rng = random.Random(options.seed)
    watch = RecoveryWatch(system)
    load = Load(system, rng, options.signals_per_s, lambda: watch.taken)
    rounds = Rounds(system)
    watch.start()
    _await(signs.may_trade_again(system), FIRST_TRADES_WITHIN_S)
    system.record.add_rule(**SLOW_MAPS)
    load.start()
    threading.Thread(target=rounds.run, name="rounds", daemon=True).start()
    _await(lambda: len(system.record.opened_by) >= 3, FIRST_TRADES_WITHIN_S)
    taken_along = [_cut(system, host, seconds) for seconds in (SHORT_CUT_S, LONG_CUT_S)]
    taken_along.append(_switch_off(system, host))
    rounds.stop()
    load.no_more_signals()
    rested = rest(system, watch, load)
    load.stop()
    watch.stop()
    judgement = judge(system)
    judgement.harm("rounds_wrong", _wrong_rounds(system))
    for name, cases in judgement.details.items():
        say(f"  {name}: {cases}")
    counts = dict(judgement.counts)
    return {
        "tasks_taken_along": taken_along,
        "rounds": _rounds(system),
        "second_host_ran": _ran_after(system),
        "came_to_rest": rested,
        "harm": {name: counts[name] for name in (*HARMS, "rounds_wrong") if counts.get(name)},
        **counts,
    }


def _cut(system: System, host: SecondHost, seconds: float) -> int:
    """Cut the link for so long; returns how many messages the second host had not acknowledged."""
    _await(lambda: _unacknowledged(system) > 0, BETWEEN_S)
    host.links.cut()
    taken = _unacknowledged(system)
    say(f"cut off for {seconds:g} s, {taken} messages under way")
    time.sleep(seconds)
    host.links.mend()
    say("back")
    time.sleep(BETWEEN_S)
    return taken


def _switch_off(system: System, host: SecondHost) -> int:
    _await(lambda: _unacknowledged(system) > 0, BETWEEN_S)
    host.kill()
    taken = _unacknowledged(system)
    say(f"switched off, {taken} messages under way")
    time.sleep(2 * VISIBILITY_TIMEOUT_S)
    host.restart()
    say("switched on")
    time.sleep(BETWEEN_S)
    return taken


def _unacknowledged(system: System) -> int:
    """Messages that some worker has and has not acknowledged, on either host."""
    with system.celery.connection_for_read() as connection:
        return int(connection.default_channel.client.hlen("unacked"))


def _rounds(system: System) -> dict[str, int]:
    with system.runtime.reading() as session:
        rows = session.execute(text("select status, count(*) from refresh_rounds group by 1")).all()
    return {str(status): int(count) for status, count in rows}


def _wrong_rounds(system: System) -> list[Any]:
    """Rounds whose counts do not add up: a batch lost, or counted twice."""
    wrong = text(
        "select id, status, maps_due, maps_stored, maps_failed, batches_due, batches_done from refresh_rounds"
        " where status = 'finished' and (batches_done <> batches_due"
        " or maps_stored + maps_failed < maps_due or maps_stored > maps_due + coins)"
    )
    with system.runtime.reading() as session:
        return [tuple(row) for row in session.execute(wrong).all()]


def _ran_after(system: System) -> bool:
    """Whether workers of the second host answer at the end."""
    answers = system.celery.control.ping(timeout=3.0)
    return any(name.endswith("@second") for answer in answers for name in answer)


def _await(holds: Any, within_s: float) -> None:
    end_s = time.monotonic() + within_s
    while time.monotonic() < end_s and not holds():
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
