"""From a transaction to both simulated channels, through the unmodified libraries."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.channels.loopback import CHAT, KEYS, TOKEN, Channels, Fault
from tests.channels.outbox_rows import both_channels, rows, tell
from whalestack.agents.broadcaster import Broadcaster
from whalestack.agents.channels import open_channels
from whalestack.clock import ManualClock
from whalestack.config import Settings
from whalestack.db.engine import Database
from whalestack.simulator.telegram_server import TelegramServer
from whalestack.simulator.x_server import XServer


@pytest.fixture
def configured(settings: Settings, channels: Channels) -> Settings:
    return both_channels(
        settings,
        telegram_bot_token=TOKEN,
        telegram_chat_id=CHAT,
        telegram_url=channels.url,
        x_consumer_key=KEYS.consumer_key,
        x_consumer_secret=KEYS.consumer_secret,
        x_access_token=KEYS.token,
        x_access_token_secret=KEYS.token_secret,
        x_url=channels.url,
        broadcast_timeout_s=0.4,
    )


@pytest.fixture
def broadcaster(db: Database, configured: Settings, clock: ManualClock) -> Iterator[Broadcaster]:
    made = Broadcaster(db=db, settings=configured, clock=clock, channels=open_channels(configured))
    yield made
    made.close()


def test_a_message_with_a_picture_reaches_both_channels_once(
    db: Database,
    configured: Settings,
    clock: ManualClock,
    broadcaster: Broadcaster,
    channels: Channels,
    png: bytes,
) -> None:
    ids = tell(db, configured, clock, kind="signal", key="signal:1", image=png)
    for _ in range(2):
        for outbox_id in ids:
            broadcaster.deliver(outbox_id)
    (message,), (post,) = channels.telegram.messages, channels.x.posts
    assert message.text.startswith("No trade: AIAUSDT LONG\nWhy: signal:1\ntester / none\n")
    assert post.text.startswith("No trade: AIAUSDT LONG\nWhy: signal:1\ntester / none ")
    assert (len(png), 1) == (message.photo_bytes, len(post.media_ids))
    assert [("sent", "1"), ("sent", post.id)] == [(row.status, row.external_id) for row in rows(db)]


def test_answers_that_are_lost_leave_one_message_and_say_so(
    db: Database, configured: Settings, clock: ManualClock, broadcaster: Broadcaster, channels: Channels
) -> None:
    channels.faults.extend([Fault.HANG_AFTER, Fault.DROP_AFTER])
    for outbox_id in tell(db, configured, clock):
        broadcaster.deliver(outbox_id)
        broadcaster.deliver(outbox_id)
    broadcaster.sweep()
    assert ["unknown", "unknown"] == [row.status for row in rows(db)]
    assert (1, 0) == (channels.telegram.stats()["messages"], channels.telegram.stats()["repeats"])
    assert (1, 0) == (channels.x.stats()["messages"], channels.x.stats()["repeats"])


def test_the_simulators_take_the_keys_of_the_settings_and_limits_in_proportion_to_the_speed(
    settings: Settings,
) -> None:
    """At 60 times the speed a group takes 20 * 60 messages a minute and X 100 * 60 posts a day."""
    fast = settings.model_copy(update={"clock_speed": 60.0})
    telegram, x = TelegramServer.from_settings(fast), XServer.from_settings(fast)
    assert (1200, 1800) == (telegram.limits.group_per_min, telegram.limits.all_per_s)
    assert "6000" == x.rate_headers()["x-user-limit-24hour-limit"]
    assert fast.telegram_bot_token.get_secret_value() == telegram.token
    assert {fast.telegram_chat_id} == telegram.chats
    assert fast.x_access_token.get_secret_value() == x.verifier.keys.token
