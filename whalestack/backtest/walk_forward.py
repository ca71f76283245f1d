"""Walk-forward: a setting is chosen on the past alone, and judged on what comes next.

The stretch is cut into N + 1 parts of equal length. For each of the last N parts, every value is tried
on all the parts before it, the one with the best profit wins (the first one, where they are equal), and
only its result on the part itself counts. Every part begins with a flat account.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from whalestack.backtest.played_coins import Played, play
from whalestack.backtest.prepared import PreparedMarket
from whalestack.backtest.run import AccountRun, Outcome
from whalestack.clock import from_ms
from whalestack.config import Settings
from whalestack.errors import StopAndTell

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
    """One part: what was chosen on the past, what it earned there, and what it came to, per cent."""

    setting: str
    begin_ms: int
    end_ms: int
    chosen: float
    past_pct: float
    pnl_pct: float
    trades: int

    def line(self) -> str:
        """For people."""
        return (
            f"walk-forward {from_ms(self.begin_ms):%m-%d %H:%M} to {from_ms(self.end_ms):%m-%d %H:%M}: "
            f"{self.setting}={self.chosen:g} was best before ({self.past_pct:+.2f} %), "
            f"then {self.pnl_pct:+.2f} % in {self.trades} trades"
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
    market: PreparedMarket,
    settings: Settings,
    traders: Sequence[Settings],
    tuning: Tuning,
    whole: Played,
    parts: int,
    seed: int,
) -> tuple[Fold, ...]:
    """Choose on the past and judge on what follows, part by part."""
    length_ms = (whole.end_ms - whole.begin_ms) // (parts + 1)
    folds = []
    for part in range(1, parts + 1):
        begin_ms, end_ms = (whole.begin_ms + each * length_ms for each in (part, part + 1))
        past = play(market, settings, whole.begin_ms, begin_ms)
        tried = [
            (_pnl_pct(_run(past, traders, tuning.setting, value, seed)), value) for value in tuning.values
        ]
        past_pct, chosen = max(tried, key=lambda pair: pair[0])
        outcome = _run(play(market, settings, begin_ms, end_ms), traders, tuning.setting, chosen, seed)
        folds.append(
            Fold(tuning.setting, begin_ms, end_ms, chosen, past_pct, _pnl_pct(outcome), len(outcome.trades))
        )
    return tuple(folds)


def _run(played: Played, traders: Sequence[Settings], setting: str, value: float, seed: int) -> Outcome:
    changed = [each.model_copy(update={setting: value}) for each in traders]
    return AccountRun(played, changed, seed=seed).run()


def _pnl_pct(outcome: Outcome) -> float:
    return (outcome.end_usd / outcome.start_usd - 1) * 100
