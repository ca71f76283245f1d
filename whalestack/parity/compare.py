"""One stretch of a recorded market, through the running system and through the backtest."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path
from typing import Any

from whalestack.backtest.candles import read_folder
from whalestack.backtest.command import Request, prepared
from whalestack.backtest.decisions import Decisions
from whalestack.backtest.played_coins import play
from whalestack.backtest.prepared import PreparedMarket
from whalestack.backtest.run import AccountRun
from whalestack.backtest.series import POINT_MS
from whalestack.config import Settings
from whalestack.db.heatmap_rows import StoredMap
from whalestack.errors import StopAndTell
from whalestack.parity.record import decisions_of
from whalestack.parity.stored_maps import maker_of
from whalestack.parity.system import stepped_system
from whalestack.parity.walk import Walk

WARM_UP_MS = 20 * 60_000
"""Price points heard before the stretch: the longest window of the triggers is a quarter of an hour."""
STRATEGIES = ("conservative", "aggressive", "reversal")


@dataclass(frozen=True)
class Stretch:
    """What is played.

    Args:
        folder: recorded candles.
        symbols: which coins.
        begin_ms, end_ms: market time, whole refreshes.
        agents: strategies; each is a trader of that name, all on one account.
        values: further settings of both sides by their names in `.env`.
    """

    folder: Path
    symbols: tuple[str, ...]
    begin_ms: int
    end_ms: int
    agents: tuple[str, ...] = ("conservative",)
    values: tuple[tuple[str, str], ...] = ()

    @property
    def warm_up_ms(self) -> int:
        """Where the market starts to play."""
        return self.begin_ms - WARM_UP_MS

    def settings(self) -> dict[str, str]:
        """Of the run, by their names in `.env`."""
        unknown = sorted(set(self.agents) - set(STRATEGIES))
        if unknown or not self.agents:
            raise StopAndTell(f"no strategy {', '.join(unknown)}; there are {', '.join(STRATEGIES)}")
        return {
            "SIMULATOR_MARKET": f"recorded:{self.folder.resolve()}",
            "SIMULATOR_SYMBOLS": ",".join(self.symbols),
            "SIMULATOR_WARM_MAPS": "false",
            "HEATMAP_SOURCE": "model",
            "TICK_SPACING_S": str(POINT_MS // 1000),
            "X_KINDS": "",
            "AUTOTRADERS": ", ".join(f"{name}:{name.upper()}" for name in self.agents),
            **dict(self.values),
        }


@dataclass(frozen=True)
class Comparison:
    """What both decided.

    Args:
        system, backtest: line by line.
        failed: what tasks of the running system ended with an error.
        seconds_played: market time.
    """

    system: Decisions
    backtest: Decisions
    failed: tuple[str, ...]
    seconds_played: float

    @property
    def is_equal(self) -> bool:
        """Whether both decided the same, line by line, and nothing broke."""
        return self.system.digest() == self.backtest.digest() and not self.failed

    @property
    def equal_lines(self) -> int:
        """How many lines stand on both sides."""
        left = list(self.backtest.lines)
        return sum(1 for line in self.system.lines if _take(left, line))

    def differences(self, most: int = 20) -> list[tuple[str, str]]:
        """The first lines that stand on one side only: (running system, backtest)."""
        ours, theirs = self.system.ordered(), self.backtest.ordered()
        only_ours, only_theirs = list(ours), list(theirs)
        for line in ours:
            _take(only_theirs, line)
        for line in theirs:
            _take(only_ours, line)
        return list(zip_longest(only_ours, only_theirs, fillvalue=""))[:most]

    def as_json(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {
            "equal": self.is_equal,
            "system_digest": self.system.digest(),
            "backtest_digest": self.backtest.digest(),
            "equal_lines": self.equal_lines,
            "system": self.system.ordered(),
            "backtest": self.backtest.ordered(),
            "failed_tasks": list(self.failed),
            "market_seconds": self.seconds_played,
        }


def compare(stretch: Stretch, run_dir: Path) -> Comparison:
    """Play a stretch twice.

    Args:
        stretch: which.
        run_dir: for the system's stores and logs; what an earlier run left there is removed.

    Raises:
        StopAndTell: the stretch cannot be played.
    """
    market = _market(stretch)
    shutil.rmtree(run_dir, ignore_errors=True)
    with stepped_system(run_dir, start_ms=stretch.warm_up_ms, values=stretch.settings()) as system:
        walk = Walk(system, market)
        walk.warm_up(stretch.begin_ms)
        walk.begin(stretch.begin_ms)
        for now_ms in _points(stretch):
            walk.step_to(now_ms)
        live, settings, failed = decisions_of(system), system.settings, tuple(system.idle.failed)
    return Comparison(
        system=live,
        backtest=_backtest(stretch, market, settings, walk.rounds),
        failed=failed,
        seconds_played=(stretch.end_ms - stretch.begin_ms) / 1000,
    )


def _market(stretch: Stretch) -> PreparedMarket:
    candles = read_folder(stretch.folder, stretch.symbols)
    request = Request(source=str(stretch.folder), symbols=stretch.symbols)
    # Derived open interest rests on what had closed when the market started to play.
    return prepared(candles, request, stretch.warm_up_ms)


def _points(stretch: Stretch) -> Iterator[int]:
    yield from range(stretch.begin_ms + POINT_MS, stretch.end_ms, POINT_MS)


def _backtest(
    stretch: Stretch, market: PreparedMarket, settings: Settings, rounds: list[list[StoredMap]]
) -> Decisions:
    # The last refresh of the stretch is the moment of its end, which nobody acts on any more.
    played = play(
        market, settings, stretch.begin_ms, stretch.end_ms, make_maps=maker_of([*rounds, rounds[-1]])
    )
    equity_usd = Decimal(repr(settings.simulator_equity_usd))
    traders = settings.of_traders()
    return AccountRun(played, traders, equity_usd=equity_usd, seed=settings.simulator_seed).run().decisions


def _take(lines: list[str], line: str) -> bool:
    """Remove a line if it is there."""
    if line not in lines:
        return False
    lines.remove(line)
    return True
