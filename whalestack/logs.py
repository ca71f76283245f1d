"""Logging: fixed event names with data beside them, for people or as JSON lines."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

# A key in a URL (the CoinGlass socket, the Telegram bot path) must not reach a log file.
_SECRET_IN_URL = re.compile(r"(cg-api-key=|/bot)[^\s/&'\"]+")
# Received is said of every task before succeeded is; one line a task is enough.
_NOISY = {
    "celery.worker.strategy": logging.WARNING,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "pybit": logging.WARNING,
    "websocket": logging.CRITICAL,
}


def _hide_secrets(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = _SECRET_IN_URL.sub(r"\1***", value)
    return event


def configure_logging(level: str = "INFO", style: str = "console") -> None:
    """Send structlog's and the standard library's records through one formatter to stderr.

    Args:
        level: the lowest level that is written.
        style: ``console`` for people, ``json`` for machines.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    )
    # The console renderer writes exceptions itself; JSON needs them as text before it.
    tail: list[structlog.typing.Processor] = [structlog.processors.format_exc_info] if style == "json" else []
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *tail,
                _hide_secrets,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name, floor in _NOISY.items():
        logging.getLogger(name).setLevel(floor)
