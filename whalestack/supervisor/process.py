"""One child process: its command, its log file, its restarts."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

RESTART_DELAYS_S = (1.0, 2.0, 5.0, 10.0, 30.0)
# Linux lets anybody but root set the niceness of a group once in a tenth of a second.
GROUP_NICE_ATTEMPTS, GROUP_NICE_PAUSE_S = 5, 0.11
# What lasted this long had started well: its end is a new one, and not part of a row of failures.
LASTING_S = 60.0


@dataclass(frozen=True)
class ProcessSpec:
    """What to run.

    Args:
        name: shown to people, and the name of the log file.
        argv: the command.
        stage: processes of a higher stage start later and stop earlier.
        nice: added to the niceness.
    """

    name: str
    argv: Sequence[str]
    stage: int
    nice: int = 0


@dataclass
class ManagedProcess:
    """A running child in a session of its own, so that Ctrl-C reaches only the supervisor.

    Args:
        spec: what to run.
        env: its whole environment.
        log_dir: gets ``NAME.log``.
    """

    spec: ProcessSpec
    env: Mapping[str, str]
    log_dir: Path
    restarts: int = 0
    popen: subprocess.Popen[bytes] | None = None
    restart_at: float | None = None
    started_at: float = 0.0
    exit_codes: list[int] = field(default_factory=list)

    @property
    def log_path(self) -> Path:
        return self.log_dir / f"{self.spec.name}.log"

    def start(self) -> None:
        """Start it; its output goes to the log file."""
        with self.log_path.open("ab") as log:
            self.popen = subprocess.Popen(  # noqa: S603 - the command is our own
                list(self.spec.argv), env=dict(self.env), stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        self.started_at = time.monotonic()
        if self.spec.nice:
            be_nice(self.popen.pid, self.spec.nice)

    def is_running(self) -> bool:
        return self.popen is not None and self.popen.poll() is None

    def watch(self) -> bool:
        """Restart it when it has ended by itself, after a delay that grows while it ends soon.

        Returns:
            True when this call found it newly ended.
        """
        if self.is_running():
            return False
        if self.restart_at is None:
            self.exit_codes.append(self.popen.returncode if self.popen else -1)
            if time.monotonic() - self.started_at > LASTING_S:
                self.restarts = 0
            self.restart_at = (
                time.monotonic() + RESTART_DELAYS_S[min(self.restarts, len(RESTART_DELAYS_S) - 1)]
            )
            return True
        if time.monotonic() >= self.restart_at:
            self.restart_at = None
            self.restarts += 1
            self.start()
        return False

    def terminate(self) -> None:
        """Ask it to end: running tasks finish, nothing new is taken."""
        if self.popen is not None and self.is_running():
            self.popen.terminate()

    def kill_group(self) -> None:
        """End it and every process it forked, at once; also sweeps up children it left behind."""
        if self.popen is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.popen.pid, signal.SIGKILL)
            self.popen.wait()


def be_nice(leader: int, nice: int) -> None:
    """Lower the priority of a session's leader, and of its whole session against all others.

    Where Linux groups tasks by session (sched(7), "The autogroup feature": on by default), a process's
    niceness counts only against others of its own session, and ours have a session each: a round of
    heat maps would get as much of a core as a stop that is to be moved.

    Args:
        leader: the process that began the session.
        nice: 1 to 19.
    """
    os.setpriority(os.PRIO_PROCESS, leader, nice)
    group = Path(f"/proc/{leader}/autogroup")
    for _ in range(GROUP_NICE_ATTEMPTS):
        try:
            group.write_text(str(nice))
        except BlockingIOError:
            time.sleep(GROUP_NICE_PAUSE_S)
        except OSError:
            # No Linux, no such groups, or the process has ended already.
            return
        else:
            return
