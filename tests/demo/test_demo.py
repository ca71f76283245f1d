"""The demo as a newcomer runs it: it ends by itself or by Ctrl-C, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from tests.databases import scratch_directory
from whalestack.config import load_settings
from whalestack.db.engine import make_engine
from whalestack.demo.facts import count_stages

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
CANDLES = "bybit_candles_50perps_20251019_20251022"
# Hours in which each of these coins runs ten per cent and more, the first of them at once. So few that
# their maps are made in time also on a machine that has other work.
LIVELY = ("--start", "2025-10-21T15:40:00", "--coins", "8")
# It is ended when every stage has done something: after some forty seconds where nothing else runs.
AT_MOST_S = 200
STAGES = (
    *("coins", "refresh_rounds", "heatmaps_fetched", "snapshots_stored", "clusters", "rankings"),
    *("movers", "spikes", "signals", "refused", "orders_sent", "fills"),
    *("trades_opened", "trades_closed", "messages_delivered"),
)
# Not among them: stops_moved. Coins that run as fast as these reach a stop before it can be moved; that a
# whole system moves stops is shown where its clock waits for it, in tests/parity.
HARM = ("duplicated_orders", "unprotected_position_seconds", "errors")


@dataclass(frozen=True)
class Ended:
    """What a command left.

    Args:
        code: it ended with.
        out, err: what it printed.
    """

    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        """The demo's closing line."""
        line: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return line


@dataclass(frozen=True)
class Played:
    """One demo of a recorded market, interrupted when every stage had done something.

    Args:
        first: the demo.
        second: another that was started in the same folder.
        outlived_it: whether the first still ran when the second had ended.
        interrupted: whether it was; else some stage had done nothing, and it ended by itself.
    """

    first: Ended
    second: Ended
    outlived_it: bool
    interrupted: bool


@pytest.fixture
def run_dir(scratch_folder: Path) -> Iterator[Path]:
    with leaving_nothing(scratch_folder / "run") as folder:
        yield folder


@contextmanager
def leaving_nothing(run_dir: Path) -> Iterator[Path]:
    """A run folder of which no process is left when the block ends."""
    yield run_dir
    assert remaining(run_dir) == []


@contextmanager
def started(run_dir: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A demo that is killed where the block does not end it."""
    command = [sys.executable, "-m", "whalestack", "demo", "--run-dir", str(run_dir), *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as demo:
        try:
            yield demo
        finally:
            demo.kill()


def run(run_dir: Path, *arguments: str) -> Ended:
    """A demo that ends by itself."""
    with started(run_dir, *arguments) as demo:
        return end_of(demo, 120)


def end_of(process: subprocess.Popen[str], timeout_s: float) -> Ended:
    out, err = process.communicate(timeout=timeout_s)
    return Ended(process.returncode, out, err)


def remaining(run_dir: Path) -> list[str]:
    """Commands of processes that belong to the run: by its folder in their arguments or environment."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), *process.environ().values()]
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
        if process.pid != os.getpid() and any(str(run_dir) in word for word in words):
            found.append(" ".join(process.cmdline()))
    return found


def wait_for(run_dir: Path, log: str, words: str, timeout_s: float = 60.0) -> None:
    deadline, path = time.monotonic() + timeout_s, run_dir / "logs" / log
    while not (path.exists() and words in path.read_text()):
        assert time.monotonic() < deadline, f"{words!r} not in {path} within {timeout_s} s"
        time.sleep(0.1)


def database_of(run_dir: Path) -> Engine:
    settings = load_settings(run_dir / "demo.env")
    return make_engine(settings.database_url.get_secret_value(), application_name="whalestack-tests")


def every_stage_is_reached(run_dir: Path, demo: subprocess.Popen[str]) -> bool:
    """Wait until each stage is above zero; False where the demo has ended before."""
    engine = database_of(run_dir)
    try:
        while demo.poll() is None:
            # A demo that ends takes its database along.
            with suppress(OperationalError), Session(engine) as session:
                counts = count_stages(session)
                if all(counts[name] for name in STAGES):
                    return True
            time.sleep(0.5)
    finally:
        engine.dispose()
    return False


@pytest.fixture(scope="module")
def played(shared_data: Path) -> Iterator[Played]:
    """The recorded market, seen by several tests: a demo is half a minute of starting and ending."""
    with scratch_directory() as folder, leaving_nothing(folder / "run") as run_dir:
        market = ("--market", f"recorded:{shared_data / CANDLES}", *LIVELY)
        with started(run_dir, *market, "--seconds", str(AT_MOST_S), "--json") as demo:
            wait_for(run_dir, "worker-trade.log", "ready")
            second = run(run_dir, "--market", "synthetic")
            outlived_it = demo.poll() is None
            interrupted = every_stage_is_reached(run_dir, demo)
            if interrupted:
                demo.send_signal(signal.SIGINT)
            yield Played(end_of(demo, 90), second, outlived_it, interrupted)


def test_the_recorded_market_goes_through_every_stage_without_harm(played: Played) -> None:
    """The whole main job, through real workers: every stage above zero, what harms at zero."""
    report, err = played.first.report, played.first.err
    assert {name: report[name] for name in STAGES if not report[name]} == {}, (report, err[-2000:])
    assert {name: report[name] for name in HARM} == dict.fromkeys(HARM, 0), report


def test_ctrl_c_ends_it_and_it_still_counts(played: Played) -> None:
    assert played.interrupted, played.first.report
    assert played.first.report["elapsed_s"] < AT_MOST_S
    assert played.first.code == 0


def test_a_second_demo_is_refused_and_the_first_goes_on(played: Played) -> None:
    """Two in one folder would share a database."""
    assert (played.second.code, len(played.second.err.strip().splitlines())) == (2, 1)
    assert played.outlived_it


def test_it_ends_by_itself_after_its_seconds(run_dir: Path) -> None:
    ended = run(run_dir, "--market", "synthetic", "--seconds", "5", "--json")
    assert 5 <= ended.report["elapsed_s"] < 30
    assert ended.report["coins"] >= 60
    assert ended.report["errors"] == 0, ended.err[-2000:]
    assert ended.code == 0


def test_a_killed_demo_leaves_no_process_behind(run_dir: Path) -> None:
    """Not even the supervisor can be counted on."""
    with started(run_dir, "--market", "synthetic") as demo:
        wait_for(run_dir, "simulator.log", "simulator_ready")
        demo.kill()
    deadline = time.monotonic() + 40
    while remaining(run_dir):
        assert time.monotonic() < deadline, remaining(run_dir)
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("market", "says"),
    [("recorded:/no/such/folder", "no *_5m.csv there"), ("martian", "give synthetic, recorded:FOLDER")],
)
def test_a_market_that_is_none_is_refused_in_one_sentence(run_dir: Path, market: str, says: str) -> None:
    ended = run(run_dir, "--market", market)
    assert (ended.out, ended.code) == ("", 2)
    assert says in ended.err
    assert len(ended.err.strip().splitlines()) == 1
