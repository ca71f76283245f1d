"""The Celery application: ``celery --app whalestack.tasks.app worker|beat|flower``."""

from __future__ import annotations

import signal
import warnings
from typing import Any

from celery import signals

from whalestack.config import get_settings
from whalestack.logs import configure_logging
from whalestack.runtime import get_runtime
from whalestack.supervisor.parent import end_with_parent
from whalestack.tasks.factory import make_app
from whalestack.tasks.schedule import AT_START

app = make_app(get_settings())

# Workers, beat and Flower all import this module first, and none may outlive its supervisor.
end_with_parent(get_settings().supervisor_pid)

# The warning is about messages that can carry code; ours are JSON. In Docker nothing is root.
warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")


@signals.setup_logging.connect
def _own_logging(**_: Any) -> None:
    """Celery leaves logging alone where this signal has a receiver."""
    settings = get_settings()
    configure_logging(settings.log_level, settings.log_format)


@signals.worker_process_init.connect
def _warm_up(**_: Any) -> None:
    """In a prefork child, right after the fork: what it would open for its first task is opened now."""
    get_runtime().warm_up(app.amqp.queues.consume_from)


@signals.beat_init.connect
def _begin_safely(**_: Any) -> None:
    """Where beat starts, in Docker as under the supervisor: nothing is traded before both sides
    have been compared, and what is due only after an interval is sent at once."""
    runtime = get_runtime()
    runtime.reconciler.require("beat has just started")
    for name in AT_START:
        app.send_task(name)
    runtime.close()


@signals.beat_init.connect
def _end_between_ticks(sender: Any, **_: Any) -> None:
    """Celery's own handler closes the schedule's file at once, also in the middle of a tick,
    which then fails; this one lets the tick end."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sender.stop())
