"""The same agents through the real client and the simulated Bybit: signatures, JSON, faults and all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal

import pytest
import redis

from tests.agents.world import World
from tests.simulator.bybit_loopback import Loopback, loopback
from whalestack.clients.bybit.client import BybitClient
from whalestack.clients.bybit.rate_budget import wall_clock_ms
from whalestack.config import Settings
from whalestack.db.engine import Database
from whalestack.dispatch import RecordingDispatcher
from whalestack.simulator.faults import FaultKind, FaultRule

COIN = "AAAUSDT"


@pytest.fixture
def server() -> Iterator[Loopback]:
    running = loopback()
    running.start()
    yield running
    running.stop()


@pytest.fixture
def world(
    server: Loopback, db: Database, dispatcher: RecordingDispatcher, settings: Settings, redis_state_url: str
) -> Iterator[World]:
    changed = {"bybit_rest_url": server.url, "bybit_timeout_s": 2.5, "min_turnover_to_risk_ratio": 1.0}
    client = BybitClient.from_settings(server.world.settings.model_copy(update=changed), server.clock)
    with redis.Redis.from_url(redis_state_url) as state:
        made = World(
            db=db,
            dispatcher=dispatcher,
            settings=settings.model_copy(update=changed),
            clock=server.clock,
            client=state,
            port=client,
            wall_ms=wall_clock_ms,
        )
        made.add_coin(COIN)
        made.add_maps(COIN)
        made.add_pattern(COIN)
        made.set_tick(100, COIN)
        assert made.agents.reconciler.run().passed
        yield made


def move(world: World, server: Loopback, price: float) -> None:
    server.move(COIN, price)
    world.set_tick(price, COIN)


def harm(server: Loopback) -> tuple[object, object]:
    stats = server.inside(server.world.exchange.stats)
    return stats["duplicated_orders"], stats["unprotected_position_seconds"]


def test_a_trade_from_signal_to_target(world: World, server: Loopback) -> None:
    """Entered, trailed to breakeven, taken out at the target; the exchange's own log shows no harm."""
    assert world.act(world.add_signal(COIN)).outcome == "sent"
    world.agents.order_keeper.poll()
    [trade] = world.trades
    assert trade.status == "open"

    move(world, server, 110.3)
    assert world.agents.position_monitor.check_symbol(COIN).outcome == "done"
    position = world.port.position(COIN)
    assert position is not None
    assert position.stop_loss == world.trades[0].stop_loss
    assert position.stop_loss is not None
    assert position.stop_loss >= trade.entry_price

    move(world, server, 111.2)
    world.agents.order_keeper.poll()
    [trade] = world.trades
    assert (trade.status, trade.exit_reason) == ("closed", "take_profit")
    [told] = world.port.closed_pnl(COIN)
    assert trade.pnl_usd == pytest.approx(told.pnl_usd, abs=Decimal("0.0001"))
    assert world.agents.reconciler.run().differences == ()
    assert harm(server) == (0, 0)


def test_a_stop_out_is_told_as_one(world: World, server: Loopback) -> None:
    world.act(world.add_signal(COIN))
    move(world, server, 93.0)
    world.agents.order_keeper.poll()
    assert [(trade.status, trade.exit_reason) for trade in world.trades] == [("stopped_out", "stop_loss")]


@pytest.mark.parametrize("kind", [FaultKind.TIMEOUT_AFTER, FaultKind.TIMEOUT_BEFORE, FaultKind.HTTP_500])
def test_an_order_without_an_answer_is_resolved(world: World, server: Loopback, kind: FaultKind) -> None:
    """On the wire, as Bybit's own failures look: one order at most, none unresolved."""
    rule = FaultRule("POST /v5/order/create", kind, times=1, delay_ms=1500)
    server.inside(lambda: server.world.faults.add(rule))
    world.act(world.add_signal(COIN))
    for _ in range(3):
        world.agents.order_keeper.poll()
        world.agents.reconciler.run()
        server.inside(lambda: server.clock.advance(10))
        world.set_tick(100, COIN)

    [order] = world.orders
    taken = kind is FaultKind.TIMEOUT_AFTER
    assert order.status in (("filled", "partially_filled") if taken else ("rejected",))
    assert [trade.status for trade in world.trades] == (["open"] if taken else [])
    assert harm(server) == (0, 0)


