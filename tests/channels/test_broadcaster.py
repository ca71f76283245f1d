"""Delivery: once, in time, within budget, and no message stalls another."""

from __future__ import annotations

import threading
from collections import deque
from datetime import UTC, datetime, timedelta

import pytest

from tests.channels.outbox_rows import both_channels, change, no_channel, row, rows, tell
from whalestack.agents.broadcaster import Broadcaster
from whalestack.agents.channels import LogChannel, open_channels
from whalestack.clients.channel import Leaving, Receipt, nobody_asks
from whalestack.clients.telegram.client import TelegramClient
from whalestack.clients.x.client import XClient
from whalestack.clock import ManualClock
from whalestack.config import Settings
from whalestack.db.engine import Database
from whalestack.dispatch import Job, RecordingDispatcher
from whalestack.errors import GiveUp, StopAndTell, TryAgain, UnknownOutcome, WhalestackError

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


class FakeChannel:
    """Keeps what it was given; raises or answers what was put into `next`."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.next: deque[WhalestackError | Receipt] = deque()
        self.on_send = threading.Event()
        self.go_on: threading.Event | None = None

    def send(self, text: str, image: bytes | None, leaving: Leaving = nobody_asks) -> Receipt:
        leaving()
        self.on_send.set()
        if self.go_on is not None:
            assert self.go_on.wait(10)
        answer = self.next.popleft() if self.next else Receipt(str(len(self.sent) + 1))
        if isinstance(answer, UnknownOutcome | Receipt):
            self.sent.append(text)
        if isinstance(answer, WhalestackError):
            raise answer
        return answer

    def close(self) -> None:
        self.sent.clear()


class Stage:
    """A broadcaster on fake channels, with what tests ask of it."""

    def __init__(self, db: Database, settings: Settings, clock: ManualClock) -> None:
        self.db, self.settings, self.clock = db, settings, clock
        self.telegram, self.x = FakeChannel(), FakeChannel()
        self.broadcaster = self.with_settings()

    def with_settings(self, **changed: object) -> Broadcaster:
        self.settings = self.settings.model_copy(update=changed)
        channels = {"telegram": self.telegram, "x": self.x}
        return Broadcaster(db=self.db, settings=self.settings, clock=self.clock, channels=channels)

    def tell(self, key: str = "entry:1", kind: str = "entry") -> list[int]:
        return tell(self.db, self.settings, self.clock, key=key, kind=kind)  # type: ignore[arg-type]

    def deliver(self, outbox_id: int) -> str:
        return self.broadcaster.deliver(outbox_id).outcome

    def status(self, outbox_id: int) -> str:
        return row(self.db, outbox_id).status


@pytest.fixture
def stage(db: Database, settings: Settings, clock: ManualClock) -> Stage:
    return Stage(db, both_channels(settings), clock)


def test_a_message_is_sent_and_its_receipt_kept(stage: Stage, clock: ManualClock) -> None:
    telegram_id, x_id = stage.tell()
    assert ["sent", "sent"] == [stage.deliver(telegram_id), stage.deliver(x_id)]
    told = row(stage.db, telegram_id)
    assert ("sent", "1", clock.now(), 1) == (told.status, told.external_id, told.sent_at, told.attempts)
    assert (1, 1) == (len(stage.telegram.sent), len(stage.x.sent))


def test_a_task_delivered_again_sends_nothing(stage: Stage) -> None:
    telegram_id, _ = stage.tell()
    assert ["sent", "nothing_to_do"] == [stage.deliver(telegram_id), stage.deliver(telegram_id)]
    assert 1 == len(stage.telegram.sent)


def test_two_workers_with_the_same_message_send_it_once(stage: Stage) -> None:
    telegram_id, _ = stage.tell()
    stage.telegram.go_on = threading.Event()
    first = threading.Thread(target=stage.deliver, args=(telegram_id,))
    first.start()
    assert stage.telegram.on_send.wait(10)
    assert "sending" == stage.status(telegram_id)
    assert "nothing_to_do" == stage.deliver(telegram_id)
    stage.telegram.go_on.set()
    first.join(10)
    assert ("sent", 1) == (stage.status(telegram_id), len(stage.telegram.sent))


def test_an_unknown_message_id_is_nothing_to_do(stage: Stage) -> None:
    assert "nothing_to_do" == stage.deliver(404)


def test_an_unknown_outcome_is_said_and_not_repeated(stage: Stage) -> None:
    telegram_id, _ = stage.tell()
    stage.telegram.next.append(UnknownOutcome("no answer"))
    assert "unknown" == stage.deliver(telegram_id)
    stage.clock.advance(100)
    stage.broadcaster.sweep()
    assert "nothing_to_do" == stage.deliver(telegram_id)
    told = row(stage.db, telegram_id)
    assert ("unknown", "no answer", 1) == (told.status, told.error, len(stage.telegram.sent))


def test_an_alert_of_unknown_outcome_is_sent_again(stage: Stage) -> None:
    """One alert too many is better than none: BROADCAST_REPEAT_KINDS names the kind."""
    (alert_id,) = stage.tell(kind="alert")
    stage.telegram.next.append(UnknownOutcome("no answer"))
    assert "later" == stage.deliver(alert_id)
    stage.clock.advance(2)
    assert ("sent", 2) == (stage.deliver(alert_id), len(stage.telegram.sent))


@pytest.mark.parametrize("error", [GiveUp("chat not found"), StopAndTell("the token is refused")])
def test_a_refusal_fails_with_its_reason(stage: Stage, error: WhalestackError) -> None:
    telegram_id, _ = stage.tell()
    stage.telegram.next.append(error)
    assert "failed" == stage.deliver(telegram_id)
    told = row(stage.db, telegram_id)
    assert ("failed", str(error)) == (told.status, told.error)


def test_a_channel_that_is_not_configured_here_fails_by_name(stage: Stage) -> None:
    telegram_id, _ = stage.tell()
    change(stage.db, telegram_id, channel="sms")
    assert "failed" == stage.deliver(telegram_id)
    assert "sms" in (row(stage.db, telegram_id).error or "")


def test_a_poison_message_does_not_stall_the_others(stage: Stage) -> None:
    poison, _ = stage.tell("entry:1")
    healthy, _ = stage.tell("entry:2")
    stage.telegram.next.append(TryAgain("not reached"))
    assert ["later", "sent"] == [stage.deliver(poison), stage.deliver(healthy)]


def test_a_channel_that_asks_for_silence_gets_it_and_the_other_goes_on(
    stage: Stage, dispatcher: RecordingDispatcher
) -> None:
    first, first_x = stage.tell("entry:1")
    second, _ = stage.tell("entry:2")
    stage.telegram.next.append(TryAgain("too many", retry_after_s=30))
    assert ["later", "later", "sent"] == [stage.deliver(first), stage.deliver(second), stage.deliver(first_x)]
    assert [] == stage.telegram.sent
    until = stage.clock.now() + timedelta(seconds=30)
    assert [until, until] == [row(stage.db, first).due_at, row(stage.db, second).due_at]
    stage.clock.advance(29)
    third, _ = stage.tell("entry:3")
    assert "later" == stage.deliver(third)
    stage.clock.advance(1)
    dispatcher.jobs.clear()
    stage.broadcaster.sweep()
    assert {first, second, third} <= {job.kwargs["outbox_id"] for job in dispatcher.jobs}
    assert ["sent"] * 3 == [stage.deliver(outbox_id) for outbox_id in (first, second, third)]


def test_real_seconds_of_silence_are_more_market_seconds_when_time_runs_faster(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 60 market seconds in a real one, 2 real seconds of silence are 120 market seconds."""
    monkeypatch.setattr(stage.clock, "real_seconds", lambda market_s: market_s / 60)
    telegram_id, _ = stage.tell()
    stage.telegram.next.append(TryAgain("too many", retry_after_s=2))
    stage.deliver(telegram_id)
    assert stage.clock.now() + timedelta(seconds=120) == row(stage.db, telegram_id).due_at


