"""Why a coin is not traded now: small rules, every one asked, every "no" kept.

A rule is a function from the state of things to a `Refusal` or None. `RULES` is the whole
list; what a rule needs to know stands in `GuardState`, so each can be tested by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from whalestack.agents.account import AccountFigures
from whalestack.agents.kill_switch import KillState
from whalestack.agents.trading_gate import GateState
from whalestack.clock import from_ms
from whalestack.config import Settings
from whalestack.db.live import LiveTick
from whalestack.db.models import Coin
from whalestack.math.refusals import Refusal


@dataclass(frozen=True)
class CoinFacts:
    """What is known of a coin whoever trades it.

    Args:
        symbol: Bybit symbol.
        now: market time.
        settings: the limits.
        coin: the instrument, None where the symbol is unknown.
        tick: its live state, None where there is none.
    """

    symbol: str
    now: datetime
    settings: Settings
    coin: Coin | None
    tick: LiveTick | None


@dataclass(frozen=True)
class GuardState(CoinFacts):
    """Everything the rules look at.

    Args:
        kill: the kill switch.
        gate: the reconciler's word.
        gate_max_age: how old that word may be.
        tick_max_age: how old the live state may be.
        account: see `AccountFigures`.
    """

    kill: KillState
    gate: GateState
    gate_max_age: timedelta
    tick_max_age: timedelta
    account: AccountFigures


CoinRule = Callable[[CoinFacts], Refusal | None]
Rule = Callable[[GuardState], Refusal | None]


def agent_is_on(state: GuardState) -> Refusal | None:
    if not state.settings.autotrader_enabled:
        name = state.settings.autotrader_name
        return Refusal("autotrader_off", f"AUTOTRADER_ENABLED is off, or {name} is off in AUTOTRADERS")
    return None


def kill_switch_is_off(state: GuardState) -> Refusal | None:
    if state.kill.is_on:
        return Refusal("kill_switch", f"the kill switch is on ({state.kill.set_by}: {state.kill.reason})")
    return None


def both_sides_agree(state: GuardState) -> Refusal | None:
    obstacle = state.gate.obstacle(state.now, state.gate_max_age)
    return None if obstacle is None else Refusal("not_reconciled", obstacle)


def coin_is_known(state: CoinFacts) -> Refusal | None:
    if state.coin is None:
        return Refusal("unknown_symbol", f"{state.symbol} is no instrument that we know")
    if state.coin.skipped_reason:
        return Refusal("coin_skipped", state.coin.skipped_reason)
    return None


def coin_is_no_major(state: CoinFacts) -> Refusal | None:
    coin = state.coin
    if coin is not None and (coin.is_major or coin.base_coin in state.settings.majors):
        return Refusal("major", f"{coin.base_coin} is a major; automatic traders leave them alone")
    return None


def coin_is_not_blacklisted(state: CoinFacts) -> Refusal | None:
    coin = state.coin
    names = {state.symbol} | ({coin.base_coin} if coin is not None else set())
    if (coin is not None and coin.blacklisted) or names & set(state.settings.blacklist):
        return Refusal("blacklisted", f"{state.symbol} is on the blacklist")
    return None


def coin_is_trading(state: CoinFacts) -> Refusal | None:
    coin = state.coin
    if coin is None:
        return None
    if coin.is_prelisting:
        return Refusal("prelisting", f"{state.symbol} is in pre-listing")
    if coin.delisted_at is not None:
        return Refusal("delisting", f"{state.symbol} is delisted on {coin.delisted_at:%Y-%m-%d %H:%M} UTC")
    if coin.status != "Trading":
        return Refusal("not_trading", f"{state.symbol} has the status {coin.status}")
    return None


def coin_is_old_enough(state: CoinFacts) -> Refusal | None:
    if state.coin is None or state.coin.launched_at is None:
        return None
    age_h = (state.now - state.coin.launched_at).total_seconds() / 3600
    if age_h < state.settings.min_listing_age_h:
        wanted_h = state.settings.min_listing_age_h
        return Refusal("too_young", f"listed {age_h:.1f} h ago, {wanted_h:g} h wanted")
    return None


def turnover_is_enough(state: GuardState) -> Refusal | None:
    """The turnover of a day must dwarf what one trade may lose, whatever the account's size."""
    if state.coin is None:
        return None
    live = state.tick.turnover_24h_usd if state.tick is not None else None
    turnover = live if live is not None else state.coin.turnover_24h_usd or 0.0
    risk_usd = float(state.account.equity_usd) * state.settings.risk_per_trade_pct / 100
    wanted = max(state.settings.min_turnover_24h_usd, risk_usd * state.settings.min_turnover_to_risk_ratio)
    if turnover < wanted:
        return Refusal("thin", f"{turnover:,.0f} USD traded in 24 h, {wanted:,.0f} wanted")
    return None


def spread_is_narrow(state: CoinFacts) -> Refusal | None:
    """Whoever gets in has to get out again. Where one side is not known nothing is said."""
    spread_pct = None if state.tick is None else state.tick.spread_pct
    limit = state.settings.max_spread_pct
    if spread_pct is not None and spread_pct > limit:
        return Refusal("wide_spread", f"bid and ask are {spread_pct:.2f} % apart, {limit:g} % at most")
    return None


