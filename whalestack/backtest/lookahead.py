"""Whether any decision knew what came after it: the data is cut, the decisions before it compared."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from whalestack.backtest.candles import Candles
from whalestack.backtest.played_coins import Played, play
from whalestack.backtest.prepared import PreparedMarket, prepare
from whalestack.backtest.run import AccountRun
from whalestack.clock import from_ms
from whalestack.config import Settings


@dataclass(frozen=True)
class Cut:
    """One cut: its moment, how many decisions stand before it, and the first that differs, or None."""

    at_ms: int
    decisions: int
    difference: str | None


@dataclass(frozen=True)
class LookaheadCheck:
    """What the cuts showed."""

    cuts: tuple[Cut, ...]

    @property
    def is_clean(self) -> bool:
        """No decision differs."""
        return all(cut.difference is None for cut in self.cuts)

    def lines(self) -> list[str]:
        """For people."""
        found = "no decision knew what came later" if self.is_clean else "DECISIONS DIFFER"
        return [
            f"look-ahead: {found}",
            *(
                f"  cut at {from_ms(cut.at_ms):%Y-%m-%d %H:%M}: {cut.decisions} decisions before it, "
                f"{'all the same' if cut.difference is None else cut.difference}"
                for cut in self.cuts
            ),
        ]

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {"is_clean": self.is_clean, "cuts": [asdict(cut) for cut in self.cuts]}


def check(
    candles: Candles,
    market: PreparedMarket,
    played: Played,
    traders: Sequence[Settings],
    settings: Settings,
    *,
    seed: int,
    cuts: int,
) -> LookaheadCheck:
    """Cut the candles at random moments, do everything anew on what is left, and compare.

    The candles themselves are cut, before anything is made of them: derived open interest, maps, records,
    thresholds and rankings are all made again. Only the contracts stay what they were.

    Args:
        candles: as read.
        market, played: made of the whole.
        traders: of one account.
        settings: of the scanners.
        seed: of the moments and of the exchange.
        cuts: how many.
    """
    whole = AccountRun(played, traders, seed=seed).run().decisions
    rng = random.Random(seed)  # noqa: S311 - repeatable, no secrets
    refresh_ms = settings.refresh_interval_s * 1000
    count = (played.end_ms - played.begin_ms) // refresh_ms
    moments = sorted(played.begin_ms + rng.randint(1, count - 1) * refresh_ms for _ in range(cuts))
    found = []
    for at_ms in moments:
        known = prepare(candles.until(at_ms), begin_ms=played.begin_ms, contracts=market.instruments)
        part = play(known, settings, played.begin_ms, at_ms)
        cut = AccountRun(part, traders, seed=seed).run().decisions
        found.append(compare(whole.until(at_ms), cut.until(at_ms), at_ms))
    return LookaheadCheck(tuple(found))


def compare(whole: Sequence[str], cut: Sequence[str], at_ms: int) -> Cut:
    """The decisions before a cut, made with and without what comes after it."""
    for number in range(max(len(whole), len(cut))):
        one = whole[number] if number < len(whole) else "(nothing)"
        other = cut[number] if number < len(cut) else "(nothing)"
        if one != other:
            return Cut(at_ms, len(whole), f"with the future: {one}; without: {other}")
    return Cut(at_ms, len(whole), None)
