"""One signal, one order: whatever is lost, repeated or killed, at whichever point.

`exchange.accepted` counts what the exchange took; that is the number that must stay at one.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event
from sqlalchemy.orm import Session

from tests.agents.fake_exchange import WorkerKilled
from tests.agents.world import World
from whalestack.clients.bybit.errors import (
    BybitClockSkew,
    BybitKeyRefused,
    BybitOutcomeUnknown,
    BybitRateLimited,
    BybitRefused,
    BybitUnavailable,
)
from whalestack.clients.bybit.types import OrderRequest, Side


def kill_at_commit(world: World, number: int) -> Callable[[], None]:
    """Kill the worker in the place of its `number`-th commit from now; the transaction is lost."""
    seen = 0

    def on_commit(_session: Session) -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            raise WorkerKilled(f"commit {number}")

    event.listen(Session, "before_commit", on_commit)
    return lambda: event.remove(Session, "before_commit", on_commit)


def run_killed(world: World, signal_id: int) -> bool:
    """Act on the signal; True where the worker was killed on the way."""
    try:
        world.act(signal_id)
    except WorkerKilled:
        return True
    return False


def recover(world: World, signal_id: int, rounds: int = 4) -> None:
    """What happens after a crash: new workers, redelivery, sweeps, polls, reconciliation."""
    world.restart()
    for _ in range(rounds):
        if run_killed(world, signal_id):
            world.restart()
        world.agents.autotrader.sweep()
        world.agents.order_keeper.poll()
        world.agents.reconciler.run()
        world.agents.stop_watchdog.run()
        world.clock.advance(6)
        world.set_tick(float(world.exchange.prices["COAIUSDT"]))


def assert_no_harm(world: World) -> None:
    assert all(count == 1 for count in world.exchange.accepted.values())
    assert len(world.exchange.accepted) <= 1
    assert world.exchange.naked == []
    held = {symbol: each.size for symbol, each in world.exchange.held.items()}
    on_paper = {trade.symbol: trade.open_qty for trade in world.trades if trade.status == "open"}
    assert held == on_paper


@pytest.mark.parametrize("number", range(1, 16))
def test_a_worker_killed_in_any_commit_leaves_one_order(world: World, number: int) -> None:
    """From the claim of the plan to the answer's commit: each is a point at which a worker may die."""
    signal_id = world.ready()
    undo = kill_at_commit(world, number)
    try:
        run_killed(world, signal_id)
    finally:
        undo()
    recover(world, signal_id)

    assert_no_harm(world)
    assert len(world.exchange.accepted) == 1
    assert [trade.status for trade in world.trades] == ["open"]


@pytest.mark.parametrize("after", [False, True], ids=["before-it-arrives", "after-it-arrives"])
def test_a_worker_killed_while_sending_is_resolved_by_asking(world: World, after: bool) -> None:
    """The row says sent. Nobody sends again; the exchange is asked whether it has it."""
    signal_id = world.ready()
    world.exchange.fail("place", WorkerKilled(), after=after)
    assert run_killed(world, signal_id)
    assert [order.status for order in world.orders] == ["sent"]
    recover(world, signal_id)

    assert_no_harm(world)
    assert world.exchange.calls.count("place") == 1
    assert [order.status for order in world.orders] == ["filled" if after else "rejected"]


@pytest.mark.parametrize("arrived", [True, False])
def test_a_lost_answer_is_unknown_and_never_sent_again(world: World, arrived: bool) -> None:
    """A timeout says nothing. If the order is there it is found; if not, it is given up after asking."""
    signal_id = world.ready()
    world.exchange.lose_answer(arrived=arrived)
    world.act(signal_id)
    assert [order.status for order in world.orders] == (["filled"] if arrived else ["unknown"])
    recover(world, signal_id)

    assert_no_harm(world)
    assert world.exchange.calls.count("place") == 1
    assert [order.status for order in world.orders] == ["filled" if arrived else "rejected"]
    assert [plan.status for plan in world.plans] == ["open" if arrived else "refused"]


