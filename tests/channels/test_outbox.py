"""A message is written with what it tells, once, for each channel that hears its kind."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.channels.outbox_rows import both_channels, no_channel, rows, tell
from whalestack.agents import messages
from whalestack.agents.outbox import announce, configured_channels, was_announced
from whalestack.clock import ManualClock
from whalestack.config import Settings
from whalestack.db.engine import Database
from whalestack.dispatch import Job, RecordingDispatcher


def test_an_event_becomes_one_row_for_each_channel_and_a_job_for_each_row(
    db: Database, settings: Settings, clock: ManualClock, dispatcher: RecordingDispatcher
) -> None:
    telegram_id, x_id = tell(db, both_channels(settings), clock)
    telegram, x = rows(db)
    assert [("telegram", "due"), ("x", "due")] == [(row.channel, row.status) for row in (telegram, x)]
    assert telegram.text.startswith("<b>No trade: AIAUSDT LONG</b>")
    assert x.text.startswith("No trade: AIAUSDT LONG\n")
    assert {telegram_id, x_id} == {job.kwargs["outbox_id"] for job in dispatcher.jobs}
    assert {"broadcast.deliver"} == {job.task for job in dispatcher.jobs}


def test_an_event_announced_again_writes_and_sends_nothing(
    db: Database, settings: Settings, clock: ManualClock, dispatcher: RecordingDispatcher
) -> None:
    tell(db, both_channels(settings), clock)
    tell(db, both_channels(settings), clock)
    assert (2, 2) == (len(rows(db)), len(dispatcher.jobs))


def test_what_rolls_back_is_never_told(
    db: Database, settings: Settings, clock: ManualClock, dispatcher: RecordingDispatcher
) -> None:
    text = messages.alert(agent_name="a", what="b", at=clock.now())

    def announce_and_fail() -> None:
        with db.begin() as work:
            announce(
                work,
                settings=settings,
                now=clock.now(),
                kind="alert",
                event_key="alert:1",
                agent_name="a",
                scanner="",
                symbol=None,
                text=text,
            )
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        announce_and_fail()
    assert ([], []) == (rows(db), dispatcher.jobs)


def test_without_a_channel_the_log_hears_it(settings: Settings) -> None:
    assert ("log",) == configured_channels(no_channel(settings), "entry")


def test_an_alert_and_the_kinds_left_out_are_not_posted_on_x(settings: Settings) -> None:
    chosen = both_channels(settings, x_kinds="entry,close")
    assert ("telegram", "x") == configured_channels(chosen, "close")
    assert ("telegram",) == configured_channels(chosen, "refusal")
    assert ("telegram",) == configured_channels(both_channels(settings), "alert")


def test_a_half_configured_channel_is_not_used(settings: Settings) -> None:
    no_chat = both_channels(settings, telegram_chat_id="", x_access_token="")
    assert ("log",) == configured_channels(no_chat, "entry")


def test_a_job_expires_with_its_message(
    db: Database, settings: Settings, clock: ManualClock, dispatcher: RecordingDispatcher
) -> None:
    """An alert's message outlives its job: the sweep enqueues it again for a day."""
    for kind in ("refusal", "alert"):
        only_telegram = both_channels(settings, broadcast_max_age_s=60, x_access_token="")
        (outbox_id,) = tell(db, only_telegram, clock, key=kind, kind=kind)
        assert Job("broadcast.deliver", {"outbox_id": outbox_id}, expires_s=60) == dispatcher.jobs[-1]
    ages = {row.kind: row.expires_at - clock.now() for row in rows(db)}
    assert ages == {"refusal": timedelta(seconds=60), "alert": timedelta(days=1)}


def test_senders_can_ask_what_was_told_lately(db: Database, settings: Settings, clock: ManualClock) -> None:
    since = clock.now()
    tell(db, settings, clock, kind="refusal", key="refusal:AIAUSDT:stop_%:1")
    with db.begin() as work:

        def told(**changed: object) -> bool:
            asked = {"kind": "refusal", "symbol": "AIAUSDT", "since": since} | changed
            return was_announced(work, **asked)  # type: ignore[arg-type]

        assert told()
        assert told(key_prefix="refusal:AIAUSDT:stop_%")
        assert not told(key_prefix="refusal:AIAUSDT:%")
        assert not told(symbol="COAIUSDT")
        assert not told(kind="entry")
        assert not told(since=since + timedelta(seconds=1))
