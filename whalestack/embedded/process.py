"""A server process with a keeper beside it: it never outlives who started it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from whalestack.embedded import keeper
from whalestack.embedded.account import Account
from whalestack.errors import StopAndTell, TryAgain

POLL_S = 0.02
LOCK_WAIT_S = 8.0
"""A server that is ending is gone within a second or two; one that holds its folder for longer is in use."""
LOG_TAIL_BYTES = 2000


@contextmanager
def holding_lock(path: Path, *, wait_s: float) -> Iterator[int]:
    """Hold the lock of a data folder in this process while the block runs.

    Yields:
        The open descriptor that holds the lock: given to a keeper, it is held until that ends.

    Raises:
        StopAndTell: somebody else still holds it after `wait_s` seconds.
    """
    descriptor = _take_lock(path, wait_s)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _take_lock(path: Path, wait_s: float) -> int:
    """Take the lock, waiting for a server that is still ending.

    Raises:
        StopAndTell: somebody else still holds it after `wait_s` seconds.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise StopAndTell(
                    f"{path.parent} is in use by another whalestack; stop it or set RUN_DIR to another folder"
                ) from None
            time.sleep(POLL_S)
        else:
            return descriptor


class KeptProcess:
    """Starts a server under its keeper and ends it.

    Args:
        name: for messages.
        command: program and arguments.
        account: to run it as.
        log: file that takes what it prints.
        stop_signal: asks the server to stop in good order.
        grace_s: real seconds it may take before it is killed.
        lock: descriptor of its data folder's lock; the keeper holds it as well from then on.
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        *,
        account: Account,
        log: Path,
        stop_signal: int,
        grace_s: float,
        lock: int | None = None,
    ) -> None:
        self._name = name
        self._log = log
        self._grace_s = grace_s
        pipe_end, self._pipe = os.pipe()
        arguments = ["--owner", str(os.getpid()), "--pipe", str(pipe_end)]
        arguments += ["--stop-signal", str(stop_signal), "--grace", str(grace_s)]
        if account.switches:
            arguments += ["--uid", str(account.uid), "--gid", str(account.gid)]
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own keeper
                [sys.executable, "-I", "-S", keeper.__file__, *arguments, "--", *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=log.parent,
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                pass_fds=(pipe_end,) if lock is None else (pipe_end, lock),
                # Ctrl-C reaches every process of the terminal's group; the stores must stay
                # until their users have stopped.
                start_new_session=True,
            )
        os.close(pipe_end)

    @property
    def is_running(self) -> bool:
        """Whether the server, or its keeper while it ends it, is there."""
        return self._process.poll() is None

    def wait_until(self, is_ready: Callable[[], bool], *, timeout_s: float) -> None:
        """Poll until the server answers.

        Raises:
            TryAgain: it ended instead; the message has the end of its log.
            StopAndTell: it did not answer within `timeout_s` seconds.
        """
        deadline = time.monotonic() + timeout_s
        while not is_ready():
            if not self.is_running:
                raise TryAgain(f"{self._name} ended while starting: {self.log_tail()}")
            if time.monotonic() > deadline:
                raise StopAndTell(f"{self._name} did not answer in {timeout_s:.0f} s: {self.log_tail()}")
            time.sleep(POLL_S)

    def stop(self) -> None:
        """End the server and wait until it is gone. Safe to call twice."""
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(self._grace_s + 5)
            return
        self._process.kill()
        self._process.wait()

    def log_tail(self) -> str:
        """The last lines that the server wrote, on one line."""
        if not self._log.exists():
            return "(no log)"
        tail = self._log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
        return " | ".join(line for line in tail.splitlines()[-6:] if line.strip())
