"""Whatever is wrong with a coin, an account or a size: a named refusal, the same from `why`, and no crash."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.agents.world import SYMBOL, World
from whalestack.clients.bybit.errors import BybitRefused
from whalestack.db.models import CoinRanking

D = Decimal


CASES: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("AAAUSDT", {"is_major": True}, "major"),
    ("BTCUSDT", {}, "major"),
    ("BBBUSDT", {"is_prelisting": True}, "prelisting"),
    ("CCCUSDT", {"status": "PreLaunch"}, "not_trading"),
    ("DDDUSDT", {"status": "Closed"}, "not_trading"),
    ("EEEUSDT", {"blacklisted": True}, "blacklisted"),
    ("FFFUSDT", {"skipped_reason": "no CoinGlass name"}, "coin_skipped"),
    ("GGGUSDT", {"min_order_qty": D(10_000), "qty_step": D(1)}, "below_minimum_qty"),
    ("HHHUSDT", {"qty_step": D(10_000)}, "below_minimum_qty"),
    ("IIIUSDT", {"max_market_order_qty": D("0.05")}, "below_minimum_qty"),
    ("JJJUSDT", {"max_order_qty": D(0)}, "below_minimum_qty"),
    ("KKKUSDT", {"min_notional_usd": D(10**7)}, "below_minimum_value"),
    ("LLLUSDT", {"min_leverage": D(20)}, "leverage_below_minimum"),
    ("MMMUSDT", {"max_leverage": D("0.5")}, "leverage_below_minimum"),
    ("NNNUSDT", {"tick_size": D(1000)}, "too_coarse_ticks"),
)
UNKNOWN = ("NOPEUSDT", "", "coaiusdt", "COAI-USDT'; drop table orders; --")


def scene(world: World, symbol: str = SYMBOL, **changes: Any) -> int:
    """A coin with these limits, everything else as it should be; returns a signal of it."""
    world.add_coin(symbol, **changes)
    world.add_maps(symbol)
    world.add_pattern(symbol)
    world.set_price(100, symbol)
    with world.db.begin() as work:
        work.session.add(
            CoinRanking(symbol=symbol, created_at=world.clock.now(), rank=1, direction="LONG", score=60.0)
        )
    return world.add_signal(symbol)


def codes(world: World, symbol: str, signal_id: int) -> set[str]:
    """The codes that the trader and `why` both give; the signal's row has them as well."""
    report = world.act(signal_id)
    assert report.outcome == "refused", symbol
    explained = world.agents.why.explain(symbol)
    assert not explained.would_trade
    assert all(refusal.text for refusal in explained.refusals)
    written = next(each.reasons for each in world.signals if each.id == signal_id)
    assert set(report.reasons) == {each["code"] for each in written}
    return set(report.reasons) & {refusal.code for refusal in explained.refusals}


def test_a_coin_that_may_not_be_traded_is_refused_by_name(world: World) -> None:
    """Majors, coins before and after their time, and limits that no size or leverage of ours keeps."""
    world.agents.reconciler.run()
    signals = {symbol: scene(world, symbol, **changes) for symbol, changes, _ in CASES}
    signals["OOOUSDT"] = scene(world, "OOOUSDT", delisted_at=world.clock.now() + timedelta(hours=1))
    wanted = {symbol: code for symbol, _, code in CASES} | {"OOOUSDT": "delisting"}
    refused = {symbol: codes(world, symbol, signal_id) for symbol, signal_id in signals.items()}
    assert {symbol: code for symbol, code in wanted.items() if code not in refused[symbol]} == {}
    assert world.exchange.accepted == {}


def test_a_symbol_that_nobody_knows_and_an_account_without_equity_are_refused_by_name(world: World) -> None:
    signal_id = scene(world)
    world.agents.reconciler.run()
    for symbol in UNKNOWN:
        assert "unknown_symbol" in codes(world, symbol, world.add_signal(symbol, occasion=f"x:{symbol}"))
    world.exchange.equity_usd = D(-50)
    assert "no_equity" in codes(world, SYMBOL, signal_id)
    world.exchange.equity_usd = D(0)
    assert "no_equity" in codes(world, SYMBOL, world.add_signal(occasion="again"))
    assert world.exchange.accepted == {}


def test_leverage_above_the_coins_is_lowered_to_it(world: World) -> None:
    """10 by the settings, 3 is the coin's most: a smaller leverage is no other trade."""
    signal_id = scene(world, max_leverage=D(3))
    world.agents.reconciler.run()
    world.act(signal_id)
    assert world.exchange.leverages[SYMBOL] == 3
    assert [plan.leverage for plan in world.plans] == [3]


@pytest.mark.parametrize(
    ("method", "code", "reason"),
    [
        ("set_leverage", 110013, "leverage_refused_110013"),
        ("place", 110094, "110094"),
        ("place", 10001, "10001"),
    ],
)
def test_what_the_exchange_refuses_all_the_same_is_the_plans_reason(
    world: World, method: str, code: int, reason: str
) -> None:
    """Its limits are newer than our table of them: the worker goes on, the plan says why."""
    signal_id = scene(world)
    world.agents.reconciler.run()
    world.exchange.fail(method, BybitRefused(f"Bybit answered {code}", code=code))
    world.act(signal_id)
    [plan] = world.plans
    assert plan.status == "refused"
    assert reason in plan.reasons[0]["text"]
    assert world.exchange.held == {}