def test_an_order_that_is_nowhere_is_given_up_only_when_it_cannot_be_on_its_way(world: World) -> None:
    """Bybit's lists lag: one that appears late must not have been declared absent before."""
    signal_id = world.ready()
    world.exchange.lose_answer(arrived=True)
    [plan_order_id] = _hide_next_order(world)
    world.act(signal_id)
    world.clock.advance(8)
    world.agents.order_keeper.poll()
    assert [order.status for order in world.orders] == ["unknown"]

    world.exchange.hidden.discard(plan_order_id)
    world.agents.order_keeper.poll()
    assert [order.status for order in world.orders] == ["filled"]
    assert_no_harm(world)


def _hide_next_order(world: World) -> list[str]:
    from whalestack.agents.order_ids import entry_link_id

    signal = world.signals[-1]
    link_id = entry_link_id("conservative-1", signal.id, signal.triggered_at, "e0")
    world.exchange.hidden.add(link_id)
    world.exchange.auto_fill = True
    # Its fills are hidden with it: nothing of the order is visible yet.
    original = world.exchange.executions

    def executions(*args: object, **kwargs: object) -> list[object]:
        return [each for each in original(*args, **kwargs) if each.order_link_id not in world.exchange.hidden]  # type: ignore[arg-type]

    world.exchange.executions = executions  # type: ignore[assignment,method-assign]
    return [link_id]


def test_an_outcome_that_stays_unknown_is_told_to_the_owner_once(world: World) -> None:
    """The exchange cannot be asked for longer than the bound: a person has to look."""
    signal_id = world.ready()
    world.exchange.lose_answer(arrived=True)
    world.exchange.fail("find_order", BybitUnavailable("down"), times=100)
    world.act(signal_id)
    for _ in range(3):
        world.clock.advance(world.settings.unknown_order_bound_s)
        world.agents.order_keeper.poll()
    # The fills were told by another question, so the trade is known; the order is asked about on.
    alerts = [text for text in world.told("alert") if "nobody can say" in text]
    assert len(alerts) <= 1
    assert_no_harm(world)


def test_no_answer_and_no_fill_past_the_bound_is_an_alert(world: World) -> None:
    signal_id = world.ready()
    world.exchange.lose_answer(arrived=False)
    world.exchange.fail("find_order", BybitUnavailable("down"), times=100)
    world.act(signal_id)
    for _ in range(3):
        world.clock.advance(world.settings.unknown_order_bound_s)
        world.agents.order_keeper.poll()

    assert [order.status for order in world.orders] == ["unknown"]
    assert len([text for text in world.told("alert") if "nobody can say" in text]) == 1


def test_a_duplicate_refusal_means_that_the_order_is_there(world: World) -> None:
    """110072 after a lost first attempt: asked for, not failed."""
    signal_id = world.ready()
    order_id = _hide_nothing_but_place_first(world, signal_id)
    world.act(signal_id)

    assert [(order.order_link_id, order.status) for order in world.orders] == [(order_id, "filled")]
    assert_no_harm(world)


def _hide_nothing_but_place_first(world: World, signal_id: int) -> str:
    """The same order reaches the exchange by another way in the moment before ours does."""
    from whalestack.agents.order_ids import entry_link_id

    signal = next(each for each in world.signals if each.id == signal_id)
    link_id = entry_link_id("conservative-1", signal.id, signal.triggered_at, "e0")

    def take_it_first() -> None:
        del world.exchange.hooks["place"]
        order = world.orders[0]
        world.exchange._take(
            OrderRequest(
                order.symbol,
                Side(order.side),
                order.qty,
                order.order_link_id,
                price=order.price,
                stop_loss=order.stop_loss,
            )
        )

    world.exchange.hooks["place"] = take_it_first
    return link_id


def test_an_id_that_belongs_to_an_older_order_is_not_taken_for_ours(world: World) -> None:
    """A database made anew counts from 1 again, and Bybit remembers ids for ever."""
    signal_id = world.ready()
    _hide_nothing_but_place_first(world, signal_id)
    take = world.exchange.hooks["place"]

    def take_it_long_ago() -> None:
        world.clock.advance(-86_400)
        take()
        world.clock.advance(86_400)

    world.exchange.hooks["place"] = take_it_long_ago
    world.exchange.auto_fill = False
    world.act(signal_id)

    assert [(order.status, order.reason) for order in world.orders] == [("rejected", "link_id_taken")]
    assert any("older order" in text for text in world.told("alert"))


