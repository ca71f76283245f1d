"""What a container asks itself: does this process still do its work?

A worker that has lost its broker still answers pings, so progress is asked for, not life:
beat sends a small task through every queue each minute, and the queue's worker notes the
time. `python -m whalestack.healthcheck worker:trade`, `beat` or `streams`; exit code 0 is
healthy, and one line says what was seen.
"""

from __future__ import annotations

import sys
import time

import redis
from redis.exceptions import RedisError

from whalestack.config import Settings, load_settings
from whalestack.db.live import STREAMS_KEY
from whalestack.db.state_redis import state_client
from whalestack.tasks.queues import queues

# Three of the minutes in which beat sends; a restart on the first missed one would be rash.
CANARY_MAX_AGE_S = 180
REDIS_TIMEOUT_S = 5


def unhealthy(settings: Settings, client: redis.Redis, subject: str) -> str | None:
    """Why a process does not do its work, None if it does.

    Args:
        settings: of this container.
        client: the state database of Redis.
        subject: ``worker:QUEUE``, ``beat`` or ``streams``.
    """
    names = [queue.name for queue in queues(settings)]
    kind, _, name = subject.partition(":")
    if kind == "worker" and name in names:
        return _too_old(client, [name], f"the queue {name} was")
    if subject == "beat":
        return _too_old(client, names, "every queue was")  # beat is well if one of them moves
    if subject == "streams":
        return None if client.exists(STREAMS_KEY) else "the streams report nothing"
    return f"unknown subject {subject!r}: worker:QUEUE (of {', '.join(names)}), beat or streams"


def _too_old(client: redis.Redis, names: list[str], which: str) -> str | None:
    """Complain if even the youngest canary of these queues is too old; they count real time."""
    seen = [int(found) for name in names if (found := client.get(f"ws:canary:{name}")) is not None]
    if not seen:
        return f"{which} never worked, or not for minutes"
    age_s = time.time() - max(seen)
    return f"{which} last worked {age_s:.0f} s ago" if age_s > CANARY_MAX_AGE_S else None


def main(arguments: list[str]) -> int:
    """Run one check; returns the exit code."""
    settings = load_settings()
    try:
        with state_client(settings, timeout_s=REDIS_TIMEOUT_S) as client:
            complaint = unhealthy(settings, client, " ".join(arguments))
    except RedisError as error:
        complaint = f"Redis does not answer ({type(error).__name__})"
    sys.stdout.write(f"{complaint or 'healthy'}\n")
    return 1 if complaint else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
