"""One run: a fresh system, a load of trades, faults until there were enough, rest, judgement."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from sqlalchemy.exc import SQLAlchemyError

from fault_runs import signs
from fault_runs.api_faults import ApiFaultLane
from fault_runs.judgement import Judgement, judge
from fault_runs.load import Load, unattended_signals, waiting_messages
from fault_runs.process_faults import Blow, NothingToStrike, ProcessFault, schedule
from fault_runs.recovery import RecoveryWatch, look
from fault_runs.system import System, running_system

FIRST_TRADES_WITHIN_S = 30.0
PLAYS_END_WITHIN_S = 15.0
REST_WITHIN_S = 90.0


@dataclass(frozen=True)
class RunPlan:
    """What one run is.

    Args:
        seed: of the market, the load and the faults.
        faults: how many.
        coins: how many are traded.
        signals_per_s: of the load.
        pause_s: real seconds between two faults of processes; answers have faults twice as often.
        process_share: of the faults, those of processes, stores and clocks; the rest are of answers.
    """

    seed: int
    faults: int
    coins: int = 24
    signals_per_s: float = 0.6
    pause_s: float = 1.0
    process_share: float = 0.3


@dataclass
class RunResult:
    """What one run did and cost."""

    plan: RunPlan
    elapsed_s: float
    struck: Counter[str]
    judgement: Judgement
    recoveries: list[tuple[str, float]]
    never_recovered: list[str]
    came_to_rest: bool
    notes: dict[str, Any] = field(default_factory=dict)


def run_once(plan: RunPlan, run_dir: Path) -> RunResult:
    """Start, hurt, let rest, judge."""
    began_s = time.monotonic()
    with running_system(run_dir, seed=plan.seed, coins=plan.coins) as system:
        watch = RecoveryWatch(system)
        rng = random.Random(plan.seed * 1000 + 1)
        load = Load(system, rng, plan.signals_per_s, lambda: watch.taken)
        watch.start()
        _await(signs.may_trade_again(system), FIRST_TRADES_WITHIN_S)
        load.start()
        _await(lambda: len(system.record.opened_by) >= 3, FIRST_TRADES_WITHIN_S)
        say(f"run {plan.seed}: trading after {time.monotonic() - began_s:.0f} s")
        struck = _hurt(system, watch, plan)
        say(f"run {plan.seed}: {struck.total()} faults after {time.monotonic() - began_s:.0f} s")
        load.no_more_signals()
        rested = rest(system, watch, load)
        load.stop()
        watch.stop()
        judgement = judge(system)
        judgement.harm("never_recovered", watch.never)
    return RunResult(
        plan,
        time.monotonic() - began_s,
        struck,
        judgement,
        watch.took_s,
        watch.never,
        rested,
        {"load_problems": dict(Counter(load.problems)), "slow": watch.slow},
    )


def say(what: str) -> None:
    """To people; the JSON line alone goes to the output."""
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


def _await(holds: Callable[[], bool], within_s: float) -> None:
    end_s = time.monotonic() + within_s
    while time.monotonic() < end_s and not holds():
        time.sleep(0.2)


def _hurt(system: System, watch: RecoveryWatch, plan: RunPlan) -> Counter[str]:
    """Both lanes until each has had its faults."""
    of_processes = round(plan.faults * plan.process_share)
    every_s = plan.pause_s / 2
    rng = random.Random(plan.seed * 1000 + 2)
    lane = ApiFaultLane(system, watch, rng, plan.faults - of_processes, every_s=every_s)
    thread = threading.Thread(target=lane.run, name="api-faults")
    thread.start()
    rng = random.Random(plan.seed * 1000 + 3)
    struck = _strike_all(system, watch, rng, schedule(rng, of_processes), plan.pause_s)
    thread.join()
    return struck + lane.struck


def _strike_all(
    system: System, watch: RecoveryWatch, rng: random.Random, faults: Sequence[ProcessFault], pause_s: float
) -> Counter[str]:
    struck: Counter[str] = Counter()
    waiting = list(faults)
    tries_left = 2 * len(waiting) + 10
    while waiting and tries_left:
        fault, tries_left = waiting.pop(0), tries_left - 1
        if not _wait_until_whole(system):
            say("a process did not come back")
        try:
            fault.act(Blow(system, watch, rng, fault.kind))
            struck[fault.kind] += 1
        except (NothingToStrike, SQLAlchemyError, requests.RequestException) as error:
            say(f"{fault.kind} is put off ({type(error).__name__})")
            waiting.append(fault)
        time.sleep(rng.uniform(0.5, 1.5) * pause_s)
    return struck


def _wait_until_whole(system: System, within_s: float = 20.0) -> bool:
    end_s = time.monotonic() + within_s
    while time.monotonic() < end_s:
        if system.is_whole():
            return True
        time.sleep(0.1)
    return False


def rest(system: System, watch: RecoveryWatch, load: Load) -> bool:
    """Until everything is told and nothing is on its way; False if that does not come."""
    end_s = time.monotonic() + PLAYS_END_WITHIN_S
    while not load.is_idle() and time.monotonic() < end_s:
        time.sleep(0.2)
    load.stop()
    system.end_timers()
    system.record.clear_rules()
    end_s = time.monotonic() + REST_WITHIN_S
    quiet_since: float | None = None
    while time.monotonic() < end_s:
        quiet = _is_quiet(system, watch)
        quiet_since = (quiet_since or time.monotonic()) if quiet else None
        if quiet_since is not None and time.monotonic() - quiet_since > 2.0:
            return True
        time.sleep(0.3)
    return False


def _is_quiet(system: System, watch: RecoveryWatch) -> bool:
    try:
        seen = look(system)
        with system.runtime.db.begin() as work:
            waiting = waiting_messages(work) + unattended_signals(work)
    except (SQLAlchemyError, requests.RequestException):
        return False
    return not (watch.unfinished or seen.on_their_way or seen.differing() or waiting)
