"""Walk-forward: a setting is chosen on the past alone, and judged on what comes next.

The stretch is cut into N + 1 parts of equal length. For each of the last N parts, every value is tried
on all the parts before it, the one with the best profit wins (the first one, where they are equal), and
only its result on the part itself counts. Every part begins with a flat account and with no verdicts on
clusters; the candles before it fill the model and teach thresholds and wicks, as at any beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any

from whalestack.backtest.played_coins import Played
from whalestack.backtest.run import Outcome
from whalestack.backtest.variants import name_of
from whalestack.clock import from_ms
from whalestack.config import Settings
from whalestack.errors import StopAndTell

Replay = Callable[[int, int], Played]
"""Plays from one moment to another."""
Run = Callable[[Played, Sequence[Settings]], Outcome]
"""Plays the traders of an account over a stretch."""

TUNABLE = (
    "entry_offset_pct",
    "entry_wait_s",
    "stop_min_pct",
    "stop_max_pct",
    "stop_beyond_cluster_pct",
    "risk_per_trade_pct",
    "max_leverage",
    "cooldown_after_stop_s",
    "max_open_positions",
)


@dataclass(frozen=True)
class Tuning:
    """A trader's setting and the values that are tried."""

    setting: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Fold:
    """One part: what was chosen on the past, and what it came to afterwards.

    Args:
        account: whose setting.
        setting: its name.
        begin_ms, end_ms: the part; the past is everything of the stretch before it.
        chosen: the value that earned most on the past.
        past_pct: what it earned there, per cent of the equity: the figure that flatters.
        pnl_pct, trades: what it came to in the part, which nothing was chosen by.
        kept_pct: what the setting as it stands came to in the part, untuned.
    """

    account: str
    setting: str
    begin_ms: int
    end_ms: int
    chosen: float
    past_pct: float
    pnl_pct: float
    trades: int
    kept_pct: float

    def line(self) -> str:
        """For people."""
        return (
            f"walk-forward {from_ms(self.begin_ms):%m-%d %H:%M} to {from_ms(self.end_ms):%m-%d %H:%M}, "
            f"{self.account}: {self.setting}={self.chosen:g} was best before ({self.past_pct:+.2f} %), "
            f"then {self.pnl_pct:+.2f} % in {self.trades} trades; untuned {self.kept_pct:+.2f} %"
        )

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return dict(vars(self))


def parse_tuning(text: str, settings: Settings) -> Tuning:
    """Read `entry_offset_pct=1,2,3`.

    Raises:
        StopAndTell: no such setting, or no numbers.
    """
    name, _, values = text.partition("=")
    name = name.strip().lower()
    if name not in TUNABLE:
        raise StopAndTell(f"--walk-forward needs --tune SETTING=VALUES; settings are {', '.join(TUNABLE)}")
    kind = type(getattr(settings, name))
    try:
        return Tuning(name, tuple(kind(float(each)) for each in values.split(",")))
    except ValueError as error:
        raise StopAndTell(f"--tune {text}: {error}") from error


def walk_forward(
    whole: Played,
    teams: Sequence[Sequence[Settings]],
    tuning: Tuning,
    parts: int,
    *,
    replay: Replay,
    run: Run,
) -> tuple[Fold, ...]:
    """Choose on the past and judge on what follows, part by part.

    Args:
        whole: the stretch.
        teams: of each account; every account chooses for itself.
        tuning: what is tried.
        parts: how many are judged.
        replay: plays a part of the stretch by the rules of the whole.
        run: plays an account over a stretch, from a flat beginning.

    Raises:
        StopAndTell: the stretch is too short for so many parts.
    """

    folds = []
    for begin_ms, end_ms in _parts(whole, parts):
        past, part = replay(whole.begin_ms, begin_ms), replay(begin_ms, end_ms)
        for team in teams:
            tried = [(_pnl_pct(run(past, _changed(team, tuning, each))), each) for each in tuning.values]
            past_pct, chosen = max(tried, key=lambda pair: pair[0])
            outcome, kept = run(part, _changed(team, tuning, chosen)), run(part, team)
            folds.append(
                Fold(
                    account=name_of(team),
                    setting=tuning.setting,
                    begin_ms=begin_ms,
                    end_ms=end_ms,
                    chosen=chosen,
                    past_pct=past_pct,
                    pnl_pct=_pnl_pct(outcome),
                    trades=len(outcome.trades),
                    kept_pct=_pnl_pct(kept),
                )
            )
    return tuple(folds)


def out_of_sample(folds: Sequence[Fold]) -> list[str]:
    """A line for each account: the parts together, one after the other, and the same untuned."""
    by_account: dict[str, list[Fold]] = {}
    for fold in folds:
        by_account.setdefault(fold.account, []).append(fold)
    return [
        f"out of sample, {account}: {_compounded([each.pnl_pct for each in own]):+.2f} % in "
        f"{sum(each.trades for each in own)} trades of {len(own)} parts; "
        f"untuned {_compounded([each.kept_pct for each in own]):+.2f} %"
        for account, own in by_account.items()
    ]


def _parts(whole: Played, parts: int) -> list[tuple[int, int]]:
    """Beginning and end of the parts that are judged: whole refreshes, one after the other."""
    refresh_ms = next(iter(whole.coins.values())).maps.rules.refresh_ms
    length_ms = (whole.end_ms - whole.begin_ms) // refresh_ms // (parts + 1) * refresh_ms
    if not length_ms:
        raise StopAndTell(f"{parts + 1} parts of this stretch are shorter than {refresh_ms // 1000} s")
    ends = [whole.end_ms - (parts - part) * length_ms for part in range(parts + 1)]
    return list(pairwise(ends))


def _changed(team: Sequence[Settings], tuning: Tuning, value: float) -> list[Settings]:
    return [each.model_copy(update={tuning.setting: value}) for each in team]


def _pnl_pct(outcome: Outcome) -> float:
    return (outcome.end_usd / outcome.start_usd - 1) * 100


def _compounded(results_pct: Sequence[float]) -> float:
    return (prod(1 + each / 100 for each in results_pct) - 1) * 100
