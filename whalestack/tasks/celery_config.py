"""The Celery settings. Each one that decides reliability says why it has its value."""

from __future__ import annotations

from typing import Any

from kombu import Queue as KombuQueue

from whalestack.config import Settings
from whalestack.tasks.queues import queues
from whalestack.tasks.schedule import beat_schedule

# Redis hands out priority 0, everybody else's, first: where two hundred steps are reached at once,
# the watchdog's message does not wait behind those that follow the profit.
BEHIND_OTHERS = {"trailing.check_symbol": {"queue": "trailing", "priority": 6}}
# The sweep that gives back unacknowledged messages runs this often at least.
MOST_RESTORE_INTERVAL_S = 10


def celery_config(settings: Settings) -> dict[str, Any]:
    """Everything that `Celery.conf` is updated with."""
    return _broker(settings) | _messages(settings) | _worker() | _beat(settings)


def _broker(settings: Settings) -> dict[str, Any]:
    return {
        "broker_url": settings.redis_url.get_secret_value(),
        "broker_transport_options": {
            "visibility_timeout": settings.broker_visibility_timeout_s,
            # The sweep that gives back unacknowledged messages runs every interval x throttle
            # seconds; the defaults make that 100 s.
            "unacked_restore_interval": min(
                MOST_RESTORE_INTERVAL_S, max(1, settings.broker_visibility_timeout_s // 4)
            ),
            "unacked_restore_throttle": 1,
            # Without a timeout a read from a dead connection blocks the worker for ever while
            # it still answers pings; above the one second of the blocking pop.
            "socket_timeout": 10,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 10,
            # Without it a message popped just before a connection died is lost.
            "retry_on_timeout": True,
            "max_connections": 100,
            "global_keyprefix": "whalestack:",
            "client_name": "whalestack",
        },
        "broker_connection_retry_on_startup": True,
        # None: a worker never gives up on its broker; the default stops after 100 attempts.
        "broker_connection_max_retries": None,
        "broker_pool_limit": 20,
        # No results: nothing waits for one, and they cost a fifth of the throughput.
        "result_backend": None,
        "task_ignore_result": True,
    }


def _messages(settings: Settings) -> dict[str, Any]:
    return {
        # JSON only: a pickled message is code that anyone who reaches Redis can run.
        "task_serializer": "json",
        "accept_content": ["json"],
        "timezone": "UTC",
        "enable_utc": True,
        "task_queues": [KombuQueue(queue.name) for queue in queues(settings)],
        "task_routes": {
            **BEHIND_OTHERS,
            **{f"{queue.name}.*": {"queue": queue.name} for queue in queues(settings)},
        },
        # A misspelt queue is an error at the sender, not a list that nobody reads.
        "task_create_missing_queues": False,
        "task_default_queue": "history",
        # Each task opts in through its queue; an early acknowledgement is right where the next
        # run repairs a lost one.
        "task_acks_late": False,
        # A short outage of the broker is ridden out; a long one raises in the sender, and the
        # sweeps send again from the rows.
        "task_publish_retry_policy": {
            "max_retries": 3,
            "interval_start": 0.1,
            "interval_step": 0.3,
            "interval_max": 1.0,
        },
    }


def _worker() -> dict[str, Any]:
    return {
        # A worker takes only what it runs: a message that waits in a busy worker's memory could
        # have been run by an idle one.
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        "worker_eta_task_limit": 1000,
        # rate_limit counts per worker and blocks its other tasks; the call budget lives in Redis.
        "worker_disable_rate_limits": True,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        # A task whose message went back to the queue must not also go on running here.
        "worker_cancel_long_running_tasks_on_connection_loss": True,
        # A new child opens its connections before it says that it is up; the default is 4 s, and
        # where everything starts at once that is not enough.
        "worker_proc_alive_timeout": 60.0,
        # After SIGTERM running tasks get this long to end before they are put back.
        "worker_soft_shutdown_timeout": 10.0,
        "worker_enable_soft_shutdown_on_idle": False,
        # Flower needs the workers' events; the senders' would cost a third of the throughput.
        "worker_send_task_events": True,
        "task_send_sent_event": False,
    }


def _beat(settings: Settings) -> dict[str, Any]:
    config: dict[str, Any] = {
        "beat_schedule": beat_schedule(settings),
        "beat_schedule_filename": str(settings.beat_state_dir / "beat"),
        # Also how late a changed clock or a short interval is seen.
        "beat_max_loop_interval": 1 if settings.clock_speed > 1 else 5,
        # After a pause a run that is this late is skipped: the next one repairs it.
        "beat_cron_starting_deadline": 30,
    }
    if settings.beat_redundant:
        config |= {
            "beat_scheduler": "redbeat.RedBeatScheduler",
            "redbeat_redis_url": settings.redis_state_url.get_secret_value(),
            "redbeat_key_prefix": "whalestack:redbeat:",
            # The default is 25 minutes, for which nothing is scheduled after a crash.
            "redbeat_lock_timeout": 30,
        }
    return config
