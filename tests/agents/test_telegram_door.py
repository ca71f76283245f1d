"""The kill switch from the owner's chat: the unmodified library, the simulated Bot API, a real database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import redis

from tests.agents.world import SYMBOL, World
from tests.channels.loopback import CHAT, TOKEN, Channels
from whalestack.agents.telegram_door import DoorReport, TelegramDoor
from whalestack.clients.telegram.client import TelegramClient
from whalestack.simulator.telegram_server import TelegramLimits
from whalestack.simulator.x_server import XLimits

OWNER, STRANGER = int(CHAT), 666


@pytest.fixture
def channels() -> Iterator[Channels]:
    simulated = Channels(TelegramLimits(), XLimits())
    yield simulated
    simulated.close()


@pytest.fixture
def telegram(channels: Channels) -> Iterator[TelegramClient]:
    client = TelegramClient(token=TOKEN, chat_id=CHAT, base_url=channels.url, timeout_s=2.0)
    yield client
    client.close()


def door(world: World, telegram: TelegramClient, *, later: timedelta = timedelta()) -> TelegramDoor:
    return TelegramDoor(
        letterbox=telegram,
        kill_switch=world.agents.kill_switch,
        enforcer=world.agents.kill_enforcer,
        client=world.redis,
        db=world.db,
        settings=world.settings,
        clock=world.clock,
        wall=lambda: datetime.now(UTC) + later,
    )


def test_kill_stops_entries_cancels_them_and_answers(
    world: World, channels: Channels, telegram: TelegramClient
) -> None:
    world.act(world.ready())
    channels.person_writes(OWNER, "/kill")
    assert len(door(world, telegram).run().done) == 1
    assert world.agents.kill_switch.state().set_by == "telegram-door"
    assert world.exchange.open_orders() == []
    assert ["Entries are stopped" in text for text in world.told("alert")] == [True]


def test_kill_close_closes_what_is_held(world: World, channels: Channels, telegram: TelegramClient) -> None:
    world.act(world.ready())
    world.deliver_stream()
    assert SYMBOL in world.exchange.held
    channels.person_writes(OWNER, "/kill@whalestack_bot close")
    door(world, telegram).run()
    for _ in range(2):  # the reconciler's turns
        world.agents.kill_enforcer.run()
        world.agents.order_keeper.poll()
    assert SYMBOL not in world.exchange.held
    assert [trade.exit_reason for trade in world.trades] == ["kill-switch"]


def test_resume_allows_entries_again(world: World, channels: Channels, telegram: TelegramClient) -> None:
    channels.person_writes(OWNER, "/kill")
    channels.person_writes(OWNER, "/resume")
    assert len(door(world, telegram).run().done) == 2
    assert not world.agents.kill_switch.state().is_on


def test_an_old_resume_is_not_obeyed_and_an_old_kill_is(
    world: World, channels: Channels, telegram: TelegramClient
) -> None:
    """Both waited for an hour while nobody listened."""
    channels.person_writes(OWNER, "/kill")
    channels.person_writes(OWNER, "/resume")
    door(world, telegram, later=timedelta(hours=1)).run()
    assert world.agents.kill_switch.state().is_on


def test_a_stranger_is_not_obeyed(world: World, channels: Channels, telegram: TelegramClient) -> None:
    channels.person_writes(STRANGER, "/kill")
    assert door(world, telegram).run() == DoorReport(read=1)
    assert not world.agents.kill_switch.state().is_on


def test_talk_is_no_command(world: World, channels: Channels, telegram: TelegramClient) -> None:
    for text in ("kill", "how are you?", "/start", ""):
        channels.person_writes(OWNER, text)
    assert door(world, telegram).run() == DoorReport(read=4)
    assert not world.agents.kill_switch.state().is_on


def test_a_command_is_obeyed_once(world: World, channels: Channels, telegram: TelegramClient) -> None:
    """After a release by another door the same text must not stop entries again."""
    channels.person_writes(OWNER, "/kill")
    door(world, telegram).run()
    world.agents.kill_switch.release(set_by="owner")
    assert door(world, telegram).run() == DoorReport()
    assert not world.agents.kill_switch.state().is_on


def test_a_command_whose_worker_died_is_carried_out_by_the_next(
    world: World, channels: Channels, telegram: TelegramClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It died between reading and doing: nothing was noted as read."""
    channels.person_writes(OWNER, "/kill")
    with monkeypatch.context() as patch:
        patch.setattr(TelegramDoor, "_obey", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            door(world, telegram).run()
    door(world, telegram).run()
    assert world.agents.kill_switch.state().is_on


def test_redis_restarted_empty_obeys_nothing_twice(
    world: World, channels: Channels, telegram: TelegramClient
) -> None:
    """Telegram itself forgets what was noted as read, once it is asked for later texts."""
    channels.person_writes(OWNER, "/kill")
    door(world, telegram).run()
    door(world, telegram).run()
    world.agents.kill_switch.release(set_by="owner")
    client: redis.Redis = world.redis
    client.flushdb()
    assert door(world, telegram).run() == DoorReport()
    assert not world.agents.kill_switch.state().is_on
