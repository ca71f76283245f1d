"""The Celery application: ``celery --app whalestack.tasks.app worker|beat|flower``."""

from __future__ import annotations

from typing import Any

from celery import Celery, signals

from whalestack.config import Settings, get_settings
from whalestack.logs import configure_logging
from whalestack.tasks.base import WhalestackTask
from whalestack.tasks.celery_config import celery_config
from whalestack.tasks.runs import record_expired

TASK_MODULES = tuple(
    f"whalestack.tasks.{name}"
    for name in ("heatmap", "refetch", "scan", "trade", "trailing", "broadcast", "history")
)


def make_app(settings: Settings) -> Celery:
    """A Celery application for these settings; it connects to nothing yet."""
    application = Celery("whalestack", task_cls=WhalestackTask, include=list(TASK_MODULES))
    application.conf.update(celery_config(settings))
    return application


app = make_app(get_settings())


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def _own_logging(**_: Any) -> None:
    """Celery leaves logging alone where this signal has a receiver."""
    settings = get_settings()
    configure_logging(settings.log_level, settings.log_format)


@signals.task_revoked.connect  # type: ignore[untyped-decorator]
def _count_expired(request: Any = None, expired: bool = False, **_: Any) -> None:
    if expired and request is not None:
        record_expired(get_settings(), request.name)
