"""A seeded market of coins with very different tempers: jumps, liquidation cascades, quiet.

The past (a year in days, weeks in hours, days in five minutes) is drawn at the start in
candles; the future is drawn in blocks of five minutes, one price point every five
seconds, all coins at once. Three things move a coin:

- a random walk, partly shared with the whole market, whose volatility wanders;
- jumps: a sudden move of half a minute to two minutes on many times the usual turnover;
- cascades: a crowd gets in around the present price (its average entry follows price
  slowly). When price has run against it as far as `crowd_distance`, it is liquidated:
  price runs on by a third of that distance within two minutes, open interest drops,
  and part of the run is given back.

Open interest follows the same rule as for recorded candles (`open_interest`), and drops
in a cascade.
"""

from __future__ import annotations

import numpy as np
import structlog

from whalestack.errors import StopAndTell
from whalestack.simulator.market.base import FloatArray, IntArray
from whalestack.simulator.market.instruments import Seen, instruments_for
from whalestack.simulator.market.open_interest import DerivedInterest, derive_open_interest, fade_over
from whalestack.simulator.market.played import BLOCK_MS, Block, PlayedMarket
from whalestack.simulator.market.store import (
    CLOSE,
    INTEREST,
    TURNOVER,
    Backdrop,
    Source,
    join_sources,
)
from whalestack.simulator.market.tempers import SyntheticCoin, synthetic_coins

log = structlog.get_logger()

POINTS = 60
_DAY_MS = 86_400_000
_PAST = ((86_400, 420), (3_600, 42), (1_800, 21), (300, 5))
"""(candle length in seconds, days back from the start at which this length begins)."""
_JUMP_TURNOVER = 10.0
_CASCADE_TURNOVER = 8.0
_CASCADE_RUN = 0.35
_CASCADE_REBOUND = 0.4
_CROWD_MEMORY_BLOCKS = 144.0


class Character:
    """The tempers of all coins as arrays, each shape (n,)."""

    def __init__(self, coins: tuple[SyntheticCoin, ...]) -> None:
        tempers = [coin.temper for coin in coins]
        self.volatility = np.array([temper.daily_volatility for temper in tempers])
        self.beta = np.array([temper.beta for temper in tempers])
        self.jumps_per_day = np.array([temper.jumps_per_day for temper in tempers])
        self.jump_size = np.array([temper.jump_size for temper in tempers])
        self.crowd_distance = np.array([temper.crowd_distance for temper in tempers])
        self.restlessness = np.array([temper.restlessness for temper in tempers])
        self.daily_turnover = np.array([temper.daily_turnover_usd for temper in tempers])
        self.price = np.array([coin.price for coin in coins])
        self.age_days = np.array([temper.age_days for temper in tempers])


