"""What the strategy is held against: buying and holding, and entering at random with the same exits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from whalestack.backtest.ledger import ClosedTrade
from whalestack.backtest.series import CoinSeries
from whalestack.config import Settings
from whalestack.math.directions import sign
from whalestack.math.rounding import decimal_of
from whalestack.math.stops import next_look_price, trailing_stop
from whalestack.simulator.exchange.state import Fees

DRAWS = 200
"""How often every trade is entered at a random moment instead."""


@dataclass(frozen=True)
class RandomEntries:
    """Random entries of the same coins, ways and exits.

    Args:
        mean_trade_pct: over all draws, per cent of the entry value.
        low_pct, high_pct: between these lies the mean of 95 % of the draws.
        beaten_pct: share of draws whose mean is below the strategy's.
    """

    mean_trade_pct: float
    low_pct: float
    high_pct: float
    beaten_pct: float


def buy_and_hold_pct(series: Mapping[str, CoinSeries], begin_ms: int, end_ms: int, fees: Fees) -> float:
    """The mean over the coins of what holding each came to, per cent, both fees taken off."""
    results = []
    for coin in series.values():
        first, last = coin.first_from(begin_ms), coin.number_at(end_ms - 1)
        if 0 <= first < last:
            results.append((coin.price(last) / coin.price(first) - 1) * 100 - 200 * float(fees.taker))
    return float(np.mean(results)) if results else 0.0


def random_entries(
    trades: Sequence[ClosedTrade],
    series: Mapping[str, CoinSeries],
    settings: Mapping[str, Settings],
    *,
    begin_ms: int,
    end_ms: int,
    seed: int,
    fees: Fees,
    draws: int = DRAWS,
) -> RandomEntries | None:
    """Enter each trade's coin in its direction at random moments, with its stop and target distances.

    The entry is at the market; stop, target and trailing steps are the trade's own, in per cent of the
    entry. Costs are a taker's fee and the slippage of the settings at both ends; no funding. A position
    that is still open at the end is closed there.

    Returns:
        None without trades.
    """
    if not trades:
        return None
    rng = np.random.default_rng(seed)
    means = np.empty(draws)
    for draw in range(draws):
        results = [
            _one(trade, series[trade.symbol], settings[trade.agent], begin_ms, end_ms, rng, fees)
            for trade in trades
        ]
        means[draw] = float(np.mean(results))
    own = float(np.mean([trade.pnl_pct for trade in trades]))
    low, high = np.percentile(means, (2.5, 97.5))
    return RandomEntries(float(means.mean()), float(low), float(high), float((means < own).mean() * 100))


def _one(
    trade: ClosedTrade,
    coin: CoinSeries,
    settings: Settings,
    begin_ms: int,
    end_ms: int,
    rng: np.random.Generator,
    fees: Fees,
) -> float:
    """The result of one random entry, per cent of its entry value."""
    last = coin.number_at(end_ms - 1)
    number = int(rng.integers(max(coin.first_from(begin_ms), 0), max(last, 1)))
    entry, way = coin.price(number), sign(trade.direction)
    stop = entry * trade.stop_loss / trade.entry_price
    target = entry * trade.take_profit / trade.entry_price
    exit_price = _exit(coin, number, last, entry, stop, target, trade, settings)
    costs = 200 * float(fees.taker) + 2 * settings.slippage_pct
    return (exit_price / entry - 1) * 100 * way - costs


def _exit(
    coin: CoinSeries,
    number: int,
    last: int,
    entry: float,
    stop: float,
    target: float,
    trade: ClosedTrade,
    settings: Settings,
) -> float:
    way, tick = sign(trade.direction), decimal_of(coin.tick)
    base, steps = decimal_of(entry), settings.trailing_steps_pct
    best = price = base
    held = Decimal(repr(stop))
    while True:
        look = next_look_price(trade.direction, base, price, held, steps, tick_size=tick, best_price=best)
        ahead = min(
            (each for each in (target, None if look is None else float(look)) if each is not None),
            key=lambda p: p * way,
        )
        levels = (float(held), ahead) if way > 0 else (ahead, float(held))
        number = coin.next_reached(number + 1, last + 1, levels[0], levels[1]) if number < last else last + 1
        if number > last:
            return coin.price(last)
        now = coin.price(number)
        if (now - float(held)) * way <= 0 or (now - target) * way >= 0:
            return now
        price = decimal_of(now)
        best = max(best * way, price * way) * way
        moved = trailing_stop(trade.direction, base, price, held, steps, tick_size=tick, best_price=best)
        held = held if moved is None else moved
