"""A message that nobody saw answered: the channel is asked, and it arrives exactly once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import hypothesis
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from tests.channels.conftest import TIMEOUT_S
from tests.channels.loopback import CHAT, Channels, Fault
from tests.channels.outbox_rows import both_channels, change, row, tell
from tests.channels.test_broadcaster import LONG_AGO
from whalestack.agents.broadcaster import Broadcaster
from whalestack.clients.channel import Doubt
from whalestack.clients.telegram.asking import MOST_PROBES
from whalestack.clients.telegram.client import TelegramClient
from whalestack.clients.x.client import XClient
from whalestack.clock import ManualClock
from whalestack.config import Settings
from whalestack.db.engine import Database
from whalestack.errors import GiveUp
from whalestack.simulator.telegram_server import TelegramLimits

FREE = TelegramLimits(all_per_s=10_000, chat_per_s=1_000.0, chat_burst=10_000)


def doubts(*texts: str) -> list[Doubt]:
    return [Doubt(number, text, LONG_AGO) for number, text in enumerate(texts, 1)]


def fill(channels: Channels, *texts: str) -> None:
    """Messages that Telegram has, from 1 on."""
    channels.telegram.limits = FREE
    for text in texts:
        channels.telegram.take(CHAT, text, photo_bytes=0)


def shown(channels: Channels) -> list[str]:
    return [message.text for message in channels.telegram.messages]


def test_a_message_that_is_there_is_found_by_its_number(channels: Channels, telegram: TelegramClient) -> None:
    fill(channels, "before", "in doubt", "after")
    assert telegram.arrived(doubts("in doubt"), known={"1", "3"}, earlier="1") == {1: "2"}


def test_a_message_that_is_not_there_did_not_arrive(channels: Channels, telegram: TelegramClient) -> None:
    fill(channels, "before", "after")
    assert telegram.arrived(doubts("in doubt"), known={"1", "2"}, earlier="1") == {1: None}


def test_the_last_message_of_the_chat_is_found(channels: Channels, telegram: TelegramClient) -> None:
    fill(channels, "before", "in doubt")
    assert telegram.arrived(doubts("in doubt"), known={"1"}, earlier="1") == {1: "2"}


def test_too_many_unknown_numbers_cannot_be_asked_for(channels: Channels, telegram: TelegramClient) -> None:
    fill(channels, *map(str, range(MOST_PROBES + 5)))
    with pytest.raises(GiveUp, match="more than"):
        telegram.arrived(doubts("in doubt"), known=set(), earlier=None)


@hypothesis.settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=8))
def test_after_asking_each_text_stands_once_or_is_told_anew(
    channels: Channels, telegram: TelegramClient, fates: Sequence[tuple[bool, bool]]
) -> None:
    """Whichever messages are in doubt and whichever of those arrived."""
    channels.telegram.messages.clear()
    texts = [f"message {number}" for number in range(len(fates))]
    fill(channels, *[text for text, (_, arrived) in zip(texts, fates, strict=True) if arrived])
    numbers = {text: str(number) for number, text in enumerate(shown(channels), 1)}
    known = {
        numbers[text]
        for text, (in_doubt, _) in zip(texts, fates, strict=True)
        if not in_doubt and text in numbers
    }
    asked = [text for text, (in_doubt, _) in zip(texts, fates, strict=True) if in_doubt]
    found = telegram.arrived(doubts(*asked), known=known, earlier=None) if asked else {}
    again = [text for number, text in enumerate(asked, 1) if found[number] is None]
    lost_before = [
        text for text, (in_doubt, arrived) in zip(texts, fates, strict=True) if not (in_doubt or arrived)
    ]
    assert sorted(shown(channels) + again + lost_before) == sorted(texts)


def test_a_post_is_found_by_its_text(channels: Channels, x: XClient, png: bytes) -> None:
    x.send("Entry & stop <5 %>", png)
    now = datetime.fromtimestamp(channels.x.posts[0].real_ts_s, tz=LONG_AGO.tzinfo)
    asked = [Doubt(1, "Entry & stop <5 %>", now), Doubt(2, "never posted", now)]
    assert x.arrived(asked, known=(), earlier=None) == {1: channels.x.posts[0].id, 2: None}


class Desk:
    """A broadcaster on the simulated channels, and what becomes of its messages."""

    def __init__(
        self, db: Database, settings: Settings, clients: dict[str, TelegramClient | XClient]
    ) -> None:
        self.db, self.clock = db, ManualClock()
        self.settings = both_channels(settings, broadcast_timeout_s=TIMEOUT_S)
        self.broadcaster = Broadcaster(db=db, settings=self.settings, clock=self.clock, channels=clients)

    def announce(self, key: str) -> list[int]:
        return tell(self.db, self.settings, self.clock, key=key)

    def deliver(self, ids: Sequence[int]) -> list[str]:
        return [self.broadcaster.deliver(number).outcome for number in ids]

    def wait(self, ids: Sequence[int]) -> None:
        """As if the send were long over."""
        for number in ids:
            change(self.db, number, claimed_at=LONG_AGO)


@pytest.fixture
def desk(db: Database, service_settings: Settings, telegram: TelegramClient, x: XClient) -> Desk:
    return Desk(db, service_settings, {"telegram": telegram, "x": x})


@pytest.mark.parametrize("fault", [Fault.HANG_BEFORE, Fault.HANG_AFTER])
def test_a_timeout_before_or_after_arrival_ends_in_one_message(
    desk: Desk, channels: Channels, fault: Fault
) -> None:
    """On both channels, and whatever the timeout meant."""
    ids = desk.announce(f"entry:{fault.name}")
    channels.faults.extend([fault, fault])
    assert desk.deliver(ids) == ["unknown", "unknown"]
    desk.wait(ids)
    report = desk.broadcaster.sweep()
    assert report.arrived == (2 if fault is Fault.HANG_AFTER else 0)
    desk.deliver(ids)
    assert [row(desk.db, number).status for number in ids] == ["sent", "sent"]
    assert (len(channels.telegram.messages), len(channels.x.posts)) == (1, 1)


def test_nothing_is_asked_while_a_message_may_be_on_its_way(desk: Desk, channels: Channels) -> None:
    ids = desk.announce("entry:young")
    channels.faults.extend([Fault.HANG_AFTER, Fault.HANG_AFTER])
    desk.deliver(ids)
    asked = len(channels.paths)
    desk.broadcaster.sweep()
    assert len(channels.paths) == asked


def test_a_channel_that_cannot_say_leaves_the_message_in_doubt(desk: Desk, channels: Channels) -> None:
    ids = desk.announce("entry:mute")
    channels.faults.extend([Fault.HANG_AFTER, Fault.HANG_AFTER])
    desk.deliver(ids)
    desk.wait(ids)
    channels.faults.extend([Fault.ERROR_AFTER] * 2)
    desk.broadcaster.sweep()
    assert [row(desk.db, number).status for number in ids] == ["unknown", "unknown"]
    assert desk.broadcaster.sweep().arrived == 2
