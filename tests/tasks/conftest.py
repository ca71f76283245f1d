"""A real worker in a thread, on the test's own Redis and database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker

from whalestack import runtime as runtime_module
from whalestack.config import Settings
from whalestack.runtime import Runtime
from whalestack.tasks.factory import make_app


@pytest.fixture
def celery_app(service_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    """The application of this test's stores; tasks find a runtime of the same settings."""
    app = make_app(service_settings)
    app.set_current()
    app.loader.import_default_modules()
    runtime = Runtime(service_settings)
    monkeypatch.setattr(runtime_module, "get_runtime", lambda: runtime)
    monkeypatch.setattr("whalestack.tasks.base.get_runtime", lambda: runtime)
    yield app
    runtime.close()
    app.close()


@pytest.fixture
def worker(celery_app: Celery) -> Iterator[object]:
    """A worker of all queues with two threads."""
    with start_worker(
        celery_app, pool="threads", concurrency=2, perform_ping_check=False, loglevel="WARNING"
    ) as it:
        yield it
