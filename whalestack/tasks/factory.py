"""Makes Celery applications; importing this reads no settings."""

from __future__ import annotations

from typing import Any

from celery import Celery, signals

from whalestack.config import Settings
from whalestack.tasks.celery_config import celery_config
from whalestack.tasks.runs import record_expired

TASK_MODULES = tuple(
    f"whalestack.tasks.{name}"
    for name in ("heatmap", "refetch", "scan", "trade", "trailing", "broadcast", "history")
)


def make_app(settings: Settings) -> Celery:
    """A Celery application for these settings; it connects to nothing yet."""
    application = Celery(
        "whalestack", task_cls="whalestack.tasks.base:WhalestackTask", include=list(TASK_MODULES)
    )
    application.conf.update(celery_config(settings))

    def count_expired(sender: Any = None, expired: bool = False, **_: Any) -> None:
        if expired and sender.app is application:
            record_expired(settings, sender.name)

    signals.task_revoked.connect(count_expired, weak=False)
    return application
