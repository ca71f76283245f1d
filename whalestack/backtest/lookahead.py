"""Whether anything knew what came after it: the data is cut, and what stands before the cut compared."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from whalestack.backtest.candles import Candles
from whalestack.backtest.decisions import Decisions
from whalestack.backtest.played_coins import Played
from whalestack.backtest.rankings import MappedCoin
from whalestack.backtest.run import Outcome
from whalestack.backtest.variants import name_of
from whalestack.clock import from_ms
from whalestack.config import Settings

Team = Sequence[Settings]
"""The traders of one account."""
Replay = Callable[[Candles, int], Played]
"""Makes, of candles, a stretch that begins where the whole one does and ends at a moment: by its rules."""
Run = Callable[[Played, Team], Outcome]
"""Plays an account over a stretch."""

LOOKS = 8
"""Refreshes before a cut whose clusters are compared, besides the cut's own."""


@dataclass(frozen=True)
class Cut:
    """One cut: its moment and what was compared.

    Args:
        at_ms: market time.
        facts: triggers, clusters in the maps of some refreshes, rows of hit rates, over all coins.
        decisions: lines of all accounts.
        difference: the first that differs, None where all are the same.
    """

    at_ms: int
    facts: int
    decisions: int
    difference: str | None

    def line(self) -> str:
        """For people."""
        found = "all the same" if self.difference is None else self.difference
        return (
            f"  cut at {from_ms(self.at_ms):%Y-%m-%d %H:%M}: {self.decisions} decisions and "
            f"{self.facts} triggers, clusters and hit rates before it, {found}"
        )


@dataclass(frozen=True)
class LookaheadCheck:
    """What the cuts showed."""

    cuts: tuple[Cut, ...]

    @property
    def is_clean(self) -> bool:
        """Nothing differs."""
        return all(cut.difference is None for cut in self.cuts)

    def lines(self) -> list[str]:
        """For people."""
        found = "nothing knew what came later" if self.is_clean else "SOMETHING KNEW WHAT CAME LATER"
        return [f"look-ahead: {found}", *(cut.line() for cut in self.cuts)]

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {"is_clean": self.is_clean, "cuts": [asdict(cut) for cut in self.cuts]}


def check(
    candles: Candles,
    played: Played,
    teams: Sequence[Team],
    *,
    replay: Replay,
    run: Run,
    seed: int,
    cuts: int,
) -> LookaheadCheck:
    """Cut the candles at random moments, do everything anew on what is left, and compare.

    The candles themselves are cut, before anything is made of them: derived open interest, maps, records,
    thresholds and rankings are all made again.

    Args:
        candles: as read.
        played: made of the whole.
        teams: of each account.
        replay: how the stretch was made. The contracts stay what they were: what an exchange allows for a
            coin was known at any time.
        run: plays an account over a stretch.
        seed: of the moments.
        cuts: how many.
    """

    def decided(stretch: Played) -> list[Decisions]:
        return [run(stretch, team).decisions for team in teams]

    whole = decided(played)

    # A function of its own, so that one cut's maps are gone before the next one's are made.
    def compared(at_ms: int) -> Cut:
        part = replay(candles.until(at_ms), at_ms)
        facts = facts_of(played, at_ms)
        difference = first_difference(facts, facts_of(part, at_ms))
        lines = [each.until(at_ms) for each in whole]
        for team, ours, theirs in zip(teams, lines, decided(part), strict=True):
            other = first_difference(ours, theirs.until(at_ms))
            difference = difference or (f"{name_of(team)}: {other}" if other else None)
        return Cut(at_ms, len(facts), sum(map(len, lines)), difference)

    return LookaheadCheck(tuple(compared(at_ms) for at_ms in _moments(played, seed, cuts)))


def _moments(played: Played, seed: int, cuts: int) -> list[int]:
    """Random refreshes: between two of them no candle ends on which a decision could rest."""
    rng = random.Random(seed)  # noqa: S311 - repeatable, no secrets
    refresh_ms = next(iter(played.coins.values())).maps.rules.refresh_ms
    count = (played.end_ms - played.begin_ms) // refresh_ms
    return sorted(played.begin_ms + rng.randint(1, count - 1) * refresh_ms for _ in range(cuts))


def facts_of(played: Played, at_ms: int) -> list[str]:
    """What decisions before a moment rest on: every trigger, clusters as they stood, hit rates."""
    triggers = [
        f"{moment} trigger {symbol} {way:+d}" for moment, symbol, way in played.triggers if moment < at_ms
    ]
    coins = (each for each in played.coins.values() if each.first_refresh_ms < at_ms)
    clusters = [line for coin in coins for line in _clusters(coin, coin.refresh(at_ms))]
    return triggers + clusters + list(_hit_rates(played, at_ms))


def _hit_rates(played: Played, at_ms: int) -> Iterator[str]:
    """The daily tables made before a moment, the last ones, each row with its figures and its verdict."""
    last = played.tables.made_by(at_ms - 1)
    for day in _some_before(last, first=1):
        yield from (f"day {day} {row}" for row in played.tables.table(day))


def _clusters(coin: MappedCoin, last: int) -> Iterator[str]:
    """A coin's typical size and clusters at a refresh and at some before it, the nearer the more of them."""
    for refresh in _some_before(last):
        yield f"{coin.coin.symbol} refresh {refresh} typical {coin.maps.typical_usd(refresh)!r}"
        yield from (f"refresh {refresh} {cluster}" for cluster in coin.maps.standing(refresh))


def _some_before(last: int, first: int = 0) -> list[int]:
    """A number and some before it, the nearer the more of them."""
    return sorted({max(last - 2**each + 1, first) for each in range(LOOKS + 1)}) if last >= first else []


def first_difference(whole: Sequence[str], cut: Sequence[str]) -> str | None:
    """The first line that was not the same with and without what comes after a cut, None for none."""
    for number in range(max(len(whole), len(cut))):
        one = whole[number] if number < len(whole) else "(nothing)"
        other = cut[number] if number < len(cut) else "(nothing)"
        if one != other:
            return f"with the future: {one}; without: {other}"
    return None
