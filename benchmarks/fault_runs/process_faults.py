"""Faults of processes and stores, one at a time: killed at random, or at a chosen point of an order."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from sqlalchemy import text

from fault_runs import signs
from fault_runs.api_faults import CREATE, LEVERAGE, PRIVATE, STOPS, TELEGRAM
from fault_runs.recovery import RecoveryWatch, Sign
from fault_runs.system import TRADE_WORKERS, System
from whalestack.embedded import EmbeddedPostgres, EmbeddedRedis
from whalestack.supervisor.process import ManagedProcess

POLL_S = 0.08
STRIKE_WITHIN_S = 6.0
TWO_BEATS_S = 5.0
SILENCE_S = 9.0
CLOCK_OFF_S = 4.0
NEWEST_SENT = text("select order_link_id from orders where status = 'sent' order by sent_at desc limit 1")
HOLD_ORDER = text("select 1 from orders where order_link_id = :id for update")
SOMEBODY_WAITS = text(
    "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database() limit 1"
)


class NothingToStrike(Exception):
    """The chosen point was not reached in time; the fault is tried again later."""


@dataclass
class Blow:
    """What a fault does with the system.

    Args:
        system: which is hurt.
        watch: times the recovery.
        rng: of choices within a fault.
        kind: under which it is counted.
    """

    system: System
    watch: RecoveryWatch
    rng: random.Random
    kind: str

    def struck(self, *shown_by: Sign, at_s: float | None = None) -> None:
        """Say that it has struck, now or at a monotonic moment, and what will show that it is over."""
        self.watch.begin(self.kind, time.monotonic() if at_s is None else at_s, shown_by)

    def when_held(self, endpoint: str, rule: str, delay_ms: int) -> int:
        """Wait until a request to an endpoint is held by the simulator.

        Returns:
            The number of the rule.

        Raises:
            NothingToStrike: no such request came.
        """
        number = self.rng.randrange(10**6, 10**9)
        self.system.record.add_rule(
            endpoint=endpoint, kind=rule, delay_ms=delay_ms, times=1, seed=number, lasts_s=STRIKE_WITHIN_S
        )
        wait_for(lambda: _has_struck(self.system, number))
        return number


def wait_for(holds: Callable[[], bool], *, within_s: float = STRIKE_WITHIN_S) -> None:
    """Poll until something holds.

    Raises:
        NothingToStrike: it does not in time.
    """
    end_s = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > end_s:
            raise NothingToStrike
        time.sleep(POLL_S)


def _has_struck(system: System, number: int) -> bool:
    return any(rule["seed"] == number and rule["injected"] for rule in system.record.rules())


# --- kills at random moments ------------------------------------------------------------------


def kill_worker(queue: str) -> Callable[[Blow], None]:
    """kill -9 a worker and its pool processes."""

    def act(blow: Blow) -> None:
        time.sleep(blow.rng.uniform(0.0, 0.5))
        blow.system.kill(blow.rng.choice(_workers(queue)))
        blow.struck(signs.queue_works(blow.system, queue))

    return act


def _workers(queue: str) -> Sequence[str]:
    return TRADE_WORKERS if queue == "trade" else (f"worker-{queue}",)


def kill_pool_process(queue: str) -> Callable[[Blow], None]:
    """kill -9 one pool process; its worker must notice and give its message back."""

    def act(blow: Blow) -> None:
        time.sleep(blow.rng.uniform(0.0, 0.5))
        blow.system.kill_a_child(blow.rng.choice(_workers(queue)), blow.rng.randrange(8))
        blow.struck(signs.queue_works(blow.system, queue))

    return act


def kill_streams(blow: Blow) -> None:
    """kill -9 the process that listens to the exchange."""
    blow.system.kill("streams")
    blow.struck(signs.streams_listen(blow.system))


def kill_beat(blow: Blow) -> None:
    """kill -9 the scheduler."""
    shown = signs.beat_beats(blow.system)
    blow.system.kill("beat")
    blow.struck(shown)


# --- kills at chosen points ---------------------------------------------------------------------


def _kill_trade(blow: Blow) -> None:
    """Both workers: which of them sent what is held is not to be seen from here."""
    for name in TRADE_WORKERS:
        blow.system.kill(name)
    blow.struck(signs.queue_works(blow.system, "trade"))


def kill_before_send(blow: Blow) -> None:
    """The intent is committed, the leverage is being set, nothing was sent yet."""
    blow.when_held(LEVERAGE, "latency", 1500)
    _kill_trade(blow)


def kill_while_order_travels(blow: Blow) -> None:
    """The order was sent and reaches the exchange only after its sender is dead."""
    blow.when_held(CREATE, "latency", 1000)
    _kill_trade(blow)


def kill_before_answer(blow: Blow) -> None:
    """The exchange has taken the order; its answer never comes."""
    blow.when_held(CREATE, "timeout_after", 3000)
    _kill_trade(blow)


def kill_before_commit(blow: Blow) -> None:
    """The answer is there and is about to be written: the row is locked from here until the death."""
    blow.when_held(CREATE, "latency", 500)
    with _newest_order_locked(blow.system) as link_id:
        wait_for(lambda: _was_accepted(blow.system, link_id), within_s=3.0)
        with suppress(NothingToStrike):
            wait_for(lambda: _somebody_waits(blow.system), within_s=1.0)
        _kill_trade(blow)


@contextmanager
def _newest_order_locked(system: System) -> Iterator[str]:
    with system.runtime.db.begin() as work:
        link_id = work.session.scalar(NEWEST_SENT)
        if link_id is None:
            raise NothingToStrike
        work.session.execute(HOLD_ORDER, {"id": link_id})
        yield link_id


def _was_accepted(system: System, link_id: str) -> bool:
    system.record.follow()
    return system.record.accepted.get(link_id, 0) > 0


def _somebody_waits(system: System) -> bool:
    with system.runtime.db.begin() as work:
        return work.session.execute(SOMEBODY_WAITS).first() is not None


def kill_while_stop_travels(blow: Blow) -> None:
    """A stop is being moved and the move arrives after its sender is dead."""
    blow.when_held(STOPS, "latency", 1000)
    blow.system.kill("worker-trailing")
    blow.struck(signs.queue_works(blow.system, "trailing"))


def kill_before_stop_is_answered(blow: Blow) -> None:
    """The stop was moved; the answer never comes."""
    blow.when_held(STOPS, "timeout_after", 3000)
    blow.system.kill("worker-trailing")
    blow.struck(signs.queue_works(blow.system, "trailing"))


def kill_while_message_travels(blow: Blow) -> None:
    """A message has left and its answer is still to come."""
    blow.when_held(TELEGRAM, "latency", 1000)
    blow.system.kill("worker-broadcast")
    blow.struck(signs.queue_works(blow.system, "broadcast"))


# --- stores --------------------------------------------------------------------------------------


def restart_redis(blow: Blow) -> None:
    """Stopped in good order and started again."""
    _restarted(blow, blow.system.stores.redis.restart, signs.streams_listen)


def kill_redis(blow: Blow) -> None:
    """kill -9, then started on what its append-only file holds."""
    _restarted(blow, _after_kill(blow.system.stores.redis), signs.streams_listen)


def restart_postgres(blow: Blow) -> None:
    """Every session is ended, then it is started again."""
    _restarted(blow, blow.system.stores.postgres.restart)


def kill_postgres(blow: Blow) -> None:
    """kill -9 of the postmaster: its backends end at once, and it recovers from its log."""
    _restarted(blow, _after_kill(blow.system.stores.postgres))


def _restarted(blow: Blow, restart: Callable[[], None], *also: Callable[[System], Sign]) -> None:
    at_s = time.monotonic()
    restart()
    shown_by = [*signs.every_queue_works(blow.system), *(each(blow.system) for each in also)]
    blow.struck(*shown_by, at_s=at_s)


def _after_kill(server: EmbeddedPostgres | EmbeddedRedis) -> Callable[[], None]:
    def restart() -> None:
        if server.pid is not None:
            os.kill(server.pid, signal.SIGKILL)
        server.restart()

    return restart


# --- schedules, streams, clocks --------------------------------------------------------------------


def two_beats(blow: Blow) -> None:
    """A second scheduler beside the first for a while: everything is sent twice."""
    first = blow.system.process("beat")
    second = ManagedProcess(blow.system.beat_spec("second-beat"), first.env, first.log_dir)
    second.start()
    blow.system.later(TWO_BEATS_S, second.kill_group)
    blow.struck(signs.after(TWO_BEATS_S, signs.queue_works(blow.system, "trade")))


def silence_private_stream(blow: Blow) -> None:
    """The private stream says nothing any more, not even pongs, and stays open."""
    blow.system.record.add_rule(endpoint=PRIVATE, kind="ws_silence", lasts_s=SILENCE_S)
    blow.struck(signs.after(SILENCE_S, signs.private_stream_listens(blow.system)))


def jump_of_the_clock(blow: Blow) -> None:
    """Our clock and Bybit's are seconds apart for a while, then agree again."""
    ahead_ms = blow.rng.choice((-1, 1)) * blow.rng.randrange(2_500, 60_000)
    blow.system.record.put_clock_ahead(ahead_ms)
    blow.system.later(CLOCK_OFF_S, lambda: blow.system.record.put_clock_ahead(0))
    blow.struck(signs.after(CLOCK_OFF_S, signs.may_trade_again(blow.system)))


