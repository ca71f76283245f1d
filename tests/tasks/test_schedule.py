"""What beat sends exists, goes to its queue, follows the clock and does not pile up."""

from __future__ import annotations

import pytest
from celery import Celery
from celery.schedules import crontab, schedule

from whalestack.clock import ManualClock, MarketClock
from whalestack.config import Settings
from whalestack.dispatch import Job
from whalestack.tasks.dispatcher import CeleryDispatcher
from whalestack.tasks.factory import make_app
from whalestack.tasks.queues import queues
from whalestack.tasks.schedule import beat_schedule, entries


@pytest.fixture
def app(settings: Settings) -> Celery:
    app = make_app(settings)
    app.loader.import_default_modules()
    return app


def test_every_entry_names_a_task_that_exists(app: Celery, settings: Settings) -> None:
    assert [entry.task for entry in entries(settings) if entry.task not in app.tasks] == []


def test_every_task_goes_to_the_queue_that_its_name_begins_with(app: Celery, settings: Settings) -> None:
    names = {queue.name for queue in queues(settings)}
    ours = [name for name in app.tasks if not name.startswith("celery.")]
    routed = {name: app.amqp.router.route({}, name)["queue"].name for name in ours}
    assert routed == {name: name.partition(".")[0] for name in ours}
    assert set(routed.values()) == names


def test_who_protects_a_position_is_heard_before_those_who_follow_profit(app: Celery) -> None:
    """They share a queue; Redis hands out the lowest priority first."""
    follows = app.amqp.router.route({}, "trailing.check_symbol")
    protects = app.amqp.router.route({}, "trailing.watchdog")
    assert follows["queue"] == protects["queue"]
    assert follows["priority"] > protects.get("priority", 0)


def test_at_speed_one_the_refresh_is_on_the_five_minute_mark(settings: Settings) -> None:
    """Candles and heat-map columns close there."""
    assert beat_schedule(settings)["heatmap.refresh"]["schedule"] == crontab(minute="*/5")


def test_a_faster_market_is_scheduled_faster(settings: Settings) -> None:
    fast = beat_schedule(settings.model_copy(update={"clock_speed": 60.0}))
    assert fast["heatmap.refresh"]["schedule"] == schedule(5.0)
    assert fast["scan.moves"]["schedule"] == schedule(1.0)


def test_a_message_expires_before_its_successor_but_one(settings: Settings) -> None:
    """Work that waited longer than its interval would be done twice in a row for nothing; but what
    looks whether it was just done may wait for its turn."""
    for entry in entries(settings):
        sent = beat_schedule(settings)[entry.task]
        assert (
            0 < sent["options"]["expires"] <= (30 if entry.every_s < 30 and entry.spaced else entry.every_s)
        )
        assert sent["kwargs"] == ({"unless_within_s": entry.every_s / 2} if entry.spaced else {})


def test_in_a_fast_market_what_repairs_still_waits_for_its_turn(settings: Settings) -> None:
    """A queue that is seconds long after a worker's death must not starve the poll."""
    fast = beat_schedule(settings.model_copy(update={"clock_speed": 60.0}))
    assert fast["trailing.watchdog"]["options"]["expires"] == 5.0
    for name in ("trade.poll", "trade.reconcile", "trade.sweep", "trade.expire_plans"):
        assert fast[name]["options"]["expires"] == 30.0
    assert fast["scan.moves"]["options"]["expires"] == 1.0


def test_tickers_are_asked_for_only_to_be_archived(app: Celery, settings: Settings) -> None:
    """The streams bring prices; a reply that can be kept costs a call a minute."""
    archiving = settings.model_copy(update={"archive_raw": True})
    assert "scan.tickers" in app.tasks
    assert ["scan.tickers" in beat_schedule(each) for each in (settings, archiving)] == [False, True]


def test_no_task_can_outlive_the_visibility_timeout(settings: Settings) -> None:
    """A message that comes back while its task still runs is run twice at once."""
    assert max(queue.time_limit_s for queue in queues(settings)) * 2 < settings.broker_visibility_timeout_s


def test_only_json_is_taken(app: Celery) -> None:
    assert (app.conf.task_serializer, app.conf.accept_content) == ("json", ["json"])


def test_trades_survive_the_death_of_their_worker(app: Celery) -> None:
    task = app.tasks["trade.act_on_signal"]
    assert (task.acks_late, task.reject_on_worker_lost, task.max_retries) == (True, True, 0)


def test_a_job_expires_in_market_time(app: Celery, redis_url: str, settings: Settings) -> None:
    sent: list[float | None] = []
    app.send_task = lambda name, kwargs, expires: sent.append(expires)  # type: ignore[method-assign]
    dispatcher = CeleryDispatcher(app, MarketClock(speed=60.0))
    dispatcher.send(Job("refetch.coin", {"symbol": "AUSDT", "reason": "mover"}, expires_s=240))
    dispatcher.send(Job("trade.act_on_signal", {"signal_id": 1}))
    assert sent == [4.0, None]
    assert ManualClock().real_seconds(240) == 240