def test_the_kill_switch_closes_what_is_held(world: World, server: Loopback) -> None:
    world.act(world.add_signal(COIN))
    world.agents.order_keeper.poll()
    world.agents.kill_switch.engage(reason="fear", set_by="owner", close_positions=True)
    for _ in range(3):
        world.agents.kill_enforcer.run()
        world.agents.order_keeper.poll()
    assert world.port.positions() == []
    assert [trade.exit_reason for trade in world.trades] == ["kill-switch"]


def test_a_naked_position_of_a_person_is_protected(world: World, server: Loopback) -> None:
    """Opened by hand without a stop: the watchdog sets one."""
    server.client().place_order(category="linear", symbol=COIN, side="Buy", orderType="Market", qty="2")
    assert world.agents.stop_watchdog.run().protected == (COIN,)
    position = world.port.position(COIN)
    assert position is not None
    assert position.stop_loss == Decimal("90.00")


def scale_in(world: World, rungs: int) -> None:
    world.restart(
        world.settings.model_copy(
            update={"ladder_rungs": rungs, "ladder_coins": ("AAA",), "max_leverage": 10.0}
        )
    )


def test_a_ladder_from_signal_to_target(world: World, server: Loopback) -> None:
    """Five rungs by one batch: two fill, the stop covers both, and none is left when the trade ends."""
    scale_in(world, 5)
    assert world.act(world.add_signal(COIN)).outcome == "sent"
    assert len(world.orders) == 5
    move(world, server, 99.55)
    world.agents.order_keeper.poll()
    by_leg = {order.leg: order.status for order in world.orders}
    assert by_leg == {"e0": "filled", "e1": "filled", "e2": "new", "e3": "new", "e4": "new"}

    [plan], [trade] = world.plans, world.trades
    position = world.port.position(COIN)
    assert position is not None
    assert (position.size, position.stop_loss) == (trade.open_qty, plan.stop_loss)
    assert position.avg_price == pytest.approx(trade.entry_price, rel=Decimal("1e-6"))
    assert world.agents.reconciler.run().differences == ()

    move(world, server, 111.2)
    world.agents.order_keeper.poll()
    world.agents.autotrader.expire_plans()
    world.agents.order_keeper.poll()
    assert [each.status for each in world.trades] == ["closed"]
    assert [plan.status for plan in world.plans] == ["closed"]
    assert {order.status for order in world.orders} == {"filled", "cancelled"}
    assert world.port.open_orders() == []
    assert harm(server) == (0, 0)


@pytest.mark.parametrize("kind", [FaultKind.TIMEOUT_AFTER, FaultKind.TIMEOUT_BEFORE, FaultKind.HTTP_500])
def test_a_batch_without_an_answer_is_resolved(world: World, server: Loopback, kind: FaultKind) -> None:
    """Each rung is asked about by its id; none is sent twice."""
    scale_in(world, 3)
    rule = FaultRule("POST /v5/order/create-batch", kind, times=1, delay_ms=1500)
    server.inside(lambda: server.world.faults.add(rule))
    world.act(world.add_signal(COIN))
    for _ in range(3):
        world.agents.order_keeper.poll()
        world.agents.reconciler.run()
        server.inside(lambda: server.clock.advance(10))
        world.set_tick(100, COIN)
    statuses = {order.leg: order.status for order in world.orders}
    taken = kind is FaultKind.TIMEOUT_AFTER
    assert statuses == (
        {"e0": "filled", "e1": "new", "e2": "new"} if taken else dict.fromkeys(("e0", "e1", "e2"), "rejected")
    )
    assert harm(server) == (0, 0)


def test_rungs_above_the_quota_leave_a_second_later(
    world: World, server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bybit takes ten orders a second by batch; eight were spent just before, by somebody else."""
    scale_in(world, 5)
    world.agents.autotrader._traders[0]._sender._ladders._sleep = time.sleep
    spend = [
        {
            "symbol": COIN,
            "side": "Buy",
            "orderType": "Limit",
            "qty": "1",
            "price": "50",
            "orderLinkId": f"x{n}",
        }
        for n in range(8)
    ]
    real = world.port.place_batch

    def after_others(requests: object) -> object:
        monkeypatch.undo()
        server.client().place_batch_order(category="linear", request=spend)
        return real(requests)  # type: ignore[arg-type]

    monkeypatch.setattr(world.port, "place_batch", after_others)
    world.act(world.add_signal(COIN))
    assert {order.status for order in world.orders} <= {"new", "filled", "partially_filled"}
    assert len([each for each in world.orders if each.exchange_order_id]) == 5
    assert harm(server)[0] == 0
