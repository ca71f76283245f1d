"""Queue `broadcast`: the outbox goes out."""

from __future__ import annotations

from whalestack.runtime import Runtime
from whalestack.tasks.base import task


@task("broadcast.deliver", survives_worker=True)
def deliver(runtime: Runtime, outbox_id: int) -> None:
    """Send one message."""
    runtime.broadcaster.deliver(outbox_id)


@task("broadcast.sweep", exclusive=True)
def sweep(runtime: Runtime) -> None:
    """Send what a lost message left in the outbox."""
    runtime.broadcaster.sweep()


@task("broadcast.commands", exclusive=True)
def commands(runtime: Runtime) -> None:
    """Do what the owner wrote to the bot."""
    if runtime.telegram_door is not None:
        runtime.telegram_door.run()
