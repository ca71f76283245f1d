"""Two worker hosts on one Redis and one database, one of them cut off in the middle of a round.

The second host's connections all go through forwarders that fall silent: nobody is told, what it
had sent and what it was sent arrives late. The long form, with orders and messages, is
`benchmarks/two_hosts.py`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from tests.simulator.served_world import KEY, START_MS, Served, served, small_world
from tests.tasks.test_worker import wait_until
from whalestack.clock import MarketClock
from whalestack.config import Settings, child_environment, load_settings
from whalestack.runtime import Runtime
from whalestack.supervisor.own_stores import settings_of_run
from whalestack.supervisor.plan import process_specs
from whalestack.supervisor.process import ProcessSpec
from whalestack.supervisor.supervisor import Supervisor

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from refresh_runs.cut_link import Links

pytestmark = pytest.mark.pipeline

COINS = 10
MAPS_OF_A_COIN = 9  # eight served ranges and the derived one
LATENCY = {"endpoint": "GET /api/futures/liquidation/*", "kind": "latency", "delay_ms": 250.0}


@dataclass
class Hosts:
    """Both hosts, and what the test sees of them."""

    simulator: Served
    runtime: Runtime
    links: Links
    first: Supervisor

    def start_round(self) -> int:
        """Send a full round; returns its id."""
        report = self.runtime.heatmap_scanner.start_round()
        assert report.round_id is not None, report
        return report.round_id

    def round(self, number: int) -> Any:
        """The round's row."""
        with self.runtime.reading() as session:
            return session.execute(text("select * from refresh_rounds where id = :id"), {"id": number}).one()

    def batches_run(self) -> int:
        """Batches that a worker has ended, on whichever host and however."""
        runs = "select count(*) from task_runs where task = 'heatmap.fetch_batch'"
        with self.runtime.reading() as session:
            return int(session.execute(text(runs)).scalar_one())

    def has_finished(self, number: int) -> Callable[[], bool]:
        """Whether the round has ended well."""
        return lambda: bool(self.round(number).status == "finished")


@pytest.fixture
def hosts(service_settings: Settings, scratch_folder: Path) -> Iterator[Hosts]:
    """A heat-map worker on each of two hosts; a message comes back after three seconds."""
    clock = MarketClock(1.0, time.time_ns() // 1_000_000, START_MS)
    world = small_world(
        Settings(_env_file=None),
        coins=COINS + 2,
        clock=clock,
        simulator_maps="fixed",
        simulator_map_cells=2000,
    )
    with ExitStack() as stack:
        simulator = stack.enter_context(served(world))
        port = int(simulator.url.rpartition(":")[2])
        links = stack.enter_context(_links(service_settings, port, scratch_folder))
        near = _values(service_settings, port, clock)
        runtime = Runtime(
            load_settings(Path("/dev/null"), **{name.lower(): value for name, value in near.items()})
        )
        stack.callback(runtime.close)
        runtime.coin_scanner.refresh()
        simulator.post("/sim/faults", LATENCY).raise_for_status()
        first = stack.enter_context(_host("first", near, scratch_folder))
        stack.enter_context(_host("second", _far(near, links, scratch_folder), scratch_folder))
        for name in ("first", "second"):
            log = scratch_folder / name / "worker-heatmap.log"
            wait_until(lambda log=log: log.exists() and " ready." in log.read_text(), f"{name} works", 40)
        yield Hosts(simulator, runtime, links, first)


def _values(settings: Settings, port: int, clock: MarketClock) -> dict[str, str]:
    return {
        "MODE": "demo",
        "CLOCK_REAL_ORIGIN_MS": str(clock.real_origin_ms),
        "CLOCK_MARKET_ORIGIN_MS": str(clock.market_origin_ms),
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "REDIS_URL": settings.redis_url.get_secret_value(),
        "REDIS_STATE_URL": settings.redis_state_url.get_secret_value(),
        "COINGLASS_URL": f"http://127.0.0.1:{port}",
        "COINGLASS_API_KEY": KEY,
        "COINGLASS_TIMEOUT_S": "3",
        "SIMULATOR_PORT": str(port),
        "MAX_COINS": str(COINS),
        "MIN_LISTING_AGE_H": "0",
        "HEATMAP_WORKERS": "1",
        "HEATMAP_CONCURRENCY": "4",
        "HEATMAP_BATCH": "8",
        "BROKER_VISIBILITY_TIMEOUT_S": "3",
    }


@contextmanager
def _links(settings: Settings, port: int, folder: Path) -> Iterator[Links]:
    sockets = make_url(settings.database_url.get_secret_value()).query["host"]
    name = ".s.PGSQL.5432"
    redis_port = make_url(settings.redis_url.get_secret_value()).port
    assert redis_port is not None
    near = ("127.0.0.1", 0)
    with Links(
        [
            (near, ("127.0.0.1", redis_port)),
            (near, ("127.0.0.1", port)),
            (folder / name, Path(str(sockets)) / name),
        ]
    ) as links:
        yield links


def _far(values: dict[str, str], links: Links, folder: Path) -> dict[str, str]:
    """The same services, as the second host reaches them."""
    redis_port, simulator_port, _ = links.ports

    def through(url: str, port: int) -> str:
        return make_url(url).set(port=port).render_as_string(hide_password=False)

    database = make_url(values["DATABASE_URL"]).update_query_dict({"host": str(folder)})
    return values | {
        "DATABASE_URL": database.render_as_string(hide_password=False),
        "REDIS_URL": through(values["REDIS_URL"], redis_port),
        "REDIS_STATE_URL": through(values["REDIS_STATE_URL"], redis_port),
        "COINGLASS_URL": f"http://127.0.0.1:{simulator_port}",
        "SIMULATOR_PORT": str(simulator_port),
    }


@contextmanager
def _host(name: str, values: dict[str, str], folder: Path) -> Iterator[Supervisor]:
    env_file = folder / f"{name}.env"
    settings = settings_of_run(values, env_file)
    spec = next(spec for spec in process_specs(settings) if spec.name == "worker-heatmap")
    spec = ProcessSpec(spec.name, [part.replace("@%h", f"@{name}") for part in spec.argv], spec.stage)
    with Supervisor([spec], child_environment(env_file), folder / name) as supervisor:
        supervisor.start()
        yield supervisor


def test_a_host_that_is_cut_off_in_a_round_costs_no_map_and_doubles_none(hosts: Hosts) -> None:
    """The other host does its batch; what it still does once it is back has no effect; then it works on."""
    number = hosts.start_round()
    wait_until(lambda: hosts.round(number).batches_done >= 2, "both hosts are at work")
    hosts.links.cut()
    hosts.simulator.inside(hosts.simulator.world.faults.clear)
    wait_until(hosts.has_finished(number), "the other host ends the round")
    ended = hosts.round(number)
    assert [] == ended.problems
    assert (COINS * 8, COINS * MAPS_OF_A_COIN, 0) == (ended.maps_due, ended.maps_stored, ended.maps_failed)
    assert (COINS, COINS) == (ended.batches_due, ended.batches_done)

    hosts.links.mend()
    wait_until(lambda: hosts.batches_run() > COINS, "the batch that it took along ends there as well")
    hosts.first.stop()
    following = hosts.start_round()
    wait_until(hosts.has_finished(following), "the host that was cut off does a round alone")
    assert ended == hosts.round(number)
    after = hosts.round(following)
    assert (COINS * MAPS_OF_A_COIN, 0) == (after.maps_stored, after.maps_failed)
    assert (COINS, COINS) == (after.batches_due, after.batches_done)
