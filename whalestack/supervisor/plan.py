"""Which processes a system of these settings consists of."""

from __future__ import annotations

import sys

from whalestack.config import Mode, Settings
from whalestack.supervisor.process import ProcessSpec
from whalestack.tasks.queues import queues

STAGE_SIMULATOR, STAGE_STREAMS, STAGE_WORKERS, STAGE_BEAT = range(4)

CELERY = (sys.executable, "-m", "celery", "--app", "whalestack.tasks.app")
WHALESTACK = (sys.executable, "-m", "whalestack")


def process_specs(settings: Settings, *, with_flower: bool = True) -> list[ProcessSpec]:
    """The simulator where the mode needs one, streams, a worker for each queue, Flower, beat.

    Args:
        settings: of the run.
        with_flower: False leaves Flower out, as the shorter tests do.
    """
    specs = [ProcessSpec("streams", [*WHALESTACK, "streams"], STAGE_STREAMS)]
    if settings.mode in (Mode.DEMO, Mode.PAPER):
        specs.append(ProcessSpec("simulator", [*WHALESTACK, "simulator"], STAGE_SIMULATOR))
    specs += [
        ProcessSpec(
            f"worker-{queue.name}",
            [*CELERY, "worker", "--loglevel", settings.log_level, *queue.worker_arguments()],
            STAGE_WORKERS,
            nice=queue.nice,
        )
        for queue in queues(settings)
    ]
    specs.append(ProcessSpec("beat", [*CELERY, "beat", "--loglevel", settings.log_level], STAGE_BEAT))
    if with_flower:
        specs.append(ProcessSpec("flower", flower_command(settings), STAGE_WORKERS, nice=5))
    return specs


def flower_command(settings: Settings) -> list[str]:
    """Flower on loopback, read-only: whoever reaches its port may look and not revoke."""
    return [
        *CELERY, "flower", "--address=127.0.0.1", f"--port={settings.flower_port}",
        "--read_only", "--max_tasks=5000", "--purge_offline_workers=60",
    ]  # fmt: skip