@pytest.mark.parametrize(
    "error",
    [
        BybitRefused("price out of range", code=110003),
        BybitKeyRefused("10003"),
        BybitClockSkew("10002"),
        BybitRateLimited("403", retry_after_s=600),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_refused_order_ends_its_plan_with_the_reason(world: World, error: Exception) -> None:
    """Refused means that nothing happened there; the symbol is free again and people are told why."""
    signal_id = world.ready()
    world.exchange.fail("place", error, times=3)
    world.act(signal_id)

    assert [order.status for order in world.orders] == ["rejected"]
    assert [plan.status for plan in world.plans] == ["refused"]
    assert [plan.reasons[0]["code"] for plan in world.plans] == ["order_rejected"]
    assert [signal.status for signal in world.signals] == ["acted"]
    assert len(world.told("refusal")) == 1
    assert world.exchange.accepted == {}


def test_a_short_rate_limit_is_waited_for_in_place(world: World) -> None:
    """10006 is refused before it has an effect, so the one send may be made again at once."""
    signal_id = world.ready()
    world.exchange.fail("place", BybitRateLimited("10006", retry_after_s=0.5), times=2)
    world.act(signal_id)

    assert [order.status for order in world.orders] == ["new"]
    assert world.exchange.calls.count("place") == 3
    assert_counts_one(world)


def assert_counts_one(world: World) -> None:
    assert list(world.exchange.accepted.values()) == [1]


def test_a_worker_frozen_after_its_commit_does_not_send_into_a_later_world(world: World) -> None:
    """It wakes up after the order may have been declared absent: too late to send."""
    signal_id = world.ready()
    sender = world.agents.autotrader._traders[0]._sender
    mark = sender._mark_sent

    def freeze(order_link_id: str) -> object:
        moment = mark(order_link_id)
        world.clock.advance(60)
        return moment

    sender._mark_sent = freeze  # type: ignore[assignment,method-assign]
    world.act(signal_id)

    assert world.exchange.accepted == {}
    assert [(order.status, order.reason) for order in world.orders] == [("rejected", "too_late_to_place")]


def test_leverage_without_an_answer_leaves_the_intent_to_be_sent_later(world: World) -> None:
    """Setting it again is harmless; nothing was sent."""
    signal_id = world.ready()
    world.exchange.fail("set_leverage", BybitOutcomeUnknown("timeout"))
    with pytest.raises(Exception, match="leverage"):
        world.act(signal_id)
    assert [order.status for order in world.orders] == ["intent"]

    world.act(signal_id)
    assert_counts_one(world)


def test_an_intent_that_has_grown_old_is_dropped(world: World) -> None:
    """Its prices are of another market."""
    signal_id = world.ready()
    world.exchange.fail("set_leverage", BybitOutcomeUnknown("timeout"))
    with pytest.raises(Exception, match="leverage"):
        world.act(signal_id)
    world.clock.advance(world.settings.signal_max_age_s + 1)
    world.act(signal_id)

    assert [(order.status, order.reason) for order in world.orders] == [("refused", "too_old_to_send")]
    assert [plan.status for plan in world.plans] == ["refused"]
    assert world.exchange.accepted == {}


@pytest.mark.parametrize("method", ["wallet", "positions", "fee_rates", "set_leverage"])
def test_an_exchange_that_cannot_be_asked_costs_a_delivery_and_nothing_else(
    world: World, method: str
) -> None:
    """The delivery ends with TryAgain; the next one does the work."""
    signal_id = world.ready()
    world.exchange.fail(method, BybitUnavailable("down"))
    with pytest.raises(BybitUnavailable):
        world.act(signal_id)
    world.act(signal_id)

    assert_counts_one(world)


def test_a_trade_is_known_though_every_stream_message_was_lost(world: World) -> None:
    """The poll behind the stream tells the same."""
    world.act(world.ready())
    world.agents.order_keeper.poll()
    assert [trade.status for trade in world.trades] == ["open"]
    world.clock.advance(60)
    world.set_price(93)
    world.agents.order_keeper.poll()
    assert [trade.status for trade in world.trades] == ["stopped_out"]


def test_a_stream_row_that_cannot_be_read_does_not_stop_the_others(world: World) -> None:
    from tests.agents.world import execution_row

    world.act(world.ready())
    rows = [{"symbol": "X"}, execution_row(world.exchange.fills[0]), {}]
    report = world.agents.order_keeper.apply_event("execution.linear", rows, 0)

    assert (report.unreadable, report.changes.fills, report.changes.opened) == (2, 1, 1)


STEPS = (
    "act", "act_elsewhere", "sweep", "poll", "poll_again", "stream", "stream_backwards", "reconcile",
    "expire", "watchdog", "monitor", "wait", "restart",
)  # fmt: skip


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(st.sampled_from(STEPS), min_size=1, max_size=10), fault=st.integers(0, 3))
def test_for_any_redelivery_of_any_trade_task_there_is_one_order(
    fresh_world: Callable[[], World], steps: list[str], fault: int
) -> None:
    """In any order, any number of times, with answers lost and workers killed on the way."""
    world = fresh_world()
    signal_id = world.ready()
    if fault:
        error = (
            BybitOutcomeUnknown("timeout"),
            WorkerKilled(),
            BybitRateLimited("10006", retry_after_s=0.1),
        )[fault - 1]
        world.exchange.fail("place", error, after=fault < 3)
    for step in steps:
        try:
            take_step(world, step, signal_id)
        except WorkerKilled:
            world.restart()
    recover(world, signal_id)

    assert_no_harm(world)
    assert len(world.trades) == len(world.exchange.accepted)


def take_step(world: World, step: str, signal_id: int) -> None:
    agents = world.agents
    if step == "act":
        world.act(signal_id)
    elif step == "act_elsewhere":
        world.restart().autotrader.act_on_signal(signal_id)
    elif step == "sweep":
        agents.autotrader.sweep()
    elif step == "poll":
        agents.order_keeper.poll()
    elif step == "stream":
        world.deliver_stream()
    elif step == "reconcile":
        agents.reconciler.run()
    elif step == "watchdog":
        agents.stop_watchdog.run()
    elif step == "wait":
        world.clock.advance(4)
    elif step == "poll_again":
        agents.order_keeper.poll(unless_within_s=7.5)
    elif step == "stream_backwards":
        world.exchange.fills.reverse()
        world.deliver_stream()
        world.exchange.fills.reverse()
    elif step == "monitor":
        agents.position_monitor.check_all()
    elif step == "expire":
        world.exchange.lose_answer("cancel", arrived=True)
        agents.autotrader.expire_plans()
    else:
        world.restart()


def test_every_size_the_exchange_took_is_the_size_that_was_written_down(world: World) -> None:
    """What is sent is what was committed."""
    world.act(world.ready())
    [order] = world.orders
    request = world.exchange.orders[order.order_link_id].request
    sent = (request.qty, request.price, request.stop_loss, request.take_profit, request.side.value)
    assert sent == (order.qty, order.price, order.stop_loss, order.take_profit, order.side)
    assert request.qty % Decimal("0.1") == 0


def test_a_plan_whose_order_never_arrived_says_so(world: World) -> None:
    """It is refused with the order's reason, and people hear of it like of any other refusal."""
    signal_id = world.ready()
    world.exchange.lose_answer(arrived=False)
    world.act(signal_id)
    world.clock.advance(20)
    world.agents.order_keeper.poll()

    [plan] = world.plans
    assert (plan.status, plan.reasons[0]["code"]) == ("refused", "order_rejected")
    assert "never_arrived" in plan.reasons[0]["text"]
    assert len(world.told("refusal")) == 1


def test_fills_that_do_not_fit_hold_up_no_other_symbol(world: World) -> None:
    """One coin's impossible number must not hide another coin's fill."""
    from dataclasses import replace

    world.act(world.ready())
    good = world.exchange.fills[0]
    bad = replace(good, exec_id="bad", symbol="AAAUSDT", order_link_id="", qty=Decimal(10) ** 30)
    changes = world.agents.order_keeper.apply_executions([bad, good], "poll")
    assert (changes.fills, changes.opened) == (1, 1)
