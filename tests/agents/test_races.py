"""Real threads on a real database: whoever comes first does it, the others find it done."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.agents.world import SYMBOL, World, execution_row
from whalestack.agents import autotrader, plans
from whalestack.agents.plan_inputs import PlanInputs
from whalestack.config import Settings
from whalestack.trader_list import parse_traders


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


def two_coins(world: World) -> tuple[int, int]:
    """A signal for each of two coins, everything in place for both."""
    first = world.ready()
    world.add_coin("EVAAUSDT")
    world.add_maps("EVAAUSDT")
    world.add_pattern("EVAAUSDT")
    world.set_price(100, "EVAAUSDT")
    return first, world.add_signal("EVAAUSDT")


@pytest.mark.parametrize(
    ("limit", "code"),
    [
        ({"max_open_positions": 1}, "too_many_positions"),
        ({"max_exposure_pct": 20.0}, "exposure"),
        ({"autotrader_max_positions": 1}, "too_many_of_agent"),
    ],
)
def test_two_coins_planned_at_once_do_not_both_take_the_last_place(
    world: World, monkeypatch: pytest.MonkeyPatch, limit: dict[str, float], code: str
) -> None:
    """Both workers found room when they asked the guards: one plan of 16 % each, 20 % or one at most."""
    world.restart(world.settings.model_copy(update=limit))
    first, second = two_coins(world)

    def meanwhile(inputs: PlanInputs, settings: Settings) -> object:
        """The plan is made after the guards were asked."""
        monkeypatch.setattr(autotrader, "make_plan", plans.make_plan)
        assert world.act(second).outcome == "sent"
        return plans.make_plan(inputs, settings)

    monkeypatch.setattr(autotrader, "make_plan", meanwhile)
    assert world.act(first).reasons == (code,)
    assert [order.symbol for order in world.orders] == ["EVAAUSDT"]


def test_two_workers_that_enter_at_once_do_not_both_take_a_traders_last_place(world: World) -> None:
    """In real threads: neither has committed when both have found the place free."""
    world.restart(world.settings.model_copy(update={"autotrader_max_positions": 1}))
    first, second = two_coins(world)
    both_have_asked = threading.Barrier(2)
    world.exchange.hooks["fee_rates"] = lambda: both_have_asked.wait(10)
    reports = together(lambda: world.act(first), lambda: world.act(second))
    assert sorted(report.outcome for report in reports) == ["refused", "sent"]  # type: ignore[attr-defined]
    assert len(world.orders) == 1


def test_the_other_traders_places_are_not_taken_by_one_that_is_full(world: World) -> None:
    """The limit is each trader's own: the second enters the coin that the first may not."""
    settings = world.settings.model_copy(
        update={"autotraders": parse_traders("one:CONSERVATIVE:open=1,two:CONSERVATIVE:open=1")}
    )
    world.restart(settings)
    for signal_id in two_coins(world):
        world.act(signal_id)
    assert sorted(plan.agent_name for plan in world.plans if plan.status == "entering") == ["one", "two"]
