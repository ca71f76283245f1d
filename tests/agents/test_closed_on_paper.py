"""A trade that the exchange no longer holds ends as the exchange's own results say it did."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from tests.agents.fake_exchange import MAKER, TAKER
from tests.agents.world import SYMBOL, World
from whalestack.clients.bybit.types import Side

D = Decimal
HELD = D("15.8")
ENTRY_FEE = HELD * 100 * MAKER


def open_trade(world: World) -> None:
    """A LONG of 15.8 coins from 100."""
    world.act(world.ready())
    world.deliver_stream()
    world.clock.advance(60)


def lose_fills(world: World, *prices: int) -> None:
    """Bybit will not tell of the exits at these prices any more."""
    world.exchange.fills = [each for each in world.exchange.fills if each.price not in prices]


def exit_fee(qty: Decimal, price: int) -> Decimal:
    return qty * price * TAKER


def test_exits_that_are_known_are_not_counted_again(world: World) -> None:
    """5 were sold at 110, which a fill told; of the 10.8 at 90 nothing came but the result.

    The trade made 5 * 10 - 10.8 * 10 = -58 before fees: what the exchange says. The average of both
    results, 96.33, would have made it -39.6 + 50.
    """
    open_trade(world)
    world.exchange.close_by_hand(SYMBOL, D(110), qty=D(5))
    world.deliver_stream()
    world.clock.advance(60)
    world.exchange.close_by_hand(SYMBOL, D(90))
    ended_at = world.clock.now()
    lose_fills(world, 90)
    world.clock.advance(300)
    world.agents.reconciler.run()

    [trade] = world.trades
    assert (trade.status, trade.exit_reason, trade.exit_time) == ("closed", "reconciled", ended_at)
    fees = ENTRY_FEE + exit_fee(D(5), 110) + exit_fee(D("10.8"), 90)
    assert trade.fees_usd == pytest.approx(fees)
    assert trade.pnl_usd == pytest.approx(D(-58) - fees)
    assert trade.pnl_usd == pytest.approx(sum(each.pnl_usd for each in world.exchange.closed) - ENTRY_FEE)


def test_an_exit_whose_fills_are_known_in_part_counts_for_the_rest_of_it(world: World) -> None:
    """One order, two fills of 10 at 104 and 5.8 at 106: only the first reached us."""
    open_trade(world)
    world.exchange.close_by_hand(SYMBOL, D(104), qty=D(10))
    world.deliver_stream()
    world.exchange.close_by_hand(SYMBOL, D(106))
    first, second = world.exchange.closed
    both = D(10) * 104 + D("5.8") * 106
    world.exchange.closed = [
        type(first)(
            SYMBOL,
            first.exchange_order_id,
            Side.SELL,
            HELD,
            D(100),
            both / HELD,
            first.pnl_usd + second.pnl_usd,
            world.clock.now(),
            first.close_fee_usd + second.close_fee_usd,
        )
    ]
    lose_fills(world, 106)
    world.agents.reconciler.run()
    [trade] = world.trades
    assert trade.exit_price == pytest.approx(both / HELD)
    assert trade.fees_usd == pytest.approx(ENTRY_FEE + exit_fee(D(10), 104) + exit_fee(D("5.8"), 106))


def test_what_a_person_did_in_the_coin_afterwards_is_not_the_trades(world: World) -> None:
    """Ours ended at 105. Somebody bought again and sold at 80, before the next comparison."""
    open_trade(world)
    world.exchange.close_by_hand(SYMBOL, D(105))
    world.clock.advance(1)
    world.exchange.open_by_hand(SYMBOL, Side.BUY, D(30), D(100), D(70))
    world.exchange.close_by_hand(SYMBOL, D(80))
    lose_fills(world, 105, 80)
    world.agents.reconciler.run()
    assert [(trade.exit_price, trade.notes) for trade in world.trades] == [(D(105), None)]


def test_where_only_a_part_is_told_the_note_says_so(world: World) -> None:
    open_trade(world)
    world.exchange.close_by_hand(SYMBOL, D(105), qty=D(10))
    world.exchange.close_by_hand(SYMBOL, D(90), leave_trace=False)
    lose_fills(world, 105)
    world.agents.reconciler.run()
    [trade] = world.trades
    assert (trade.status, trade.exit_price) == ("closed", D(105))
    assert trade.notes == "the exchange tells of exits of 10; the rest was closed at their average"


def test_without_any_result_it_ends_at_its_entry_price_and_says_so(world: World) -> None:
    """Only at the second look, some time later: one empty answer closes nothing."""
    open_trade(world)
    world.exchange.close_by_hand(SYMBOL, D(90), leave_trace=False)
    world.agents.reconciler.run()
    assert [trade.status for trade in world.trades] == ["open"]
    world.clock.advance(60)
    world.agents.reconciler.run()
    [trade] = world.trades
    assert (trade.status, trade.exit_price) == ("closed", D(100))
    assert "entry price" in trade.notes


def test_real_fills_that_come_late_in_parts_are_never_counted_twice(world: World) -> None:
    """The stand-in steps back by as much as each tells; with the last one it is gone."""
    open_trade(world)
    world.exchange.close_by_hand(SYMBOL, D(104), qty=D(10))
    world.exchange.close_by_hand(SYMBOL, D(106))
    late = [each for each in world.exchange.fills if each.price in (104, 106)]
    lose_fills(world, 104, 106)
    world.agents.reconciler.run()
    results = []
    for fill in late:
        world.agents.order_keeper.apply_executions([fill], "poll")
        [trade] = world.trades
        assert trade.open_qty == 0
        results.append(trade.pnl_usd)

    gross = D(10) * 4 + D("5.8") * 6
    fees = ENTRY_FEE + exit_fee(D(10), 104) + exit_fee(D("5.8"), 106)
    assert results[-1] == pytest.approx(gross - fees)
    assert results[0] == pytest.approx(gross - fees, rel=D("0.1"))
    assert trade.exit_time - trade.entry_time == timedelta(seconds=60)
    assert len(world.told("close")) == 1
