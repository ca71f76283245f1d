"""What a look at a stop costs: where many steps are reached at once, all wait for each round trip."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

from tests.agents.test_stops import open_position, open_two, stop_on_exchange
from tests.agents.world import SYMBOL, World
from whalestack.db import trading_store
from whalestack.db.live import SeenPrice


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    """What is asked of the database while the block runs."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(" ".join(statement.split()))

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_a_move_is_five_statements_and_one_call(world: World) -> None:
    """Lock, look, intent, outcome with all that follows, unlock; of the exchange nothing but the move."""
    open_position(world)
    world.agents.position_monitor.check_symbol(SYMBOL)
    world.set_price(112)
    world.exchange.calls.clear()
    with statements(world.db.engine) as seen:
        report = world.agents.position_monitor.check_reached(SYMBOL, SeenPrice(112.0, world.clock.now_ms()))
    assert report.outcome == "done"
    assert len(seen) == 5, seen
    assert world.exchange.calls == ["set_stops"]


def test_a_sweep_of_positions_at_rest_is_one_statement_and_no_call(world: World) -> None:
    """However many there are; and it leaves a watch for each."""
    open_two(world)
    world.exchange.calls.clear()
    with statements(world.db.engine) as seen:
        report = world.agents.position_monitor.check_all()
    assert (report.looked, report.moved, len(seen)) == (2, 0, 1)
    assert world.exchange.calls == []
    assert {name: watch.above for name, watch in world.live.watches().items()} == {
        SYMBOL: 110.0,
        "EVAAUSDT": 110.0,
    }


def test_where_the_streams_are_silent_a_sweep_asks_for_all_prices_at_once(world: World) -> None:
    open_two(world)
    world.exchange.set_price(SYMBOL, world.exchange.prices[SYMBOL] * 112 / 100)
    world.clock.advance(world.settings.stale_tick_s + 1)
    world.exchange.calls.clear()
    assert world.agents.position_monitor.check_all().moved == 1
    assert stop_on_exchange(world) == 100


def test_the_lock_of_a_look_is_free_after_it_whatever_happened(world: World) -> None:
    """It belongs to a pooled session, which others get next."""
    for _ in range(3):
        try:
            with trading_store.acting_alone(world.db.engine, SYMBOL) as alone:
                assert alone is not None
                with trading_store.acting_alone(world.db.engine, SYMBOL) as second:
                    assert second is None
                raise ZeroDivisionError
        except ZeroDivisionError:
            continue
    with trading_store.action_lock(world.db.engine, SYMBOL) as alone:
        assert alone


def test_who_protects_waits_for_a_look_that_is_under_way(world: World) -> None:
    """The kill switch closes, and the watchdog protects, what a look holds: after it, not a minute later."""
    open_position(world)
    world.exchange.held[SYMBOL].stop_loss = None
    for act, done in (
        (world.agents.stop_watchdog.run, lambda report: report.protected == (SYMBOL,)),
        (lambda: kill(world), lambda report: report.closing == 1),
    ):
        entered, leave = threading.Event(), threading.Event()
        look = threading.Thread(target=hold, args=(world, entered, leave))
        look.start()
        entered.wait(5)
        threading.Timer(0.2, leave.set).start()
        assert done(act())
        look.join()


def hold(world: World, entered: threading.Event, leave: threading.Event) -> None:
    with trading_store.acting_alone(world.db.engine, SYMBOL):
        entered.set()
        leave.wait(5)


def kill(world: World) -> Any:
    world.agents.kill_switch.engage(reason="fear", set_by="owner", close_positions=True)
    return world.agents.kill_enforcer.run()