def draw_past(character: Character, begin_ms: int, random: np.random.Generator) -> Backdrop:
    """Candles before `begin_ms`, which end at the coins' prices; open interest derived."""
    edges = [(begin_ms // _DAY_MS - days) * _DAY_MS for _, days in _PAST] + [begin_ms]
    sources = [
        _draw_source(character, interval_s, first, end, random)
        for (interval_s, _), first, end in zip(_PAST, edges[:-1], edges[1:], strict=True)
    ]
    _chain(sources, np.log(character.price))
    for source in sources:
        young = source.start_ms[None, :] < begin_ms - character.age_days[:, None] * _DAY_MS
        source.bars[:, young] = np.nan
    return join_sources(sources)


def _draw_source(
    character: Character, interval_s: int, first_ms: int, end_ms: int, random: np.random.Generator
) -> Source:
    """Candles whose prices are logarithms relative to the source's first open."""
    start_ms: IntArray = np.arange(first_ms, end_ms, interval_s * 1000, dtype=np.int64)
    shape = (len(character.price), len(start_ms))
    sigma = character.volatility[:, None] * np.sqrt(interval_s / 86_400.0)
    heat = np.exp(character.restlessness[:, None] * _wander(shape, 0.97, random))
    shared = random.standard_normal(shape[1])[None, :]
    own = np.clip(random.standard_t(4, shape) / np.sqrt(2.0), -6, 6)
    beta = character.beta[:, None]
    move = sigma * heat * (beta * shared + np.sqrt(1.0 - beta**2) * own)
    close = np.cumsum(move, axis=1)
    open_ = close - move
    high = np.maximum(open_, close) + np.abs(random.standard_normal(shape)) * sigma * heat * 0.4
    low = np.minimum(open_, close) - np.abs(random.standard_normal(shape)) * sigma * heat * 0.4
    surprise = np.abs(move) / sigma
    rate = character.daily_turnover[:, None] * interval_s / 86_400.0
    turnover = rate * (0.4 + 0.6 * surprise) * np.exp(0.3 * random.standard_normal(shape))
    return Source(interval_s, start_ms, np.stack([open_, high, low, close, turnover, turnover, turnover]))


def _wander(shape: tuple[int, int], memory: float, random: np.random.Generator) -> FloatArray:
    """Slow noise of unit variance along the second axis."""
    shocks = random.standard_normal(shape) * np.sqrt(1.0 - memory**2)
    out: FloatArray = np.empty(shape)
    level = random.standard_normal(shape[0])
    for step in range(shape[1]):
        level = memory * level + shocks[:, step]
        out[:, step] = level
    return out


def _chain(sources: list[Source], end_log_price: FloatArray) -> None:
    """Turn relative logarithms into prices so that the last close is the wanted one, in place."""
    level = end_log_price
    for source in reversed(sources):
        start = level - source.bars[CLOSE, :, -1]
        source.bars[:4] = np.exp(source.bars[:4] + start[None, :, None])
        source.bars[4] = source.bars[TURNOVER] / source.bars[CLOSE]
        level = start


class SyntheticBlocks:
    """Draws the future, block by block.

    Args:
        character: the coins.
        derived: open interest of the past, to go on from.
        last: closes of the past, shape (n,).
        random: the only source of chance.
    """

    def __init__(
        self, character: Character, derived: DerivedInterest, last: FloatArray, random: np.random.Generator
    ) -> None:
        self._character = character
        self._derived = derived
        self._random = random
        self._log_price = np.log(last)
        self._crowd = self._log_price.copy()
        self._heat = random.standard_normal(len(last))
        self._interest = derived.interest[:, -1].copy()

    def block(self, start_ms: int) -> Block:
        """Five minutes of all coins."""
        character, count = self._character, len(self._log_price)
        self._heat = 0.97 * self._heat + np.sqrt(1 - 0.97**2) * self._random.standard_normal(count)
        heat = np.exp(character.restlessness * self._heat)
        sigma = character.volatility * np.sqrt(BLOCK_MS / POINTS / _DAY_MS)
        shared = self._random.standard_normal(POINTS)[None, :]
        own = self._random.standard_normal((count, POINTS))
        beta = character.beta[:, None]
        moves = (sigma * heat)[:, None] * (beta * shared + np.sqrt(1 - beta**2) * own)
        busy = np.ones((count, POINTS))
        self._jump(moves, busy)
        closed = self._cascade(moves, busy)
        path = self._log_price[:, None] + np.cumsum(moves, axis=1)
        return self._finish(start_ms, path, moves, busy, sigma, closed)

    def _jump(self, moves: FloatArray, busy: FloatArray) -> None:
        """Add sudden moves and the turnover that comes with them, in place."""
        chance = self._character.jumps_per_day * BLOCK_MS / _DAY_MS
        for coin in np.flatnonzero(self._random.random(len(chance)) < chance).tolist():
            first = int(self._random.integers(0, POINTS - 24))
            length = int(self._random.integers(6, 24))
            size = float(self._random.standard_normal()) * self._character.jump_size[coin]
            moves[coin, first : first + length] += size / length
            busy[coin, first : first + length] *= _JUMP_TURNOVER

    def _cascade(self, moves: FloatArray, busy: FloatArray) -> FloatArray:
        """Liquidate crowds that price has run over; the share of interest closed, shape (n,)."""
        closed = np.zeros(len(moves))
        distance = self._log_price[:, None] + np.cumsum(moves, axis=1) - self._crowd[:, None]
        over = np.abs(distance) > self._character.crowd_distance[:, None]
        for coin in np.flatnonzero(over.any(axis=1)).tolist():
            first = min(int(np.argmax(over[coin])), POINTS - 30)
            sign = 1.0 if distance[coin, first] > 0 else -1.0
            run = (
                sign
                * _CASCADE_RUN
                * self._character.crowd_distance[coin]
                * float(self._random.uniform(0.6, 1.6))
            )
            moves[coin, first : first + 18] += run / 18
            moves[coin, first + 18 : first + 30] -= run * _CASCADE_REBOUND / 12
            busy[coin, first : first + 30] *= _CASCADE_TURNOVER
            self._crowd[coin] += distance[coin, first] + run
            closed[coin] = float(self._random.uniform(0.05, 0.2))
        return closed

    def _finish(
        self,
        start_ms: int,
        path: FloatArray,
        moves: FloatArray,
        busy: FloatArray,
        sigma: FloatArray,
        closed: FloatArray,
    ) -> Block:
        prices = np.exp(path)
        noise = np.exp(0.4 * self._random.standard_normal(path.shape) - 0.08)
        usual = self._character.daily_turnover[:, None] / (_DAY_MS / BLOCK_MS * POINTS)
        turnover = usual * busy * (0.4 + 0.6 * np.minimum(np.abs(moves) / sigma[:, None], 6.0)) * noise
        move_pct = (path[:, -1] - self._log_price) * 100.0
        rate = turnover.sum(axis=1) / BLOCK_MS
        distance = self._derived.state.step(rate, move_pct, float(fade_over(np.asarray(BLOCK_MS))))
        distance += np.log1p(-closed)
        target = self._derived.base * np.exp(distance)
        shares = np.cumsum(turnover, axis=1) / turnover.sum(axis=1, keepdims=True)
        interest = self._interest[:, None] + (target - self._interest)[:, None] * shares
        self._interest, self._log_price = target, path[:, -1]
        self._crowd += (self._log_price - self._crowd) / _CROWD_MEMORY_BLOCKS
        return Block(start_ms, BLOCK_MS // POINTS, prices, turnover, turnover / prices, interest)


def open_synthetic(count: int, *, start_ms: int, seed: int, symbols: tuple[str, ...] = ()) -> PlayedMarket:
    """A synthetic market that begins at `start_ms`.

    Args:
        count: how many coins.
        start_ms: market time at which playing begins.
        seed: the same seed, start and coins give the same market.
        symbols: play only these of the coins; empty for all.

    Raises:
        StopAndTell: a symbol is none of the coins.
    """
    coins = synthetic_coins(count)
    if symbols:
        by_symbol = {coin.symbol: coin for coin in coins}
        if unknown := [symbol for symbol in symbols if symbol not in by_symbol]:
            raise StopAndTell(f"the synthetic market of {count} coins has no {', '.join(unknown)}")
        coins = tuple(by_symbol[symbol] for symbol in symbols)
    character = Character(coins)
    random = np.random.default_rng(seed)
    begin_ms = start_ms // BLOCK_MS * BLOCK_MS
    backdrop = draw_past(character, begin_ms, random)
    derived = derive_open_interest(backdrop, begin_ms)
    backdrop.bars[INTEREST] = derived.interest
    seen = {coin.symbol: _seen(coin, begin_ms) for coin in coins}
    blocks = SyntheticBlocks(character, derived, backdrop.bars[CLOSE, :, -1], random)
    log.info("market_opened", kind="synthetic", coins=len(coins), seed=seed)
    return PlayedMarket(
        instruments_for(seen, {}), backdrop, blocks, start_ms=start_ms, end_ms=None, seed=seed
    )


def _seen(coin: SyntheticCoin, begin_ms: int) -> Seen:
    """A tick of at most a fiftieth of a per cent of the price."""
    decimals = max(1, int(np.ceil(-np.log10(coin.price * 2e-4))))
    launch_ms = begin_ms - coin.temper.age_days * _DAY_MS
    return Seen(coin.price, decimals, launch_ms, coin.temper.daily_turnover_usd)
