"""The simulator as a process of its own."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.conftest import SHARED_DATA
from tests.simulator.served_world import small_world
from whalestack.config import Settings
from whalestack.simulator.server import serve, with_clock_in_market

ROOT = Path(__file__).resolve().parents[2]
RECORDED = SHARED_DATA / "bybit_candles_50perps_20251019_20251022"


@contextmanager
def process(tmp_path: Path, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """`python -m whalestack.simulator` in an empty folder; ended afterwards."""
    command = [sys.executable, "-m", "whalestack.simulator", *arguments]
    full = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **environment}
    started = subprocess.Popen(
        command, cwd=tmp_path, env=full, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        yield started
    finally:
        started.kill()
        started.wait(10)


def base_url(started: subprocess.Popen[str]) -> str:
    """The address it says when it is ready."""
    assert started.stdout is not None
    for line in started.stdout:
        plain = re.sub(r"\x1b\[[0-9;]*m", "", line)
        if "simulator_ready" in plain:
            return re.search(r"http://[\d.:]+", plain)[0]  # type: ignore[index]
    raise AssertionError("it ended before it was ready")


def test_it_starts_in_seconds_serves_and_ends_on_sigterm(tmp_path: Path) -> None:
    began = time.monotonic()
    with process(tmp_path, "--port", "0", "--speed", "60", SIMULATOR_COINS="60") as started:
        url = base_url(started)
        first = requests.get(f"{url}/sim/health", timeout=10).json()
        took = time.monotonic() - began
        assert (60, 60.0) == (first["coins"], first["speed"])
        assert took < 20, "seconds when the machine is free; other tests may run beside this one"
        deadline = time.monotonic() + 10
        while requests.get(f"{url}/sim/health", timeout=10).json()["now_ms"] < first["now_ms"] + 10_000:
            assert time.monotonic() < deadline, "the market stands still"
        started.send_signal(signal.SIGTERM)
        assert 0 == started.wait(10)


def test_a_broken_loop_ends_the_server_with_what_broke_it(settings: Settings) -> None:
    """A market that stands still while the API answers would be worse than no server."""
    world = small_world(settings, coins=2)

    def broken(_now_ms: int, _ticks: object) -> None:
        raise ArithmeticError("a listener failed")

    world.listeners.append(broken)

    async def serving() -> None:
        await asyncio.wait_for(serve(world, "127.0.0.1", 0, stop=asyncio.Event()), 10)

    with pytest.raises(ArithmeticError, match="a listener failed"):
        asyncio.run(serving())


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with process(tmp_path, "--port", str(port)) as started:
            output, _ = started.communicate(timeout=30)
    assert 2 == started.returncode
    assert f"127.0.0.1:{port} cannot be used" in output
    assert "Traceback" not in output


def test_an_unknown_market_is_one_sentence(tmp_path: Path) -> None:
    with process(tmp_path, "--market", "imaginary") as started:
        output, _ = started.communicate(timeout=30)
    assert 2 == started.returncode
    assert "SIMULATOR_MARKET=imaginary is none of" in output


@pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded candles of ../shared/data are not here")
def test_a_recorded_market_whose_clock_nobody_set_begins_a_day_in() -> None:
    settings = Settings(_env_file=None, simulator_market=f"recorded:{RECORDED}")
    set_now = with_clock_in_market(settings)
    assert 1_760_961_600_000 == set_now.clock_market_origin_ms  # 2025-10-20 12:00 UTC
    assert abs(set_now.clock_real_origin_ms - time.time() * 1000) < 10_000
    kept = settings.model_copy(update={"clock_market_origin_ms": 5})
    assert 5 == with_clock_in_market(kept).clock_market_origin_ms