def price_is_fresh(state: GuardState) -> Refusal | None:
    if state.tick is None:
        return Refusal("no_price", f"there is no live price of {state.symbol}")
    age = state.now - from_ms(state.tick.ts_ms)
    if age > state.tick_max_age:
        return Refusal("stale_price", f"the live price is {age.total_seconds():.0f} s old")
    return None


def there_is_equity(state: GuardState) -> Refusal | None:
    if state.account.equity_usd <= 0:
        return Refusal("no_equity", f"the account's equity is {state.account.equity_usd:.2f} USD")
    return None


def symbol_is_free(state: GuardState) -> Refusal | None:
    if state.symbol in state.account.exposure_by_symbol:
        holder = state.account.agent_by_symbol.get(state.symbol)
        whose = f" of {holder}" if holder is not None else ""
        return Refusal("symbol_taken", f"there is a position or an order{whose} in {state.symbol} already")
    return None


def there_is_room_for_a_position(state: GuardState) -> Refusal | None:
    count, limit = state.account.open_positions, state.settings.max_open_positions
    if count >= limit:
        return Refusal("too_many_positions", f"{count} positions are open or entering, {limit} at most")
    return None


def trader_has_room_for_a_position(state: GuardState) -> Refusal | None:
    """The limit of this trader alone; what others and people hold does not count."""
    name, limit = state.settings.autotrader_name, state.settings.autotrader_max_positions
    count = state.account.positions_of(name)
    if count >= limit:
        return Refusal("too_many_of_agent", f"{name} has {count} positions open or entering, {limit} at most")
    return None


def exposure_is_within_limit(state: GuardState) -> Refusal | None:
    held, limit = state.account.exposure_pct(), state.settings.max_exposure_pct
    if held >= limit:
        return Refusal("exposure", f"{held:.0f} % of the equity is exposed, {limit:g} % at most")
    return None


def coin_exposure_is_within_limit(state: GuardState) -> Refusal | None:
    held, limit = state.account.exposure_pct(state.symbol), state.settings.max_coin_exposure_pct
    if held >= limit:
        text = f"{held:.0f} % of the equity is in {state.symbol}, {limit:g} % at most"
        return Refusal("coin_exposure", text)
    return None


def day_is_not_lost(state: GuardState) -> Refusal | None:
    lost, limit = state.account.day_loss_pct, state.settings.max_daily_loss_pct
    if lost >= limit:
        return Refusal("daily_loss", f"{lost:.2f} % lost since midnight UTC, {limit:g} % at most")
    return None


def drawdown_is_bearable(state: GuardState) -> Refusal | None:
    depth, limit = state.account.drawdown_pct, state.settings.max_drawdown_pct
    if depth >= limit:
        return Refusal("drawdown", f"{depth:.2f} % below the highest equity, {limit:g} % at most")
    return None


def coin_has_cooled_down(state: GuardState) -> Refusal | None:
    stopped_at = state.account.coin_stopped_at.get(state.symbol)
    wait_s = state.settings.cooldown_after_stop_s
    if stopped_at is not None and (state.now - stopped_at).total_seconds() < wait_s:
        text = f"{state.symbol} was stopped out at {stopped_at:%H:%M} UTC, {wait_s} s are waited"
        return Refusal("cooldown", text)
    return None


def stops_do_not_pile_up(state: GuardState) -> Refusal | None:
    streak, last = state.account.stop_streak, state.account.last_stop_at
    if streak < state.settings.max_stop_streak or last is None:
        return None
    pause_s = state.settings.stop_streak_pause_s
    if (state.now - last).total_seconds() >= pause_s:
        return None
    return Refusal("stop_streak", f"the last {streak} trades were stopped out; {pause_s} s are paused")


COIN_RULES: tuple[CoinRule, ...] = (
    coin_is_known,
    coin_is_no_major,
    coin_is_not_blacklisted,
    coin_is_trading,
    coin_is_old_enough,
    spread_is_narrow,
)
RULES: tuple[Rule, ...] = (
    agent_is_on,
    kill_switch_is_off,
    both_sides_agree,
    *COIN_RULES,
    turnover_is_enough,
    price_is_fresh,
    there_is_equity,
    symbol_is_free,
    there_is_room_for_a_position,
    trader_has_room_for_a_position,
    exposure_is_within_limit,
    coin_exposure_is_within_limit,
    day_is_not_lost,
    drawdown_is_bearable,
    coin_has_cooled_down,
    stops_do_not_pile_up,
)


def all_refusals(state: GuardState, rules: tuple[Rule, ...] = RULES) -> tuple[Refusal, ...]:
    """Every rule's "no", in the order of the rules; empty means the coin may be traded."""
    return tuple(refusal for rule in rules if (refusal := rule(state)) is not None)


def coin_refusals(facts: CoinFacts) -> tuple[Refusal, ...]:
    """What speaks against a coin whoever would trade it, whatever the account's state."""
    return tuple(refusal for rule in COIN_RULES if (refusal := rule(facts)) is not None)
