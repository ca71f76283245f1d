"""Real threads on a real database: whoever comes first does it, the others find it done."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.agents.world import SYMBOL, World, execution_row


def together(*calls: Callable[[], object]) -> list[object]:
    """Run calls in threads that start at the same moment."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> object:
        barrier.wait(10)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(30) for future in [pool.submit(run, call) for call in calls]]


def test_one_signal_delivered_to_four_workers_at_once_is_one_order(world: World) -> None:
    signal_id = world.ready()
    together(*[lambda: world.act(signal_id)] * 4)
    assert list(world.exchange.accepted.values()) == [1]
    assert world.exchange.calls.count("place") == 1


def test_two_signals_of_one_symbol_at_once_are_one_plan(world: World) -> None:
    """The database decides: one plan of a symbol at a time."""
    first = world.ready()
    second = world.add_signal(occasion="second")
    together(lambda: world.act(first), lambda: world.act(second))
    assert sorted(plan.status for plan in world.plans) == ["entering", "refused"]
    assert list(world.exchange.accepted.values()) == [1]


def test_the_same_fill_from_the_stream_and_the_poll_at_once_is_one_trade(world: World) -> None:
    world.act(world.ready())
    rows = [execution_row(each) for each in world.exchange.fills]
    keeper = world.agents.order_keeper
    together(
        lambda: keeper.apply_event("execution", rows, 0),
        keeper.poll,
        lambda: keeper.apply_event("execution", rows, 0),
        world.agents.reconciler.run,
    )
    assert len(world.trades) == 1
    assert len(world.fills) == 1
    assert len(world.told("entry")) == 1


def test_monitors_and_watchdog_at_once_move_a_stop_once(world: World) -> None:
    world.act(world.ready())
    world.deliver_stream()
    world.exchange.held[SYMBOL].take_profit = None
    world.set_price(112)
    monitor = world.agents.position_monitor
    together(
        lambda: monitor.check_symbol(SYMBOL),
        lambda: monitor.check_symbol(SYMBOL),
        world.agents.stop_watchdog.run,
        world.agents.reconciler.run,
    )
    assert len([each for each in world.stop_moves if each.action == "trail"]) == 1
    assert world.trades[0].stop_loss == world.exchange.held[SYMBOL].stop_loss
    assert len(world.told("stop_moved")) == 1


def test_a_kill_switch_thrown_while_workers_enter_leaves_no_open_entry(world: World) -> None:
    signal_id = world.ready()
    world.set_price("109.5")

    def throw() -> None:
        world.agents.kill_switch.engage(reason="fear", set_by="owner")
        world.agents.kill_enforcer.run()

    together(lambda: world.act(signal_id), throw)
    world.agents.reconciler.run()
    assert all(not each.is_open for each in world.exchange.orders.values())
