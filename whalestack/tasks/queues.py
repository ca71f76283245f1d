"""The queues and how each is worked: pool, concurrency, delivery. One place for the supervisor,
the compose file's tests and the Celery settings."""

from __future__ import annotations

from dataclasses import dataclass

from whalestack.config import Settings


@dataclass(frozen=True)
class Queue:
    """One queue and the worker that serves it.

    Args:
        name: of the queue; tasks named ``<name>.something`` go to it.
        pool: ``prefork`` where work is CPU-bound or must be killable, ``threads`` where it waits.
        concurrency: processes or threads of one worker.
        acks_late: whether a message is acknowledged only after its task, so that the death
            of a worker runs it again.
        time_limit_s: real seconds after which a prefork child is killed; threads ignore it.
        max_tasks_per_child: prefork children are replaced after that many, against leaks.
        nice: added to the worker's niceness.
    """

    name: str
    pool: str
    concurrency: int
    acks_late: bool
    time_limit_s: int
    max_tasks_per_child: int | None = None
    nice: int = 0

    def worker_arguments(self) -> list[str]:
        """The arguments of ``celery worker`` for this queue. The node name is stable, because
        monitoring keeps one line per name."""
        arguments = ["-Q", self.name, "-n", f"{self.name}@%h", "--pool", self.pool]
        arguments += ["--concurrency", str(self.concurrency), "--without-gossip", "--without-mingle"]
        if self.pool == "prefork":
            arguments += ["--time-limit", str(self.time_limit_s)]
            arguments += ["--soft-time-limit", str(self.time_limit_s * 3 // 4)]
        if self.max_tasks_per_child is not None:
            arguments += ["--max-tasks-per-child", str(self.max_tasks_per_child)]
        return arguments


def queues(settings: Settings) -> tuple[Queue, ...]:
    """Every queue of the system, in the order in which workers are started."""
    return (
        # Orders first: prefork can be killed when it hangs, and psycopg2 commits inside C,
        # where the SystemExit of a cold shutdown cannot land.
        # Three: while one compares both sides or polls, two coins that spike together need not wait.
        Queue("trade", "prefork", 3, acks_late=True, time_limit_s=40, max_tasks_per_child=500),
        # Many short calls that wait for the exchange; the next tick repeats a lost one.
        Queue("trailing", "threads", 8, acks_late=False, time_limit_s=30),
        # Decoding a map is CPU work, so it is spread over processes; each fetches on many connections.
        # It would fill every core; nice, so that an order or a stop never waits for a round.
        Queue("heatmap", "prefork", settings.heatmap_workers, acks_late=False, time_limit_s=120, nice=10),
        # A coin about to be traded: its own workers, so that it never waits behind a round. Nice, because a
        # coin that spikes is fetched in the very moment in which it may be traded from the maps it has.
        Queue("refetch", "threads", 4, acks_late=True, time_limit_s=60, nice=5),
        # What is done every minute; a move that is seen at its tick goes to `trade`.
        Queue("scan", "prefork", 2, acks_late=False, time_limit_s=60, nice=3),
        # People read in seconds: two hundred stops that move are told after they have moved.
        Queue("broadcast", "threads", 4, acks_late=True, time_limit_s=60, nice=5),
        Queue("history", "prefork", 1, acks_late=False, time_limit_s=300, nice=10),
    )