def test_a_receipt_may_ask_for_silence_as_well(stage: Stage) -> None:
    _, first = stage.tell("entry:1")
    _, second = stage.tell("entry:2")
    stage.x.next.append(Receipt("1", quiet_s=600))
    assert ["sent", "later"] == [stage.deliver(first), stage.deliver(second)]
    assert stage.clock.now() + timedelta(seconds=600) == row(stage.db, second).due_at


def test_attempts_wait_longer_each_time(stage: Stage) -> None:
    telegram_id, _ = stage.tell()
    waits_s = []
    for _ in range(4):
        stage.telegram.next.append(TryAgain("not reached"))
        stage.deliver(telegram_id)
        waits_s.append((row(stage.db, telegram_id).due_at - stage.clock.now()).total_seconds())
        stage.clock.advance(waits_s[-1])
    assert [1, 2, 4, 8] == waits_s


def test_a_stray_task_does_not_send_before_the_time(stage: Stage) -> None:
    telegram_id, _ = stage.tell()
    stage.telegram.next.append(TryAgain("not reached"))
    assert ["later", "later"] == [stage.deliver(telegram_id), stage.deliver(telegram_id)]
    told = row(stage.db, telegram_id)
    assert (1, "not reached", []) == (told.attempts, told.error, stage.telegram.sent)


