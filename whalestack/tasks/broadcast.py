"""Queue `broadcast`: the outbox goes out."""

from __future__ import annotations

from celery import shared_task

from whalestack.tasks.base import WhalestackTask


@shared_task(name="broadcast.deliver", bind=True, acks_late=True)
def deliver(self: WhalestackTask, outbox_id: int) -> None:
    """Send one message."""
    self.runtime.broadcaster.deliver(outbox_id)


@shared_task(name="broadcast.sweep", bind=True, exclusive=True)
def sweep(self: WhalestackTask) -> None:
    """Send what a lost message left in the outbox."""
    self.runtime.broadcaster.sweep()
