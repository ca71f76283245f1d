"""The short form of `benchmarks/faults.py`: some thirty faults of all kinds on a whole running system."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.databases import scratch_directory

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
FAULTS = 30
ALLOWED_S = 280


@pytest.fixture(scope="module")
def line() -> Iterator[dict[str, Any]]:
    """The JSON line of one short run."""
    with scratch_directory() as run_dir:
        yield _run(run_dir)


def _run(run_dir: Path) -> dict[str, Any]:
    command = [sys.executable, "benchmarks/faults.py", "--faults", str(FAULTS), "--seed", "7"]
    command += ["--pause-s", "0.2", "--process-share", "0.47", "--run-dir", str(run_dir)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=ALLOWED_S, check=False)
    assert done.stdout, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found | {"log": done.stderr[-4000:]}


def test_no_order_is_doubled_or_lost(line: dict[str, Any]) -> None:
    """By the exchange's own record, row by row against the database."""
    assert line["orders_accepted"] > 0
    assert (0, 0, 0) == (line["duplicated"], line["lost"], line["unresolved_orders"])


def test_no_position_is_naked_or_unknown(line: dict[str, Any]) -> None:
    assert line["trades"] > 0
    assert (0, 0) == (line["unprotected_position_seconds"], line["unprotected_spells"])
    assert (0, 0) == (line["positions_not_in_database"], line["trades_not_on_exchange"])


def test_nothing_that_must_be_zero_is_not(line: dict[str, Any]) -> None:
    assert {} == line["harm"], line["log"]


def test_faults_of_every_family_struck_and_were_got_over(line: dict[str, Any]) -> None:
    assert FAULTS == line["faults"]
    struck = set(line["faults_by_kind"])
    wanted = {
        "kill_worker_trade", "kill_streams", "kill_beat", "kill_before_send", "kill_before_answer",
        "kill_before_commit", "restart_redis", "restart_postgres", "two_beats", "clock_jump",
        "private_stream_silent",
    }  # fmt: skip
    assert set() == wanted - struck
    # Which answers were there to be hit in the time is chance; of each family there were some.
    assert {"order", "read", "private"} <= {kind.partition("_")[0] for kind in struck}
    assert line["came_to_rest"], line["log"]