def test_an_old_message_is_dropped_and_says_how_old(stage: Stage) -> None:
    telegram_id, _ = stage.tell()
    stage.clock.advance(900)
    assert "dropped" == stage.deliver(telegram_id)
    told = row(stage.db, telegram_id)
    assert ("dropped", "too old: 900 s", []) == (told.status, told.error, stage.telegram.sent)


def test_the_sweep_drops_what_is_too_old_and_enqueues_what_is_due(
    stage: Stage, dispatcher: RecordingDispatcher
) -> None:
    old = stage.tell("entry:1")
    stage.clock.advance(600)
    due = stage.tell("entry:2")
    stage.clock.advance(300)
    dispatcher.jobs.clear()
    report = stage.broadcaster.sweep()
    assert (2, 2, 0, 0) == (report.dispatched, report.dropped, report.unknown, report.repeated)
    assert ["dropped", "dropped"] == [stage.status(outbox_id) for outbox_id in old]
    expected = [Job("broadcast.deliver", {"outbox_id": outbox_id}, expires_s=900) for outbox_id in due]
    assert expected == dispatcher.jobs


def test_a_message_whose_worker_died_is_unknown_and_an_alert_is_sent_again(stage: Stage) -> None:
    entry_id, _ = stage.tell("entry:1")
    (alert_id,) = stage.tell("alert:1", kind="alert")
    (fresh_id, _) = stage.tell("entry:2")
    for outbox_id in (entry_id, alert_id):
        change(stage.db, outbox_id, status="sending", claimed_at=LONG_AGO, attempts=1)
    change(stage.db, fresh_id, status="sending", claimed_at=datetime.now(UTC), attempts=1)
    report = stage.broadcaster.sweep()
    assert (1, 1) == (report.unknown, report.repeated)
    assert ["unknown", "due", "sending"] == [
        stage.status(outbox_id) for outbox_id in (entry_id, alert_id, fresh_id)
    ]


def test_a_message_whose_worker_died_before_it_left_is_sent_after_all(stage: Stage) -> None:
    """The row says that nothing can have left, so a second send is no second message."""
    telegram_id, _ = stage.tell()
    change(stage.db, telegram_id, status="claimed", claimed_at=LONG_AGO, attempts=1)
    assert (0, 1) == (stage.broadcaster.sweep().unknown, len(stage.tell("entry:2")) - 1)
    assert "due" == stage.status(telegram_id)
    stage.clock.advance(60)
    assert ("sent", 1) == (stage.deliver(telegram_id), len(stage.telegram.sent))


def test_a_worker_that_was_held_up_finds_its_claim_gone_and_sends_nothing(stage: Stage) -> None:
    """A sweep gave the claim back and somebody else has it: the late one stops before anything leaves."""
    telegram_id, _ = stage.tell()

    class HeldUp(FakeChannel):
        def send(self, text: str, image: bytes | None, leaving: Leaving = nobody_asks) -> Receipt:
            change(stage.db, telegram_id, status="claimed", attempts=2)
            return super().send(text, image, leaving)

    stage.telegram = HeldUp()
    late = stage.with_settings()
    assert "nothing_to_do" == late.deliver(telegram_id).outcome
    assert ([], "claimed") == (stage.telegram.sent, stage.status(telegram_id))


