"""A server never outlives its owner, however the owner ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from whalestack.db.migrations import ROOT
from whalestack.embedded.account import Account, can_reach, server_account

OWNER = """
import json, os, signal, sys, time
from pathlib import Path
from whalestack.embedded import embedded_stores
# As in a terminal: a program started in the background inherits that Ctrl-C is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
with embedded_stores(Path(sys.argv[1]), durable=False) as stores:
    print(json.dumps([stores.postgres.pid, stores.redis.pid]), flush=True)
    if sys.argv[2] == "fork":
        if os.fork() == 0:      # holds a copy of every descriptor of the owner
            time.sleep(20)
            os._exit(0)
    if sys.argv[2] == "return":
        sys.exit(0)
    time.sleep(60)
"""
DEADLINE_S = 15.0


def wait_until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + DEADLINE_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be collected by its parent does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


class Owner:
    """A process of ours that started both servers."""

    def __init__(self, folder: Path, then: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(folder), then],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self.servers: list[int] = json.loads(self.process.stdout.readline())

    def are_gone(self) -> bool:
        return not any(is_alive(pid) for pid in self.servers)


@pytest.fixture
def start(scratch_folder: Path) -> Iterator[Callable[[str], Owner]]:
    owners: list[Owner] = []

    def make(then: str) -> Owner:
        owners.append(Owner(scratch_folder, then))
        return owners[-1]

    yield make
    for owner in owners:
        with suppress(ProcessLookupError):
            os.killpg(owner.process.pid, signal.SIGKILL)
        owner.process.wait()
        assert wait_until(owner.are_gone)


def test_servers_end_with_an_owner_that_is_killed(start: Callable[[str], Owner]) -> None:
    owner = start("sleep")

    owner.process.send_signal(signal.SIGKILL)

    assert wait_until(owner.are_gone)


def test_servers_end_when_the_owner_is_killed_and_a_fork_of_it_lives_on(
    start: Callable[[str], Owner],
) -> None:
    """The fork holds the owner's end of the pipe open; the keeper sees that its parent changed."""
    owner = start("fork")

    owner.process.send_signal(signal.SIGKILL)

    assert wait_until(owner.are_gone)


def test_servers_end_with_an_owner_that_returns(start: Callable[[str], Owner]) -> None:
    owner = start("return")

    assert 0 == owner.process.wait(DEADLINE_S)
    assert owner.are_gone()


def test_servers_outlive_the_ctrl_c_of_their_owner_until_it_has_ended(start: Callable[[str], Owner]) -> None:
    """The terminal sends it to the whole group; workers still need their stores to stop cleanly."""
    owner = start("sleep")
    groups = {os.getpgid(pid) for pid in owner.servers}

    assert owner.process.pid not in groups

    os.killpg(owner.process.pid, signal.SIGINT)
    assert wait_until(owner.are_gone)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_servers_end_when_their_keepers_are_killed(start: Callable[[str], Owner]) -> None:
    owner = start("sleep")

    for pid in owner.servers:
        os.kill(parent_of(pid), signal.SIGKILL)

    assert wait_until(owner.are_gone)


def run_as(account: Account, python: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, *arguments],
        user=account.uid,
        group=account.gid,
        extra_groups=[],
        env={
            "PYTHONPATH": f"{ROOT}{os.pathsep}{sysconfig.get_path('purelib')}",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def python_for(account: Account) -> str:
    """An interpreter that the account may run and that has what the package needs."""
    for candidate in (sys.executable, shutil.which(f"python3.{sys.version_info.minor}", path=os.defpath)):
        if candidate is None or not can_reach(account, Path(candidate)):
            continue
        if run_as(account, candidate, "-c", "import whalestack.embedded").returncode == 0:
            return candidate
    pytest.skip("no interpreter here that an ordinary user may run with this package")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_can_start_them_too(scratch_folder: Path) -> None:
    nobody = server_account()
    python = python_for(nobody)
    os.chown(scratch_folder, nobody.uid, nobody.gid)

    done = run_as(nobody, python, "-c", OWNER, str(scratch_folder / "stores"), "return")

    assert (0, "") == (done.returncode, done.stderr)
    assert not any(is_alive(pid) for pid in json.loads(done.stdout))
