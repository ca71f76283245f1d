"""A key that may withdraw is not traded with: refused at the start, by the doctor, and by the gate."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import SecretStr

from tests.agents.fake_exchange import FakeExchange
from tests.agents.world import SYMBOL, World
from whalestack import doctor
from whalestack.agents.key_safety import key_obstacle
from whalestack.clients.bybit.errors import BybitRefused, BybitUnavailable
from whalestack.clock import ManualClock
from whalestack.config import Mode, Settings
from whalestack.errors import StopAndTell
from whalestack.runtime import Runtime
from whalestack.supervisor.up import require_safe_key

REAL_MODES = [Mode.TESTNET, Mode.BYBIT_DEMO, Mode.LIVE]


def of_mode(settings: Settings, mode: Mode) -> Settings:
    return settings.model_copy(update={"mode": mode, "bybit_api_key": SecretStr("a-key")})


@pytest.fixture
def exchange(clock: ManualClock) -> FakeExchange:
    exchange = FakeExchange(clock)
    exchange.key = replace(exchange.key, may_withdraw=True)
    return exchange


@pytest.mark.parametrize("mode", REAL_MODES)
def test_the_system_does_not_start_with_a_key_that_may_withdraw(
    exchange: FakeExchange, settings: Settings, mode: Mode
) -> None:
    with pytest.raises(StopAndTell, match="BYBIT_API_KEY may withdraw"):
        require_safe_key(exchange, of_mode(settings, mode))
    exchange.key = replace(exchange.key, may_withdraw=False)
    require_safe_key(exchange, of_mode(settings, mode))


@pytest.mark.parametrize("mode", [Mode.DEMO, Mode.PAPER])
def test_a_simulated_account_has_nothing_to_withdraw(
    exchange: FakeExchange, settings: Settings, mode: Mode
) -> None:
    require_safe_key(exchange, of_mode(settings, mode))
    assert exchange.calls == []


def test_without_a_key_there_is_nothing_to_ask(exchange: FakeExchange, settings: Settings) -> None:
    """Who only watches needs none."""
    watching = settings.model_copy(update={"mode": Mode.LIVE, "bybit_api_key": SecretStr("")})
    require_safe_key(exchange, watching)
    assert exchange.calls == []


@pytest.mark.parametrize("may", [{"is_read_only": True}, {"may_trade": False}])
def test_a_key_that_may_not_trade_is_named_at_the_start(
    exchange: FakeExchange, settings: Settings, may: dict[str, bool]
) -> None:
    """Else the first order would find out."""
    exchange.key = replace(exchange.key, **({"may_withdraw": False} | may))
    with pytest.raises(StopAndTell, match="may not trade"):
        require_safe_key(exchange, of_mode(settings, Mode.LIVE))


def test_an_exchange_that_does_not_tell_is_not_taken_for_a_yes(
    exchange: FakeExchange, settings: Settings
) -> None:
    """Only demo trading, where the call may not be offered and the money is not real, goes on."""
    exchange.fail("key_info", BybitRefused("not supported", code=10032), times=2)
    assert "is not told" in (key_obstacle(exchange, of_mode(settings, Mode.LIVE)) or "")
    assert key_obstacle(exchange, of_mode(settings, Mode.BYBIT_DEMO)) is None


def test_the_doctor_says_what_is_wrong_with_the_key(exchange: FakeExchange, settings: Settings) -> None:
    runtime = Runtime(of_mode(settings, Mode.LIVE))
    runtime.__dict__["bybit"] = exchange
    finding = next(each for each in doctor.examine(runtime) if each.check == "bybit key")
    assert not finding.ok
    assert "may withdraw" in finding.says


def test_a_key_that_was_allowed_to_withdraw_later_shuts_the_gate(world: World) -> None:
    """Nothing is opened with it; what is held is looked after, and the owner is told."""
    world.restart(of_mode(world.settings, Mode.TESTNET))
    world.act(world.ready())
    world.exchange.key = replace(world.exchange.key, may_withdraw=True)
    world.clock.advance(3601)
    report = world.agents.reconciler.run()

    assert not report.passed
    assert (report.positions, report.trades, report.fills) == (1, 1, 1)
    assert any("may withdraw" in text for text in world.told("alert"))
    world.set_price(100)
    reasons = world.act(world.add_signal("EVAAUSDT", occasion="later")).reasons
    assert "not_reconciled" in reasons

    world.exchange.key = replace(world.exchange.key, may_withdraw=False)
    assert world.agents.reconciler.run().passed


def test_a_key_that_cannot_be_asked_about_does_not_open_the_gate(world: World) -> None:
    world.restart(of_mode(world.settings, Mode.TESTNET))
    world.add_coin()
    world.exchange.fail("key_info", BybitUnavailable("down"))
    with pytest.raises(BybitUnavailable):
        world.agents.reconciler.run()
    world.set_price(100, SYMBOL)
    assert "not_reconciled" in world.act(world.add_signal()).reasons