@dataclass(frozen=True)
class ProcessFault:
    """One kind of blow.

    Args:
        kind: under which it is counted.
        act: strikes.
        weight: how many of a thousand faults are of it, nearly.
        is_core: among the few that a short run takes.
    """

    kind: str
    act: Callable[[Blow], None]
    weight: float
    is_core: bool = False


PROCESS_FAULTS: tuple[ProcessFault, ...] = (
    ProcessFault("kill_worker_trade", kill_worker("trade"), 40, is_core=True),
    ProcessFault("kill_worker_trailing", kill_worker("trailing"), 30, is_core=True),
    ProcessFault("kill_worker_broadcast", kill_worker("broadcast"), 30, is_core=True),
    ProcessFault("kill_worker_refetch", kill_worker("refetch"), 10),
    ProcessFault("kill_worker_scan", kill_worker("scan"), 10),
    ProcessFault("kill_worker_heatmap", kill_worker("heatmap"), 10),
    ProcessFault("kill_worker_history", kill_worker("history"), 8),
    ProcessFault("kill_pool_process_trade", kill_pool_process("trade"), 40),
    ProcessFault("kill_pool_process_scan", kill_pool_process("scan"), 8),
    ProcessFault("kill_streams", kill_streams, 20, is_core=True),
    ProcessFault("kill_beat", kill_beat, 20, is_core=True),
    ProcessFault("kill_before_send", kill_before_send, 25, is_core=True),
    ProcessFault("kill_while_order_travels", kill_while_order_travels, 25, is_core=True),
    ProcessFault("kill_before_answer", kill_before_answer, 25, is_core=True),
    ProcessFault("kill_before_commit", kill_before_commit, 20, is_core=True),
    ProcessFault("kill_while_stop_travels", kill_while_stop_travels, 12),
    ProcessFault("kill_before_stop_is_answered", kill_before_stop_is_answered, 12),
    ProcessFault("kill_while_message_travels", kill_while_message_travels, 12),
    ProcessFault("restart_redis", restart_redis, 10, is_core=True),
    ProcessFault("kill_redis", kill_redis, 10),
    ProcessFault("restart_postgres", restart_postgres, 10, is_core=True),
    ProcessFault("kill_postgres", kill_postgres, 6),
    ProcessFault("two_beats", two_beats, 12, is_core=True),
    ProcessFault("private_stream_silent", silence_private_stream, 12, is_core=True),
    ProcessFault("clock_jump", jump_of_the_clock, 15, is_core=True),
)


def schedule(rng: random.Random, count: int) -> Sequence[ProcessFault]:
    """So many faults in a seeded order: every kind as often as its weight says; where that is less
    than once, the core of them first."""
    if count < len(PROCESS_FAULTS):
        ranked = sorted(PROCESS_FAULTS, key=lambda fault: (not fault.is_core, rng.random()))
        return rng.sample(ranked[:count], count)
    total = sum(fault.weight for fault in PROCESS_FAULTS)
    chosen = [fault for fault in PROCESS_FAULTS for _ in range(max(1, int(fault.weight / total * count)))][
        :count
    ]
    weights = [fault.weight for fault in PROCESS_FAULTS]
    chosen += rng.choices(PROCESS_FAULTS, weights, k=count - len(chosen))
    return rng.sample(chosen, count)
