"""A child of the supervisor ends when the supervisor does, however that dies."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def end_with_parent(supervisor_pid: int) -> None:
    """Ask the kernel to send SIGTERM to this process when its parent dies.

    Args:
        supervisor_pid: of the supervisor, 0 where there is none. If it is no longer the parent
            it died before this call, and the process ends at once.

    Only Linux knows this call; elsewhere the supervisor's own shutdown has to do.
    """
    if supervisor_pid == 0 or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != supervisor_pid:
        sys.exit(0)


def own_pid() -> int:
    """The pid that children are given as their supervisor's."""
    return os.getpid()
