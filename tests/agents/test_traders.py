"""Several named traders on one account: own plans, own budgets, own limits, one position a symbol."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.agents.fake_exchange import WorkerKilled
from tests.agents.test_never_doubled import kill_at_commit, run_killed
from tests.agents.test_races import together
from tests.agents.world import SYMBOL, World
from whalestack.clients.bybit.errors import BybitUnavailable
from whalestack.db import trade_store
from whalestack.errors import TryAgain
from whalestack.trader_list import parse_traders

D = Decimal
THREE = "careful:CONSERVATIVE,bold:AGGRESSIVE:risk=0.5:open=2,fader:REVERSAL:off"
TWO = "careful:CONSERVATIVE,bold:AGGRESSIVE:risk=0.5:open=2"


def with_traders(world: World, text: str, **changes: Any) -> None:
    world.restart(world.settings.model_copy(update={"autotraders": parse_traders(text), **changes}))


def by_agent(world: World) -> dict[str, str]:
    return {plan.agent_name: plan.status for plan in world.plans}


def test_one_signal_gives_each_enabled_trader_its_own_plan(world: World) -> None:
    """One gets the symbol, the other is refused and told by whom it is taken; the third is off."""
    with_traders(world, THREE)
    world.act(world.ready())
    assert sorted(by_agent(world).values()) == ["entering", "refused"]
    assert set(by_agent(world)) == {"careful", "bold"}
    [loser] = [plan for plan in world.plans if plan.status == "refused"]
    [winner] = [plan for plan in world.plans if plan.status == "entering"]
    assert [reason["code"] for reason in loser.reasons] == ["symbol_taken"]
    assert winner.agent_name in loser.reasons[0]["text"]
    assert [signal.status for signal in world.signals] == ["acted"]


def test_orders_carry_the_name_and_the_budget_of_their_trader(world: World) -> None:
    """Whoever is asked first wins; with half the risk budget the bold one buys half as much or less."""
    with_traders(world, TWO)
    first = world.ready()
    world.act(first)
    [order] = world.orders
    assert order.order_link_id.startswith(f"{order.agent_name}_{first}_")
    [plan] = [each for each in world.plans if each.status == "entering"]
    risk_pct = {"careful": D(1), "bold": D("0.5")}[order.agent_name]
    assert plan.worst_loss_usd <= plan.equity_usd * risk_pct / 100


def test_who_is_asked_first_changes_from_signal_to_signal(world: World) -> None:
    """Over many signals nobody has the better place; one signal is asked in one order, always."""
    with_traders(world, TWO)
    signal_id = world.ready()
    symbols = [SYMBOL, "AAAUSDT"]
    world.add_coin("AAAUSDT")
    world.add_maps("AAAUSDT")
    world.add_pattern("AAAUSDT")
    world.set_price(100, "AAAUSDT")
    for each in (signal_id, world.add_signal("AAAUSDT")):
        world.act(each)
    winners = {plan.symbol: plan.agent_name for plan in world.plans if plan.status == "entering"}
    assert set(winners) == set(symbols)
    assert set(winners.values()) == {"careful", "bold"}


def test_a_trader_counts_its_own_positions(world: World) -> None:
    """One position at most for each: the first is full, the other may still enter."""
    with_traders(world, "careful:CONSERVATIVE:open=1,bold:CONSERVATIVE:open=1")
    world.act(world.ready())
    [taken] = [plan.agent_name for plan in world.plans if plan.status == "entering"]
    for symbol in ("AAAUSDT", "BBBUSDT"):
        world.add_coin(symbol)
        world.add_maps(symbol)
        world.add_pattern(symbol)
        world.set_price(100, symbol)
        world.act(world.add_signal(symbol))
    active = [plan.agent_name for plan in world.plans if plan.status == "entering"]
    assert sorted(active) == ["bold", "careful"]
    refused = [plan for plan in world.plans if plan.status == "refused" and plan.agent_name == taken]
    assert "too_many_of_agent" in {reason["code"] for plan in refused for reason in plan.reasons}


def test_delivered_to_four_workers_at_once_one_plan_enters(world: World) -> None:
    """The order rests: a filled one would open its plan as soon as another delivery asks about it."""
    world.exchange.auto_fill = False
    with_traders(world, TWO)
    signal_id = world.ready()
    together(*[lambda: world.act(signal_id)] * 4)
    assert sorted(by_agent(world).values()) == ["entering", "refused"]
    assert list(world.exchange.accepted.values()) == [1]


@pytest.mark.parametrize("number", range(1, 13))
def test_a_crash_between_two_traders_is_made_up_for_by_the_sweep(world: World, number: int) -> None:
    """The first has acted and the worker dies: the second still gets its plan while the signal is young."""
    with_traders(world, TWO)
    signal_id = world.ready()
    undo = kill_at_commit(world, number)
    try:
        run_killed(world, signal_id)
    finally:
        undo()
    world.restart()
    world.clock.advance(31)
    world.set_tick(100)
    world.agents.autotrader.sweep()
    assert {"signal_id": signal_id} in world.jobs("trade.act_on_signal") or len(by_agent(world)) == 2
    world.act(signal_id)
    assert len(by_agent(world)) == 2
    assert all(count == 1 for count in world.exchange.accepted.values())
    assert len(world.exchange.accepted) <= 1


def test_one_trader_that_must_try_again_holds_up_no_other(world: World) -> None:
    with_traders(world, TWO)
    signal_id = world.ready()
    world.exchange.fail("wallet", BybitUnavailable("down"))
    with pytest.raises(TryAgain):
        world.act(signal_id)
    assert sorted(by_agent(world).values()) == ["checking", "entering"]
    world.act(signal_id)
    assert sorted(by_agent(world).values()) == ["entering", "refused"]


def test_maps_that_are_too_old_are_fetched_once_for_all_traders(world: World) -> None:
    with_traders(world, TWO)
    world.add_coin()
    world.add_pattern()
    world.add_maps(age_s=400)
    world.set_price(100)
    world.agents.reconciler.run()
    signal_id = world.add_signal()
    assert world.act(signal_id).outcome == "refetching"
    assert len(world.jobs("refetch.coin")) == 1
    world.add_maps_again()
    world.act(signal_id)
    assert sorted(by_agent(world).values()) == ["entering", "refused"]


def test_all_switched_off_is_said_of_each(world: World) -> None:
    with_traders(world, TWO, autotrader_enabled=False)
    world.act(world.ready())
    assert {plan.reasons[0]["code"] for plan in world.plans} == {"autotrader_off"}
    assert world.orders == []


def test_results_are_kept_apart_by_agent(world: World) -> None:
    """One trade won, under the name of who made it."""
    with_traders(world, TWO)
    world.act(world.ready())
    world.deliver_stream()
    world.clock.advance(5)
    world.set_price("111.2")
    world.deliver_stream()
    [trade] = world.trades
    with world.db.begin() as work:
        results = trade_store.agent_results(work.session, world.settings.mode.value)
        assert trade_store.agent_results(work.session, "live") == {}
    assert set(results) == {trade.agent_name}
    result = results[trade.agent_name]
    assert (result.trades, result.open, result.wins, result.win_pct) == (1, 0, 1, 100.0)
    assert result.mean_pnl_pct == pytest.approx(trade.pnl_pct)
    assert result.pnl_usd == trade.pnl_usd


def test_a_kill_while_the_second_trader_decides_leaves_the_first_ones_order(world: World) -> None:
    with_traders(world, TWO)
    signal_id = world.ready()
    calls = 0

    def die_at_the_second() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise WorkerKilled

    world.exchange.hooks["wallet"] = die_at_the_second
    assert run_killed(world, signal_id)
    del world.exchange.hooks["wallet"]
    world.act(signal_id)
    assert sorted(by_agent(world).values()) == ["entering", "refused"]
    assert list(world.exchange.accepted.values()) == [1]
