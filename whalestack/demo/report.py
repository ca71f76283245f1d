"""The closing line: how much every stage did, and what must be zero."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import requests

from whalestack.config import Settings
from whalestack.demo.facts import count_stages
from whalestack.runtime import Runtime

# A structlog line carries its level in brackets, a Celery one before its first colon.
_ERROR_LINE = re.compile(r"\[(error|critical)\s*\]|^Traceback|\bCRITICAL\b")


def closing_line(runtime: Runtime, log_dir: Path, *, crashes: int, elapsed_s: float) -> dict[str, Any]:
    """Everything that is counted, the simulator's own counts for what harms included."""
    with runtime.reading() as session:
        counts = count_stages(session)
    simulator = simulator_stats(runtime.settings)
    exchange = simulator["exchange"]
    log_errors = count_errors(log_dir.glob("*.log"))
    failed = int(counts.pop("tasks_failed"))
    return {
        "elapsed_s": round(elapsed_s, 1),
        **counts,
        "duplicated_orders": exchange["duplicated_orders"],
        "unprotected_position_seconds": exchange["unprotected_position_seconds"],
        "errors": failed + crashes + log_errors,
    }


def simulator_stats(settings: Settings) -> dict[str, Any]:
    """What the simulator counted."""
    reply = requests.get(f"{settings.simulator_url}/sim/stats", timeout=10)
    reply.raise_for_status()
    stats: dict[str, Any] = reply.json()
    return stats


def count_errors(logs: Iterable[Path]) -> int:
    """Lines of level error or above, and tracebacks, in the processes' logs."""
    return sum(
        1 for log in logs for line in log.read_text(errors="replace").splitlines() if _ERROR_LINE.search(line)
    )
