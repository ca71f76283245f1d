"""The Celery application: ``celery --app whalestack.tasks.app worker|beat|flower``."""

from __future__ import annotations

import warnings
from typing import Any

from celery import signals

from whalestack.config import get_settings
from whalestack.logs import configure_logging
from whalestack.tasks.factory import make_app

app = make_app(get_settings())

# The warning is about messages that can carry code; ours are JSON. In Docker nothing is root.
warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def _own_logging(**_: Any) -> None:
    """Celery leaves logging alone where this signal has a receiver."""
    settings = get_settings()
    configure_logging(settings.log_level, settings.log_format)
