"""`whalestack demo`: embedded stores, the simulator, every process, a live screen, a closing line."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
from rich.console import Console, RenderableType
from rich.live import Live

from whalestack.clock import to_ms
from whalestack.config import Mode, Settings, child_environment
from whalestack.demo.choices import Choice
from whalestack.demo.facts import read_facts
from whalestack.demo.report import closing_line
from whalestack.demo.terminal import Heading, screen
from whalestack.embedded.stores import EmbeddedStores, embedded_stores
from whalestack.logs import configure_logging
from whalestack.runtime import Runtime
from whalestack.supervisor.own_stores import free_port, fresh_database, fresh_folder, settings_of_run
from whalestack.supervisor.parent import own_pid
from whalestack.supervisor.plan import process_specs
from whalestack.supervisor.supervisor import Supervisor
from whalestack.supervisor.up import start_stages, stop_event

logger = structlog.get_logger(__name__)

FLOWER_PORT = 5555
COINGLASS_CALLS_PER_MARKET_MIN = 1200
SIGNAL_MAX_AGE_REAL_S = 10
DATABASE = "whalestack_demo"
REDRAW_S = 0.5
# Where the output is not a terminal, a picture now and then shows that it lives.
PLAIN_PICTURE_S = 10.0


def run_demo(choice: Choice, *, seconds: float | None, as_json: bool, run_dir: Path) -> int:
    """Run the demo until `seconds` have passed or it is interrupted.

    Args:
        choice: what to play.
        seconds: real seconds, None for no end.
        as_json: print nothing but the closing line.
        run_dir: for the stores' data and the processes' logs.

    Returns:
        0, or 1 if anything that must be zero is not.

    Raises:
        StopAndTell: something that it needs is not to be had; says what to do.
    """
    console = Console(stderr=as_json)
    run_dir = run_dir.resolve()
    configure_logging("WARNING")
    console.print("starting PostgreSQL and Redis of the demo's own ...")
    with stop_event() as stop, embedded_stores(run_dir, durable=False) as stores:
        settings, env_file = _prepare(choice, stores, run_dir)
        runtime = Runtime(settings)
        env = child_environment(env_file, SUPERVISOR_PID=str(own_pid()))
        log_dir = fresh_folder(run_dir / "logs")
        with Supervisor(process_specs(settings), env, log_dir) as supervisor:
            console.print("starting the simulator, the streams, the workers, beat and Flower ...")
            start_stages(supervisor, runtime)
            elapsed_s = _watch(runtime, supervisor, choice, stop, seconds, None if as_json else console)
            # Counted while the simulator still answers; nothing new is started from here on.
            report = closing_line(runtime, log_dir, crashes=supervisor.crashes, elapsed_s=elapsed_s)
            console.print("ending every process ...")
        runtime.close()
    print(json.dumps(report), flush=True)  # noqa: T201 - the closing line is the command's output
    harmless = not any(
        report[name] for name in ("duplicated_orders", "unprotected_position_seconds", "errors")
    )
    return 0 if harmless else 1


def _prepare(choice: Choice, stores: EmbeddedStores, run_dir: Path) -> tuple[Settings, Path]:
    """A fresh database with the current schema, and the settings file of all processes."""
    values = stores.settings() | {
        "MODE": Mode.DEMO.value,
        "DATABASE_URL": fresh_database(stores, DATABASE),
        "RUN_DIR": str(run_dir),
        # Not the checkout's own folder: a `whalestack up` may be running from it.
        "BEAT_STATE_DIR": str(fresh_folder(run_dir / "celerybeat-schedule")),
        "CLOCK_SPEED": str(choice.speed),
        "CLOCK_REAL_ORIGIN_MS": str(time.time_ns() // 1_000_000),
        "CLOCK_MARKET_ORIGIN_MS": str(to_ms(choice.start)),
        # The plan's calls are per minute of the market that is played.
        "COINGLASS_CALLS_PER_MIN": str(round(COINGLASS_CALLS_PER_MARKET_MIN * choice.speed)),
        "SIMULATOR_COINGLASS_CALLS_PER_MIN": str(round(COINGLASS_CALLS_PER_MARKET_MIN * choice.speed)),
        # A demo lasts minutes: all ten ranked coins may give signals, not the first three alone.
        "RANKING_WATCH": "10",
        # So that stops are seen to move: a target that is nearly reached may be pushed on.
        "EXTEND_TAKE_PROFIT": "true",
        "X_POSTS_PER_DAY": "1000",
        # A worker's answer takes its real time, however fast the market is played.
        "SIGNAL_MAX_AGE_S": str(round(max(120, SIGNAL_MAX_AGE_REAL_S * choice.speed))),
        "SIMULATOR_MARKET": choice.market,
        "SIMULATOR_SYMBOLS": ",".join(choice.symbols),
        "SIMULATOR_COINS": str(choice.coins),
        "SIMULATOR_PORT": str(free_port()),
        "FLOWER_PORT": str(free_port(FLOWER_PORT)),
    }
    env_file = run_dir / "demo.env"
    return settings_of_run(values, env_file), env_file


def _watch(
    runtime: Runtime,
    supervisor: Supervisor,
    choice: Choice,
    stop: threading.Event,
    seconds: float | None,
    console: Console | None,
) -> float:
    """Keep the processes alive and the screen current until the end; returns how long it took."""
    started = time.monotonic()
    with _display(console) as draw:
        while not stop.wait(REDRAW_S):
            elapsed_s = time.monotonic() - started
            if seconds is not None and elapsed_s >= seconds:
                break
            supervisor.watch()
            draw(runtime, _heading(runtime, choice, elapsed_s, seconds))
    return time.monotonic() - started


def _heading(runtime: Runtime, choice: Choice, elapsed_s: float, seconds: float | None) -> Heading:
    return Heading(
        market=choice.market.rpartition("/")[2],
        market_time=runtime.clock.now(),
        speed=choice.speed,
        elapsed_s=elapsed_s,
        seconds=seconds,
        flower_url=f"http://127.0.0.1:{runtime.settings.flower_port}",
    )


Draw = Callable[[Runtime, Heading], None]


@contextmanager
def _display(console: Console | None) -> Iterator[Draw]:
    """A function that shows the present state: a live screen, a picture now and then, or nothing."""
    if console is None:
        yield lambda runtime, heading: None
    elif console.is_terminal:
        with Live(console=console, auto_refresh=False) as live:
            yield lambda runtime, heading: live.update(_picture(runtime, heading), refresh=True)
    else:
        yield _now_and_then(console)


def _picture(runtime: Runtime, heading: Heading) -> RenderableType:
    with runtime.reading() as session:
        return screen(heading, read_facts(session))


def _now_and_then(console: Console) -> Draw:
    last = float("-inf")

    def draw(runtime: Runtime, heading: Heading) -> None:
        nonlocal last
        if time.monotonic() - last >= PLAIN_PICTURE_S:
            last = time.monotonic()
            console.print(_picture(runtime, heading))

    return draw
