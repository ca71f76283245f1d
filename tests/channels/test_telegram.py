"""python-telegram-bot, unmodified, against the simulated Bot API, through our client."""

from __future__ import annotations

import asyncio
import logging

import pytest
import telegram as telegram_library
from telegram.error import Conflict

from tests.channels.loopback import CHAT, GROUP, TOKEN, Channels, Fault
from whalestack.clients.telegram.client import TelegramClient
from whalestack.errors import GiveUp, StopAndTell, TryAgain, UnknownOutcome

# The library warns that RetryAfter will carry a timedelta one day; the client reads both.
pytestmark = pytest.mark.filterwarnings("ignore::telegram.warnings.PTBDeprecationWarning")


def test_a_message_arrives_once_without_its_tags(channels: Channels, telegram: TelegramClient) -> None:
    receipt = telegram.send("<b>Entry</b>: A &amp; B &lt;3", None)
    assert "1" == receipt.external_id
    assert ["A & B <3"] == [message.text.removeprefix("Entry: ") for message in channels.telegram.messages]
    assert 0 == channels.telegram.stats()["repeats"]


def test_many_sends_share_one_loop(channels: Channels, telegram: TelegramClient) -> None:
    """A Bot that is used from a second event loop fails; ours runs in one for its whole life."""
    ids = [telegram.send(f"message {number}", None).external_id for number in range(3)]
    assert ["1", "2", "3"] == ids


def test_a_closed_client_opens_again(channels: Channels, telegram: TelegramClient) -> None:
    telegram.send("first", None)
    telegram.close()
    telegram.send("second", None)
    assert ["first", "second"] == [message.text for message in channels.telegram.messages]


def test_a_photo_arrives_with_its_caption(channels: Channels, telegram: TelegramClient, png: bytes) -> None:
    telegram.send("<i>chart</i>", png)
    (message,) = channels.telegram.messages
    assert ("chart", len(png)) == (message.text, message.photo_bytes)


def test_a_text_too_long_for_a_caption_is_sent_without_its_picture(
    channels: Channels, telegram: TelegramClient, png: bytes
) -> None:
    telegram.send("x" * 1025, png)
    (message,) = channels.telegram.messages
    assert (1025, 0) == (len(message.text), message.photo_bytes)


def test_the_same_text_twice_is_seen_by_the_simulator(channels: Channels, telegram: TelegramClient) -> None:
    telegram.send("same", None)
    telegram.send("same", None)
    assert {"messages": 2, "repeats": 1, "photos": 0, "refused": {}} == channels.telegram.stats()


def test_the_name_of_the_bot_is_asked(telegram: TelegramClient) -> None:
    assert "whalestack_demo_bot" == telegram.name()


def test_a_wrong_token_stops_and_tells_without_the_token(channels: Channels) -> None:
    client = TelegramClient(token="1000:wrong", chat_id=CHAT, base_url=channels.url, timeout_s=1)
    with pytest.raises(StopAndTell) as raised:
        client.send("hello", None)
    client.close()
    assert "1000:wrong" not in str(raised.value)


