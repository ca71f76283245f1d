"""Runs one server and ends it when its owner is gone, however the owner went.

This file is started as a script of its own (`python -I -S keeper.py ...`), so it imports
nothing but the standard library. It ends the server when

* the pipe from the owner closes (the owner stopped it, returned, or was killed),
* its parent is no longer the owner (a fork of the owner may hold the pipe open), or
* it is told to with SIGTERM;

and should the keeper itself be killed, the kernel ends the server (Linux). Its exit code
is that of the server.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1
POLL_S = 0.5


def die_with_parent(stop_signal: int, parent_pid: int) -> Callable[[], None]:
    """What the child runs before exec: the kernel signals it when the keeper dies."""
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

    def arm() -> None:
        if libc is not None:
            libc.prctl(PR_SET_PDEATHSIG, stop_signal, 0, 0, 0)
        if os.getppid() != parent_pid:  # it died between fork and prctl
            os._exit(1)

    return arm


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line that `whalestack.embedded.process` gives."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--owner", type=int, required=True, help="pid whose end ends the server")
    parser.add_argument("--pipe", type=int, required=True, help="read end; closes with the owner")
    parser.add_argument("--stop-signal", type=int, required=True)
    parser.add_argument("--grace", type=float, required=True, help="seconds before SIGKILL")
    parser.add_argument("--uid", type=int)
    parser.add_argument("--gid", type=int)
    parser.add_argument("command", nargs="+")
    return parser.parse_args(argv)


def start(options: argparse.Namespace) -> subprocess.Popen[bytes]:
    """Start the server, as another account where one is named."""
    groups: list[int] | None = None if options.uid is None else []
    # Single-threaded here, so the function before exec is safe; it runs after the change of
    # account, which would clear the signal that it arms.
    return subprocess.Popen(  # noqa: S603 - the command comes from our own package
        options.command,
        stdin=subprocess.DEVNULL,
        user=options.uid,
        group=options.gid,
        extra_groups=groups,
        preexec_fn=die_with_parent(options.stop_signal, os.getpid()),
    )


def wait_for_end(options: argparse.Namespace, child: subprocess.Popen[bytes], wake: int) -> None:
    """Return when the child has ended or the owner has gone."""
    while child.poll() is None:
        if os.getppid() != options.owner:
            return
        readable, _, _ = select.select([options.pipe, wake], [], [], POLL_S)
        if options.pipe in readable or STOPPING:
            return
        if wake in readable:
            os.read(wake, 512)


STOPPING: list[int] = []


def wake_on_signals() -> int:
    """Make SIGTERM, SIGINT and SIGCHLD end the wait; returns the pipe end that they fill."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: STOPPING.append(received))
    signal.signal(signal.SIGCHLD, lambda _received, _frame: None)
    return read_end


def end(child: subprocess.Popen[bytes], stop_signal: int, grace_s: float) -> int:
    """Ask the child to stop, then insist; returns its exit code."""
    if child.poll() is None:
        child.send_signal(stop_signal)
        try:
            child.wait(grace_s)
        except subprocess.TimeoutExpired:
            child.kill()
    return child.wait()


def main(argv: list[str]) -> int:
    """Keep one server until its owner goes."""
    options = parse(argv)
    wake = wake_on_signals()
    child = start(options)
    wait_for_end(options, child, wake)
    code = end(child, options.stop_signal, options.grace)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