def test_a_slow_send_that_was_given_up_still_counts_as_sent(stage: Stage) -> None:
    telegram_id, _ = stage.tell()
    stage.telegram.go_on = threading.Event()
    slow = threading.Thread(target=stage.deliver, args=(telegram_id,))
    slow.start()
    assert stage.telegram.on_send.wait(10)
    change(stage.db, telegram_id, claimed_at=LONG_AGO)
    assert 1 == stage.broadcaster.sweep().unknown
    stage.telegram.go_on.set()
    slow.join(10)
    assert ("sent", None) == (stage.status(telegram_id), row(stage.db, telegram_id).error)


def test_posts_beyond_the_day_are_dropped_and_telegram_goes_on(stage: Stage) -> None:
    stage.broadcaster = stage.with_settings(x_posts_per_day=2)
    pairs = [stage.tell(f"entry:{number}") for number in range(3)]
    assert ["sent", "sent", "dropped"] == [stage.deliver(x_id) for _, x_id in pairs]
    assert ["sent"] * 3 == [stage.deliver(telegram_id) for telegram_id, _ in pairs]
    assert "2 posts a day" in (row(stage.db, pairs[2][1]).error or "")


def test_a_post_waits_where_the_budget_has_room_before_it_is_too_old(stage: Stage) -> None:
    stage.broadcaster = stage.with_settings(x_posts_per_day=1)
    _, first = stage.tell("entry:1")
    stage.deliver(first)
    free_at = stage.clock.now() + timedelta(days=1)
    stage.clock.advance(86_400 - 600)
    _, second = stage.tell("entry:2")
    assert ("later", free_at) == (stage.deliver(second), row(stage.db, second).due_at)
    stage.clock.advance(600)
    assert "sent" == stage.deliver(second)


def test_the_month_is_a_budget_as_well_and_zero_posts_are_none(stage: Stage) -> None:
    stage.broadcaster = stage.with_settings(x_posts_per_month=1)
    _, first = stage.tell("entry:1")
    stage.deliver(first)
    stage.clock.advance(30 * 86_400)
    _, second = stage.tell("entry:2")
    assert "dropped" == stage.deliver(second)
    stage.clock.advance(86_400)
    _, third = stage.tell("entry:3")
    assert "sent" == stage.deliver(third)
    stage.broadcaster = stage.with_settings(x_posts_per_day=0)
    _, fourth = stage.tell("entry:4")
    assert "dropped" == stage.deliver(fourth)


def test_a_post_of_unknown_outcome_counts_against_the_budget(stage: Stage) -> None:
    stage.broadcaster = stage.with_settings(x_posts_per_day=1)
    _, first = stage.tell("entry:1")
    _, second = stage.tell("entry:2")
    stage.x.next.append(UnknownOutcome("no answer"))
    assert ["unknown", "dropped"] == [stage.deliver(first), stage.deliver(second)]


def test_two_workers_cannot_both_take_the_last_post(stage: Stage) -> None:
    stage.broadcaster = stage.with_settings(x_posts_per_day=1)
    posts = [stage.tell(f"entry:{number}")[1] for number in range(4)]
    workers = [threading.Thread(target=stage.deliver, args=(post,)) for post in posts]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
    assert 1 == len(stage.x.sent)
    assert ["dropped"] * 3 + ["sent"] == sorted(stage.status(post) for post in posts)


def test_the_settings_open_their_channels(settings: Settings) -> None:
    assert {"log"} == set(open_channels(no_channel(settings)))
    opened = open_channels(both_channels(settings))
    kinds = {name: type(channel) for name, channel in opened.items()}
    assert {"log": LogChannel, "telegram": TelegramClient, "x": XClient} == kinds


def test_without_any_channel_the_log_is_told(db: Database, settings: Settings, clock: ManualClock) -> None:
    silent = no_channel(settings)
    (outbox_id,) = tell(db, silent, clock)
    broadcaster = Broadcaster(db=db, settings=silent, clock=clock, channels=open_channels(silent))
    assert "sent" == broadcaster.deliver(outbox_id).outcome
    broadcaster.close()
    assert ["sent"] == [told.status for told in rows(db)]
