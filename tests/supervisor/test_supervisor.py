"""The supervisor restarts what dies, leaves nothing behind, and its children die with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from whalestack.supervisor.process import ProcessSpec
from whalestack.supervisor.supervisor import Supervisor

SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('up', flush=True); time.sleep(600)"
)


def wait_until(holds: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def make(tmp_path: Path, *specs: ProcessSpec) -> Supervisor:
    return Supervisor(specs, dict(os.environ), tmp_path / "logs")


def test_a_process_that_dies_is_counted_and_started_again(tmp_path: Path) -> None:
    with make(tmp_path, ProcessSpec("sleeper", SLEEPER, stage=0)) as supervisor:
        supervisor.start()
        (process,) = supervisor.processes
        assert process.popen is not None
        first = process.popen.pid
        os.kill(first, signal.SIGKILL)
        process.popen.wait()

        def restarted() -> bool:
            supervisor.watch()
            return process.is_running()

        wait_until(restarted, "a restart")
        assert process.popen.pid != first
        assert supervisor.crashes == 1
        assert process.exit_codes == [-signal.SIGKILL]


def test_what_lasted_is_restarted_soon_however_often_it_died(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The delay grows while a process keeps failing at its start; one death a week is no such row."""
    monkeypatch.setattr("whalestack.supervisor.process.LASTING_S", 0.0)
    monkeypatch.setattr("whalestack.supervisor.process.RESTART_DELAYS_S", (0.01, 600.0))
    with make(tmp_path, ProcessSpec("sleeper", SLEEPER, stage=0)) as supervisor:
        supervisor.start()
        (process,) = supervisor.processes
        for deaths in range(1, 4):
            assert process.popen is not None
            os.kill(process.popen.pid, signal.SIGKILL)
            process.popen.wait()

            def restarted() -> bool:
                supervisor.watch()
                return process.is_running()

            wait_until(restarted, f"restart {deaths}")
            assert supervisor.crashes == deaths


def test_the_end_stops_every_process_also_one_that_ignores_sigterm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whalestack.supervisor.supervisor.STOP_GRACE_S", 0.5)
    supervisor = make(
        tmp_path,
        ProcessSpec("sleeper", SLEEPER, stage=0),
        ProcessSpec("stubborn", [sys.executable, "-c", STUBBORN], stage=1),
    )
    supervisor.start()
    wait_until(lambda: "up" in (tmp_path / "logs" / "stubborn.log").read_text(), "the stubborn one is up")
    pids = [process.popen.pid for process in supervisor.processes if process.popen]
    supervisor.stop()
    assert [pid for pid in pids if is_alive(pid)] == []


def test_forked_children_are_ended_with_their_process(tmp_path: Path) -> None:
    """A worker that is killed leaves its pool behind; the group is swept."""
    parent = (
        "import subprocess, sys, time;"
        "c = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        "print(c.pid, flush=True); time.sleep(600)"
    )
    with make(tmp_path, ProcessSpec("parent", [sys.executable, "-c", parent], stage=0)) as supervisor:
        supervisor.start()
        log = tmp_path / "logs" / "parent.log"
        wait_until(lambda: log.read_text().endswith("\n"), "the child's pid")
        child = int(log.read_text())
    wait_until(lambda: not is_alive(child), "the end of the grandchild")


def test_later_stages_are_stopped_first(tmp_path: Path) -> None:
    """Beat must be gone before the workers, or it fills queues that nobody empties."""
    note = tmp_path / "order"
    script = (
        "import signal, sys, time\n"
        "def end(*_):\n    open(sys.argv[1], 'a').write(sys.argv[2]); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end); print('up', flush=True); time.sleep(600)"
    )
    specs = [
        ProcessSpec(f"p{s}", [sys.executable, "-c", script, str(note), str(s)], stage=s) for s in (1, 0, 2)
    ]
    with make(tmp_path, *specs) as supervisor:
        supervisor.start()
        for name in ("p0", "p1", "p2"):
            wait_until(
                lambda name=name: "up" in (tmp_path / "logs" / f"{name}.log").read_text(), f"{name} is up"
            )
    assert note.read_text() == "210"


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux tells children of a parent's death"
)
def test_children_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    child = (
        "import time; from whalestack.supervisor.parent import end_with_parent; import sys;"
        "end_with_parent(int(sys.argv[1])); print('ready', flush=True); time.sleep(600)"
    )
    parent = (
        "import os, subprocess, sys, time\n"
        f"c = subprocess.Popen([sys.executable, '-c', {child!r}, str(os.getpid())])\n"
        "print(c.pid, flush=True); time.sleep(600)"
    )
    supervisor = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    assert supervisor.stdout is not None
    lines = {supervisor.stdout.readline().strip(), supervisor.stdout.readline().strip()}
    (pid,) = (int(line) for line in lines if line.isdigit())
    assert "ready" in lines
    supervisor.kill()
    supervisor.wait()
    wait_until(lambda: not is_alive(pid), "the end of the orphan")


AUTOGROUP = Path("/proc/self/autogroup")


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel does not group tasks by session")
def test_a_nice_process_is_nice_to_other_sessions_too(tmp_path: Path) -> None:
    """Each child has a session of its own, and a plain niceness would count only within it."""
    with make(tmp_path, ProcessSpec("nice", SLEEPER, stage=0, nice=10)) as supervisor:
        supervisor.start()
        (process,) = supervisor.processes
        assert process.popen is not None
        assert os.getpriority(os.PRIO_PROCESS, process.popen.pid) == 10
        assert Path(f"/proc/{process.popen.pid}/autogroup").read_text().split()[-1] == "10"
