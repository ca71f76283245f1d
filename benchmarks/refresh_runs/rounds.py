"""One full refresh, measured from the moment it is asked for until its last batch is stored."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

from refresh_runs.costs import Costs
from refresh_runs.system import RefreshSystem, await_that

LOOK_EVERY_S = 0.25


@dataclass(frozen=True)
class Round:
    """A row of `refresh_rounds` that has ended.

    Args:
        asked_s: from the sending of `heatmap.refresh` to the row.
        took_s: from the sending to the last batch.
    """

    id: int
    status: str
    maps_due: int
    maps_stored: int
    maps_unchanged: int
    maps_failed: int
    batches: int
    asked_s: float
    took_s: float
    problems: list[str]


_ROUND = """
    select id, status, maps_due, maps_stored, maps_unchanged, maps_failed, batches_due,
        extract(epoch from started_at), extract(epoch from finished_at), problems
    from refresh_rounds where id > :after order by id limit 1
"""


def last_round(system: RefreshSystem) -> int:
    """The id of the latest round, 0 where there was none."""
    return int(system.query("select coalesce(max(id), 0) from refresh_rounds")[0][0])


def await_round(system: RefreshSystem, after: int, asked_at: float, within_s: float) -> Round:
    """The first round after `after`, once it has ended.

    Args:
        asked_at: Unix time at which it was asked for.
    """
    rows: list[Any] = []

    def has_ended() -> bool:
        rows[:] = system.query(_ROUND, after=after)
        failed = system.query("select task, error from task_runs where status = 'failed' limit 1")
        if failed:
            raise RuntimeError(f"{failed[0][0]} failed: {failed[0][1]}")
        return bool(rows) and rows[0][1] != "running"

    end_s = time.monotonic() + within_s
    while not has_ended():
        if time.monotonic() > end_s:
            raise TimeoutError(f"the round did not end within {within_s:g} s: {rows}")
        time.sleep(LOOK_EVERY_S)
    row = rows[0]
    started, finished = float(row[7]), float(row[8])
    return Round(*row[:7], asked_s=started - asked_at, took_s=finished - asked_at, problems=row[9])


def measure_round(system: RefreshSystem, costs: Costs, within_s: float) -> dict[str, Any]:
    """Send a round, wait for its end, and say what it took."""
    after, counts, commands = last_round(system), system.coinglass_counts(), redis_commands(system)
    asked_at, mark = time.time(), costs.mark()
    costs.forget_peak()
    system.celery.send_task("heatmap.refresh")
    found = await_round(system, after, asked_at, within_s)
    line = told(system, costs, found, counts, costs.since(mark))
    line["redis_commands_per_map"] = round((redis_commands(system) - commands) / found.maps_due, 1)
    line["redis_used_mb"] = round(system.runtime.redis.info("memory")["used_memory_peak"] / 1e6, 1)
    return line


def redis_commands(system: RefreshSystem) -> int:
    """Commands that Redis has carried out so far, those of its scripts among them."""
    return int(system.runtime.redis.info("stats")["total_commands_processed"])


def told(
    system: RefreshSystem, costs: Costs, found: Round, counts: dict[str, int], cpu: dict[str, float]
) -> dict[str, Any]:
    """A round as the JSON line tells it."""
    now = system.coinglass_counts()
    calls = {name: now[name] - counts.get(name, 0) for name in now}
    cores = os.cpu_count() or 1
    return {
        "seconds": round(found.took_s, 2),
        "status": found.status,
        "maps_due": found.maps_due,
        "maps_stored": found.maps_stored,
        "maps_unchanged": found.maps_unchanged,
        "maps_failed": found.maps_failed,
        "problems": found.problems[:3],
        "batches": found.batches,
        "maps_per_s": round(found.maps_due / found.took_s, 1),
        "calls": calls.get("heatmaps", 0),
        "replies_429": calls.get("code_429", 0),
        "cpu_s": cpu,
        # What it would take if nothing else ran on the machine and no core ever waited.
        "least_seconds": round((sum(cpu.values()) - cpu["elsewhere"]) / cores, 2),
        "cpu_ms_per_map": {name: round(1000 * spent / found.maps_due, 2) for name, spent in cpu.items()},
        "cpu_share_pct": {
            name: round(100 * spent / (cores * found.took_s), 1) for name, spent in cpu.items()
        },
        "peak_pss_mb": round(costs.peak_pss_mb, 1),
        "peak_rss_mb": round(costs.peak_rss_mb, 1),
    }


def roots(system: RefreshSystem) -> dict[str, int]:
    """The process trees of a system by name."""
    found = {}
    for process in system.supervisor.processes:
        if process.popen is not None:
            found[process.spec.name] = process.popen.pid
    postgres, broker = system.stores.postgres.pid, system.stores.redis.pid
    assert postgres is not None
    assert broker is not None
    return found | {"postgres": postgres, "redis": broker}


def await_quiet(system: RefreshSystem, within_s: float = 60.0) -> None:
    """Until nothing waits in the queues of rounds and rankings, and no such task runs."""
    broker = system.celery.connection_for_read().default_channel.client

    def is_quiet() -> bool:
        return all(broker.llen(queue) == 0 for queue in ("heatmap", "scan"))

    await_that(is_quiet, within_s, "the queues are empty")
