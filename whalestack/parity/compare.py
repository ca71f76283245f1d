"""One stretch of a recorded market, through the running system and through the backtest."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path
from typing import Any

from whalestack.backtest.candles import read_folder
from whalestack.backtest.coin_maps import MapRules
from whalestack.backtest.command import Request, prepared
from whalestack.backtest.decisions import Decisions
from whalestack.backtest.played_coins import Played, play
from whalestack.backtest.prepared import PreparedMarket
from whalestack.backtest.run import AccountRun
from whalestack.backtest.series import POINT_MS
from whalestack.clock import from_ms
from whalestack.config import Settings
from whalestack.errors import StopAndTell
from whalestack.parity.maps_apart import RangeApart, clusters_shared_pct, ranges_apart
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
            # The walk does not make the daily table of hit rates, so neither side looks at one.
            "TRADE_UNPROVEN": "true",
            "AUTOTRADERS": ", ".join(f"{name}:{name.upper()}" for name in self.agents),
            **dict(self.values),
        }


@dataclass(frozen=True)
class OtherMaps:
    """The backtest with maps that are not the running system's.

    Args:
        decisions: line by line.
        clusters_shared_pct: how many of the clusters of the running system's maps these have, None of none.
    """

    decisions: Decisions
    clusters_shared_pct: float | None


@dataclass(frozen=True)
class Comparison:
    """What both decided.

    Args:
        system, backtest: line by line; both with the running system's maps.
        own_maps: the backtest with the maps that it makes itself, in one pass.
        as_live: the same with those of `--maps-as-live`.
        ranges: how far the maps of `as_live` lie from the running system's, range by range.
        failed: what tasks of the running system ended with an error.
        seconds_played: market time.
    """

    system: Decisions
    backtest: Decisions
    own_maps: OtherMaps
    as_live: OtherMaps
    ranges: tuple[RangeApart, ...]
    failed: tuple[str, ...]
    seconds_played: float

    @property
    def is_equal(self) -> bool:
        """Whether both decided the same, line by line, and nothing broke."""
        return self.system.digest() == self.backtest.digest() and not self.failed

    @property
    def equal_lines(self) -> int:
        """How many lines stand on both sides."""
        return shared_lines(self.system, self.backtest)

    def differences(self, most: int = 20) -> list[tuple[str, str]]:
        """The first lines that stand on one side only: (running system, backtest)."""
        ours, theirs = Counter(self.system.lines), Counter(self.backtest.lines)
        only_ours, only_theirs = (
            Decisions(list(each.elements())).ordered() for each in (ours - theirs, theirs - ours)
        )
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
            "own_maps": self._apart(self.own_maps),
            "maps_as_live": {**self._apart(self.as_live), "ranges": [asdict(each) for each in self.ranges]},
            "failed_tasks": list(self.failed),
            "market_seconds": self.seconds_played,
        }

    def _apart(self, other: OtherMaps) -> dict[str, Any]:
        return {
            "digest": other.decisions.digest(),
            "equal_lines": shared_lines(self.system, other.decisions),
            "clusters_shared_pct": other.clusters_shared_pct,
        }


def compare(stretch: Stretch, run_dir: Path) -> Comparison:
    """Play a stretch twice.

    Args:
        stretch: which.
        run_dir: for the system's stores and logs, empty or new.

    Raises:
        StopAndTell: the stretch cannot be played, or the folder holds something.
    """
    market = _market(stretch)
    if run_dir.exists() and any(run_dir.iterdir()):
        raise StopAndTell(f"{run_dir} is not empty")
    with stepped_system(run_dir, start_ms=stretch.warm_up_ms, values=stretch.settings()) as system:
        walk = Walk(system, market)
        walk.warm_up(stretch.begin_ms)
        walk.begin(stretch.begin_ms)
        for now_ms in range(stretch.begin_ms + POINT_MS, stretch.end_ms, POINT_MS):
            walk.step_to(now_ms)
        system_side, settings, failed = decisions_of(system), system.settings, tuple(system.idle.failed)
    # The backtest's last refresh is the moment of the end, at which nobody acts any more.
    maker = maker_of([*walk.rounds, walk.rounds[-1]])
    same_maps = play(market, settings, stretch.begin_ms, stretch.end_ms, make_maps=maker)

    def other(as_live: bool) -> tuple[OtherMaps, Played]:
        rules = MapRules(refresh_ms=settings.refresh_interval_s * 1000, as_live=as_live)
        played = play(market, settings, stretch.begin_ms, stretch.end_ms, rules=rules)
        shared_pct = clusters_shared_pct(same_maps.coins, played.coins)
        return OtherMaps(_decided(played, settings), shared_pct), played

    (own_maps, _), (as_live, live) = other(False), other(True)
    return Comparison(
        system=system_side,
        backtest=_decided(same_maps, settings),
        own_maps=own_maps,
        as_live=as_live,
        ranges=ranges_apart(walk.rounds, live),
        failed=failed,
        seconds_played=(stretch.end_ms - stretch.begin_ms) / 1000,
    )


def shared_lines(one: Decisions, other: Decisions) -> int:
    """How many lines stand on both sides."""
    return (Counter(one.lines) & Counter(other.lines)).total()


def _market(stretch: Stretch) -> PreparedMarket:
    candles = read_folder(stretch.folder, stretch.symbols)
    request = Request(source=str(stretch.folder), symbols=stretch.symbols)
    # Derived open interest rests on what had closed when the market started to play.
    market = prepared(candles, request, stretch.warm_up_ms)
    _check(stretch, market)
    return market


def _check(stretch: Stretch, market: PreparedMarket) -> None:
    refresh_ms = round(float(dict(stretch.values).get("REFRESH_INTERVAL_S", "300")) * 1000)
    if stretch.begin_ms % refresh_ms or stretch.end_ms % refresh_ms or stretch.begin_ms >= stretch.end_ms:
        raise StopAndTell(f"the stretch must begin and end at whole {refresh_ms // 1000} s, and not be empty")
    first_ms = max(coin.series.start_ms for coin in market.coins.values())
    last_ms = min(coin.series.end_ms for coin in market.coins.values())
    if stretch.warm_up_ms < first_ms or stretch.end_ms > last_ms:
        span = f"{from_ms(first_ms + WARM_UP_MS):%Y-%m-%d %H:%M} to {from_ms(last_ms):%Y-%m-%d %H:%M} UTC"
        raise StopAndTell(f"these coins can be compared from {span}")


def _decided(played: Played, settings: Settings) -> Decisions:
    equity_usd = Decimal(repr(settings.simulator_equity_usd))
    run = AccountRun(played, settings.of_traders(), equity_usd=equity_usd, seed=settings.simulator_seed)
    return run.run().decisions