def test_the_token_is_never_logged(
    channels: Channels, telegram: TelegramClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        telegram.send("hello", None)
    assert TOKEN not in caplog.text


@pytest.mark.parametrize("chat", ["999", "@nowhere"])
def test_an_unknown_chat_is_refused_for_good(channels: Channels, chat: str) -> None:
    client = TelegramClient(token=TOKEN, chat_id=chat, base_url=channels.url, timeout_s=1)
    with pytest.raises(GiveUp):
        client.send("hello", None)
    client.close()


def test_a_bot_that_was_blocked_is_refused_for_good(channels: Channels, telegram: TelegramClient) -> None:
    channels.telegram.blocked.add(CHAT)
    with pytest.raises(GiveUp):
        telegram.send("hello", None)


@pytest.mark.parametrize("text", ["", "x" * 4097, "<b>never closed", "a < b", "<blink>x</blink>"])
def test_a_text_telegram_cannot_take_is_refused_for_good(
    channels: Channels, telegram: TelegramClient, text: str
) -> None:
    with pytest.raises(GiveUp):
        telegram.send(text, None)
    assert [] == channels.telegram.messages


def test_too_many_messages_say_how_long_to_wait(channels: Channels, telegram: TelegramClient) -> None:
    for number in range(3):
        telegram.send(f"message {number}", None)
    with pytest.raises(TryAgain) as raised:
        telegram.send("one too many", None)
    assert raised.value.retry_after_s is not None
    assert 1 <= raised.value.retry_after_s <= 4
    assert 3 == len(channels.telegram.messages)


def test_a_group_takes_twenty_messages_a_minute(channels: Channels) -> None:
    client = TelegramClient(token=TOKEN, chat_id=GROUP, base_url=channels.url, timeout_s=2)
    for number in range(20):
        client.send(f"message {number}", None)
    with pytest.raises(TryAgain) as raised:
        client.send("one too many", None)
    client.close()
    assert raised.value.retry_after_s is not None
    assert raised.value.retry_after_s > 30


def test_a_chat_that_moved_gets_the_message_at_its_new_id(
    channels: Channels, telegram: TelegramClient
) -> None:
    channels.telegram.migrated[CHAT] = int(GROUP)
    telegram.send("hello", None)
    telegram.send("again", None)
    assert [GROUP, GROUP] == [message.chat_id for message in channels.telegram.messages]
    assert 1 == channels.telegram.refused[400]


@pytest.mark.parametrize(
    "fault", [Fault.HANG_BEFORE, Fault.HANG_AFTER, Fault.ERROR_AFTER, Fault.GARBLED, Fault.DROP_AFTER]
)
def test_no_usable_answer_is_an_unknown_outcome(
    channels: Channels, telegram: TelegramClient, fault: Fault
) -> None:
    channels.faults.append(fault)
    with pytest.raises(UnknownOutcome):
        telegram.send("hello", None)
    assert (0 if fault is Fault.HANG_BEFORE else 1) == len(channels.telegram.messages)


def test_it_says_when_a_message_leaves_and_nothing_leaves_without_that(
    channels: Channels, telegram: TelegramClient, png: bytes
) -> None:
    """What is told has not been taken yet; who raises then keeps it from being sent."""
    seen: list[int] = []
    telegram.send("one", None, lambda: seen.append(len(channels.telegram.messages)))
    telegram.send("two", png, lambda: seen.append(len(channels.telegram.messages)))
    assert [0, 1] == seen

    def forbid() -> None:
        raise KeyError("not now")

    with pytest.raises(KeyError):
        telegram.send("three", None, forbid)
    telegram.send("four", None)
    assert ["one", "two", "four"] == [message.text for message in channels.telegram.messages]


def test_a_server_that_is_not_there_may_be_tried_again() -> None:
    client = TelegramClient(token=TOKEN, chat_id=CHAT, base_url="http://127.0.0.1:9", timeout_s=1)
    with pytest.raises(TryAgain) as raised:
        client.send("hello", None)
    client.close()
    assert raised.value.retry_after_s is None


def test_the_library_polls_updates_and_a_second_poller_is_refused(channels: Channels) -> None:
    channels.person_writes(int(CHAT), "/kill")

    async def poll() -> list[str | None]:
        bot = telegram_library.Bot(TOKEN, base_url=f"{channels.url}/bot")
        other = telegram_library.Bot(TOKEN, base_url=f"{channels.url}/bot")
        async with bot, other:
            updates = await bot.get_updates()
            waiting = asyncio.create_task(bot.get_updates(offset=updates[-1].update_id + 1, timeout=2))
            while not channels.telegram.is_polled:
                await asyncio.sleep(0.01)
            with pytest.raises(Conflict):
                await other.get_updates()
            channels.person_writes(int(CHAT), "hello")
            later = await waiting
        return [update.message.text for update in (*updates, *later) if update.message]

    assert ["/kill", "hello"] == asyncio.run(poll())
