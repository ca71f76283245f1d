"""Starts processes stage by stage, restarts what dies, and ends everything in the reverse order."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from whalestack.supervisor.process import ManagedProcess, ProcessSpec

logger = structlog.get_logger(__name__)

STOP_GRACE_S = 15.0


class Supervisor:
    """Owns the processes of one run.

    Args:
        specs: what to run.
        env: the environment of every process.
        log_dir: where their logs go; made if it is not there.
    """

    def __init__(self, specs: Iterable[ProcessSpec], env: Mapping[str, str], log_dir: Path) -> None:
        log_dir.mkdir(parents=True, exist_ok=True)
        ordered = sorted(specs, key=lambda spec: spec.stage)
        self.processes = [ManagedProcess(spec, env, log_dir) for spec in ordered]
        self.crashes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, stage: int | None = None) -> None:
        """Start the processes of one stage, or of all."""
        for process in self.processes:
            if stage is None or process.spec.stage == stage:
                logger.info("process_started", name=process.spec.name)
                process.start()

    def watch(self) -> None:
        """Restart what has ended by itself; call it about once a second."""
        for process in self.processes:
            if process.popen is not None and process.watch():
                self.crashes += 1
                logger.error(
                    "process_ended_by_itself",
                    name=process.spec.name,
                    exit_code=process.exit_codes[-1],
                    log=str(process.log_path),
                )

    def stop(self) -> None:
        """End every process: politely, latest stage first, then by force."""
        latest_first = sorted(self.processes, key=lambda process: -process.spec.stage)
        for _, stage in groupby(latest_first, key=lambda process: process.spec.stage):
            self._stop_together(list(stage))

    def _stop_together(self, processes: list[ManagedProcess]) -> None:
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + STOP_GRACE_S
        while any(process.is_running() for process in processes) and time.monotonic() < deadline:
            time.sleep(0.05)
        for process in processes:
            if process.is_running():
                logger.warning("process_killed", name=process.spec.name, waited_s=STOP_GRACE_S)
            process.kill_group()
