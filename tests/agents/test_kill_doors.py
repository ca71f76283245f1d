"""Every door of the kill switch, thrown with an entry on the exchange: the same comes of each.

The doors are the command line, the owner's Telegram chat, the key in Redis and the row in the table.
No worker runs when they are thrown: what follows is the command's own doing, or the first
reconciliation's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from tests.agents.test_telegram_door import OWNER, door
from tests.agents.world import SYMBOL, World
from tests.channels.loopback import CHAT, TOKEN, Channels
from whalestack.agents.kill_switch import KILL_KEY
from whalestack.cli import app, base
from whalestack.clients.telegram.client import TelegramClient
from whalestack.simulator.telegram_server import TelegramLimits
from whalestack.simulator.x_server import XLimits

Throw = Callable[[bool], None]

SET_ROW = """
    insert into switches (name, is_on, reason, set_by, set_at)
    values (:name, true, 'by hand', 'psql', :now)
    on conflict (name) do update set is_on = true, set_at = excluded.set_at
"""


@pytest.fixture
def channels() -> Iterator[Channels]:
    simulated = Channels(TelegramLimits(), XLimits())
    yield simulated
    simulated.close()


@pytest.fixture(params=["command_line", "telegram", "redis_key", "table_row"])
def throw(
    request: pytest.FixtureRequest, world: World, channels: Channels, monkeypatch: pytest.MonkeyPatch
) -> Throw:
    """One of the doors; called with whether positions are to be closed as well."""

    def command_line(close: bool) -> None:
        runtime = SimpleNamespace(
            kill_switch=world.agents.kill_switch, kill_enforcer=world.agents.kill_enforcer
        )
        monkeypatch.setattr(base, "get_runtime", lambda: runtime)
        monkeypatch.setattr(base, "get_settings", lambda: world.settings)
        done = CliRunner().invoke(app, ["kill", "--reason", "fear", *(["--close"] if close else [])])
        assert done.exit_code == 0, done.output

    def telegram(close: bool) -> None:
        channels.person_writes(OWNER, "/kill close" if close else "/kill")
        client = TelegramClient(token=TOKEN, chat_id=CHAT, base_url=channels.url, timeout_s=2.0)
        door(world, client).run()
        client.close()

    def redis_key(close: bool) -> None:
        world.redis.set(KILL_KEY, '{"close_positions": true}' if close else "1")

    def table_row(close: bool) -> None:
        with world.db.begin() as work:
            for name in ("kill", "close_all") if close else ("kill",):
                work.session.execute(text(SET_ROW), {"name": name, "now": world.clock.now()})

    doors: dict[str, Throw] = {
        "command_line": command_line,
        "telegram": telegram,
        "redis_key": redis_key,
        "table_row": table_row,
    }
    return doors[request.param]


def test_entries_stop_at_once_waiting_ones_are_cancelled_and_it_outlives_redis(
    world: World, throw: Throw
) -> None:
    """From the first reconciliation on the row says so, whichever door it was."""
    signal_id = world.ready()
    world.set_price("109.5")
    world.act(signal_id)
    assert [order.is_open for order in world.exchange.orders.values()] == [True]
    throw(False)
    assert "kill_switch" in world.act(world.add_signal(occasion="after")).reasons
    world.agents.reconciler.run()
    assert [order.status for order in world.orders] == ["cancelled"]
    assert len(world.exchange.accepted) == 1
    world.redis.flushdb()
    assert world.restart().kill_switch.state().is_on


def test_what_is_held_keeps_its_stop_and_is_closed_only_on_request(world: World, throw: Throw) -> None:
    """Closed once, and entries stay stopped afterwards."""
    world.act(world.ready())
    world.deliver_stream()
    stop = world.exchange.held[SYMBOL].stop_loss
    throw(False)
    world.agents.reconciler.run()
    assert world.exchange.held[SYMBOL].stop_loss == stop
    throw(True)
    for _ in range(2):
        world.agents.reconciler.run()
    assert world.exchange.held == {}
    state = world.agents.kill_switch.state()
    assert (state.is_on, state.close_positions) == (True, False)
    assert sum(world.exchange.accepted.values()) == 2
