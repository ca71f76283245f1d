"""Each rule says no for its own reason, all are asked, and every reason is kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.agents.world import SYMBOL, World
from whalestack.agents.account import AccountFigures, day_loss_pct, drawdown_pct
from whalestack.agents.guards import RULES, GuardState, all_refusals
from whalestack.agents.kill_switch import KillState
from whalestack.agents.trading_gate import GateState
from whalestack.clients.bybit.types import Side, Wallet
from whalestack.clock import to_ms
from whalestack.config import Settings
from whalestack.db.live import LiveTick
from whalestack.db.models import Coin
from whalestack.db.trading_inputs import EndedTrade

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def a_coin(**changes: Any) -> Coin:
    values: dict[str, Any] = {
        "symbol": SYMBOL,
        "base_coin": "COAI",
        "status": "Trading",
        "is_prelisting": False,
        "is_major": False,
        "blacklisted": False,
        "delisted_at": None,
        "launched_at": NOW - timedelta(days=50),
        "turnover_24h_usd": 5e7,
        "skipped_reason": None,
    }
    return Coin(**(values | changes))


def an_account(**changes: Any) -> AccountFigures:
    fine = AccountFigures(
        equity_usd=Decimal(10_000),
        available_usd=Decimal(10_000),
        exposure_by_symbol={},
        day_loss_pct=0.0,
        drawdown_pct=0.0,
        stop_streak=0,
        last_stop_at=None,
        coin_stopped_at={},
    )
    return replace(fine, **changes)


def a_tick(**changes: Any) -> LiveTick:
    return replace(LiveTick(SYMBOL, to_ms(NOW), 100.0, 100.0, 99.9, 100.1, 1e6, 5e7, 0.01), **changes)


def a_state(settings: Settings, **changes: Any) -> GuardState:
    fine = GuardState(
        symbol=SYMBOL,
        now=NOW,
        settings=settings,
        kill=KillState(False),
        gate=GateState(True, "", NOW),
        gate_max_age=timedelta(minutes=5),
        coin=a_coin(),
        tick=a_tick(),
        tick_max_age=timedelta(minutes=1),
        account=an_account(),
    )
    return replace(fine, **changes)


def test_a_coin_against_which_nothing_speaks_may_be_traded(settings: Settings) -> None:
    assert all_refusals(a_state(settings)) == ()


LATELY = NOW - timedelta(minutes=10)


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("kill_switch", {"kill": KillState(True, reason="test", set_by="owner")}),
        ("not_reconciled", {"gate": GateState(False, "", None)}),
        ("not_reconciled", {"gate": GateState(False, "our clock is off", NOW)}),
        ("not_reconciled", {"gate": GateState(True, "", NOW - timedelta(minutes=6))}),
        ("unknown_symbol", {"coin": None}),
        ("coin_skipped", {"coin": a_coin(skipped_reason="not on CoinGlass")}),
        ("major", {"coin": a_coin(is_major=True)}),
        ("major", {"coin": a_coin(base_coin="BTC")}),
        ("blacklisted", {"coin": a_coin(blacklisted=True)}),
        ("prelisting", {"coin": a_coin(is_prelisting=True)}),
        ("delisting", {"coin": a_coin(delisted_at=NOW + timedelta(days=1))}),
        ("not_trading", {"coin": a_coin(status="Closed")}),
        ("too_young", {"coin": a_coin(launched_at=NOW - timedelta(hours=3))}),
        ("thin", {"coin": a_coin(turnover_24h_usd=5e3), "tick": a_tick(turnover_24h_usd=None)}),
        ("thin", {"tick": a_tick(turnover_24h_usd=9_999.0)}),
        ("wide_spread", {"tick": a_tick(bid=99.0, ask=101.0)}),
        ("no_price", {"tick": None}),
        ("stale_price", {"tick": a_tick(ts_ms=to_ms(NOW) - 61_000)}),
        ("no_equity", {"account": an_account(equity_usd=Decimal(0))}),
        ("symbol_taken", {"account": an_account(exposure_by_symbol={SYMBOL: Decimal(1)})}),
        (
            "too_many_positions",
            {"account": an_account(exposure_by_symbol={f"{n}USDT": Decimal(1) for n in range(5)})},
        ),
        ("exposure", {"account": an_account(exposure_by_symbol={"AUSDT": Decimal(20_000)})}),
        ("coin_exposure", {"account": an_account(exposure_by_symbol={SYMBOL: Decimal(5_000)})}),
        ("daily_loss", {"account": an_account(day_loss_pct=5.0)}),
        ("drawdown", {"account": an_account(drawdown_pct=20.0)}),
        ("cooldown", {"account": an_account(coin_stopped_at={SYMBOL: LATELY})}),
        ("stop_streak", {"account": an_account(stop_streak=4, last_stop_at=LATELY)}),
    ],
)
def test_each_rule_says_no_for_its_own_reason(settings: Settings, code: str, changes: dict[str, Any]) -> None:
    refusals = {each.code: each.text for each in all_refusals(a_state(settings, **changes))}
    assert code in refusals
    assert refusals[code]


def test_every_rule_can_say_no_and_all_are_kept(settings: Settings) -> None:
    """Nothing short-circuits: the owner sees everything that speaks against a coin."""
    bad = a_state(
        settings.model_copy(update={"autotrader_enabled": False, "blacklist": ("COAI",)}),
        kill=KillState(True),
        gate=GateState(False, "", None),
        coin=a_coin(is_major=True, status="Closed", launched_at=NOW, turnover_24h_usd=0.0),
        tick=None,
        account=an_account(
            exposure_by_symbol={SYMBOL: Decimal(50_000)} | {f"{n}USDT": Decimal(1) for n in range(5)},
            day_loss_pct=50.0,
            drawdown_pct=50.0,
            stop_streak=9,
            last_stop_at=LATELY,
            coin_stopped_at={SYMBOL: LATELY},
            agent_by_symbol={f"{n}USDT": "conservative-1" for n in range(5)},
        ),
    )
    # An unknown coin and no equity exclude others; without a price there is no spread.
    assert len(all_refusals(bad)) == len(RULES) - 3


@pytest.mark.parametrize("tick", [a_tick(bid=99.9, ask=100.1), a_tick(bid=None), a_tick(bid=0.0)])
def test_a_spread_that_is_narrow_or_not_known_speaks_against_nothing(
    settings: Settings, tick: LiveTick
) -> None:
    """0.2 % apart, below the limit of 0.5; one side not known yet."""
    assert all_refusals(a_state(settings, tick=tick)) == ()


def test_a_cooldown_and_a_streak_end(settings: Settings) -> None:
    long_ago = NOW - timedelta(days=2)
    account = an_account(coin_stopped_at={SYMBOL: long_ago}, stop_streak=9, last_stop_at=long_ago)
    assert all_refusals(a_state(settings, account=account)) == ()


@pytest.mark.parametrize("size", [100, 100_000_000])
def test_the_same_rules_fit_a_small_and_a_large_account(settings: Settings, size: int) -> None:
    """Everything that decides is relative: turnover of 100 times the risk, exposure in per cent."""
    account = an_account(equity_usd=Decimal(size), available_usd=Decimal(size))
    enough = size * settings.risk_per_trade_pct / 100 * settings.min_turnover_to_risk_ratio
    state = a_state(settings, account=account, tick=a_tick(turnover_24h_usd=enough))
    assert all_refusals(state) == ()
    thin = a_state(settings, account=account, tick=a_tick(turnover_24h_usd=enough * 0.99))
    assert [each.code for each in all_refusals(thin)] == ["thin"]


def wallet(balance: int, equity: int) -> Wallet:
    return Wallet(Decimal(equity), Decimal(equity), Decimal(balance))


def ended(pnl: int, hours_ago: float) -> EndedTrade:
    return EndedTrade(SYMBOL, "a", "closed", NOW - timedelta(hours=hours_ago), Decimal(pnl))


def test_the_days_loss_counts_from_midnight_with_what_is_open() -> None:
    """At midnight 10,000 (9,800 now, 200 lost since); 100 more is lost in open positions: 3 %."""
    assert day_loss_pct(wallet(9_800, 9_700), [ended(-200, 1), ended(-500, 20)], NOW) == pytest.approx(3.0)
    assert day_loss_pct(wallet(10_200, 10_200), [ended(200, 1)], NOW) == 0.0


def test_a_drawdown_counts_from_the_highest_and_not_from_deposits() -> None:
    """10,000, +2,000 to 12,000, then -1,800: 15 % below the highest. Money put in changes nothing."""
    assert drawdown_pct(wallet(10_200, 10_200), [ended(2_000, 9), ended(-1_800, 2)]) == pytest.approx(15.0)
    assert drawdown_pct(wallet(90_000, 90_000), []) == 0.0


def test_all_reasons_are_written_on_the_signal(world: World) -> None:
    """A young major under the kill switch: three rules, three reasons."""
    world.add_coin(is_major=True, launched_at=world.clock.now())
    world.add_maps()
    world.set_price(100)
    world.agents.reconciler.run()
    world.agents.kill_switch.engage(reason="test", set_by="owner")
    report = world.act(world.add_signal())

    assert set(report.reasons) == {"kill_switch", "major", "too_young"}
    assert {reason["code"] for reason in world.signals[0].reasons} == set(report.reasons)
    assert [plan.status for plan in world.plans] == ["refused"]


def test_a_position_that_a_person_holds_counts(world: World) -> None:
    """Exposure is what the exchange says, not only what we opened."""
    signal_id = world.ready()
    world.exchange.open_by_hand(SYMBOL, Side.BUY, Decimal(1), Decimal(100), Decimal(90))
    assert "symbol_taken" in world.act(signal_id).reasons


def test_a_coin_with_a_low_maximum_is_traded_at_most_that_large(world: World) -> None:
    world.add_coin(max_market_order_qty=Decimal(4))
    world.add_maps()
    world.add_pattern()
    world.set_price(100)
    world.agents.reconciler.run()
    world.act(world.add_signal())
    assert [order.qty for order in world.orders] == [Decimal(4)]


def test_live_does_not_trade_a_coin_without_a_record(world: World) -> None:
    """While there are too few observations, other modes trade to learn."""
    world.restart(world.settings.model_copy(update={"trade_without_history": False}))
    world.add_coin()
    world.add_maps()
    world.add_pattern(observations=3, hits=2)
    world.set_price(100)
    world.agents.reconciler.run()
    assert world.act(world.add_signal()).reasons == ("too_few_observations",)
