"""A whole backtest, from candles to report: what `whalestack backtest` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from whalestack.backtest.candles import Candles, read_folder
from whalestack.backtest.coin_maps import MapRules
from whalestack.backtest.lookahead import LookaheadCheck, Team, check
from whalestack.backtest.played_coins import Played, play
from whalestack.backtest.prepared import PreparedMarket, prepare
from whalestack.backtest.report import Report, make_agent_report, make_report
from whalestack.backtest.run import AccountRun, Outcome
from whalestack.backtest.variants import name_of, traders
from whalestack.backtest.walk_forward import Fold, out_of_sample, parse_tuning, walk_forward
from whalestack.config import Settings
from whalestack.errors import StopAndTell
from whalestack.simulator.exchange.state import Fees

DATABASE = "db"
WARM_UP_MS = 2 * 3_600_000
"""Without a moment to begin at, so much is left for the windows of the triggers to fill."""
CUTS = 5


@dataclass(frozen=True)
class Request:
    """What is asked for; see `whalestack backtest --help`."""

    source: str
    begin_ms: int | None = None
    end_ms: int | None = None
    agents: tuple[str, ...] = ("conservative",)
    symbols: tuple[str, ...] = ()
    together: bool = False
    equity_usd: float = 10_000.0
    seed: int = 7
    recorded_interest: bool = False
    maps_as_live: bool = False
    check_lookahead: bool = False
    walk_forward: int = 0
    tune: str = ""


@dataclass(frozen=True, eq=False)
class Result:
    """The report, and what else was asked for."""

    report: Report
    folds: tuple[Fold, ...] = ()
    lookahead: LookaheadCheck | None = None

    @property
    def notes(self) -> list[str]:
        """Lines for people about what else was asked for."""
        checked = self.lookahead.lines() if self.lookahead is not None else []
        return [*checked, *(each.line() for each in self.folds), *out_of_sample(self.folds)]

    def as_json(self) -> dict[str, Any]:
        """Everything as plain values."""
        folds = [each.as_json() for each in self.folds]
        checked = self.lookahead.as_json() if self.lookahead is not None else {}
        return {**self.report.as_json(), "walk_forward": folds, "lookahead": checked}


def backtest_of(request: Request, settings: Settings, stored: Candles | None = None) -> Result:
    """Play what is asked for.

    Args:
        request: see above.
        settings: of the scanners and the traders.
        stored: the candles of the database, where those are asked for.

    Raises:
        StopAndTell: no such candles, trader or setting.
    """
    # A mistake here is told before minutes of work.
    tuning = parse_tuning(request.tune, settings) if request.walk_forward or request.tune else None
    if tuning is not None and not request.walk_forward:
        raise StopAndTell("--tune needs --walk-forward N")
    candles = stored or read_folder(Path(request.source), request.symbols)
    begin_ms = request.begin_ms if request.begin_ms is not None else _first_ms(candles) + WARM_UP_MS
    market = prepared(candles, request, begin_ms)
    scene = _Scene(request, settings, candles, market, begin_ms)
    named = traders(request.agents, settings, tuple(market.coins))
    teams = [named] if request.together else [(each,) for each in named]
    played = scene.play(begin_ms, request.end_ms if request.end_ms is not None else 2**62)
    folds: tuple[Fold, ...] = ()
    if tuning is not None:
        parts = request.walk_forward
        folds = walk_forward(played, teams, tuning, parts, replay=scene.play, run=scene.run)
    lookahead = scene.lookahead(played, teams) if request.check_lookahead else None
    return Result(scene.report(played, teams), folds, lookahead)


@dataclass(frozen=True, eq=False)
class _Scene:
    """Everything that a stretch is played by, so that it can be played again, cut or in parts."""

    request: Request
    settings: Settings
    candles: Candles
    market: PreparedMarket
    begin_ms: int
    fees: Fees = field(default_factory=Fees)

    def play(self, first_ms: int, last_ms: int, market: PreparedMarket | None = None) -> Played:
        """From one moment to another."""
        refresh_ms = self.settings.refresh_interval_s * 1000
        rules = MapRules(refresh_ms=refresh_ms, as_live=self.request.maps_as_live)
        return play(market or self.market, self.settings, first_ms, last_ms, rules=rules)

    def lookahead(self, played: Played, teams: Sequence[Team]) -> LookaheadCheck:
        """See `whalestack.backtest.lookahead`."""

        def again(known: Candles, until_ms: int) -> Played:
            contracts = self.market.instruments
            cut = prepared(known, self.request, self.begin_ms, contracts=contracts)
            return self.play(self.begin_ms, until_ms, cut)

        return check(
            self.candles, played, teams, replay=again, run=self.run, seed=self.request.seed, cuts=CUTS
        )

    def run(self, stretch: Played, team: Team) -> Outcome:
        """One account, flat at the beginning."""
        return AccountRun(
            stretch,
            team,
            equity_usd=Decimal(repr(self.request.equity_usd)),
            seed=self.request.seed,
            fees=self.fees,
        ).run()

    def report(self, played: Played, teams: Sequence[Team]) -> Report:
        """What each account came to."""
        seed, fees = self.request.seed, self.fees
        agents = [
            make_agent_report(name_of(team), played, team, self.run(played, team), seed=seed, fees=fees)
            for team in teams
        ]
        return make_report(self.request.source, self.candles, played, agents, fees)


def prepared(
    candles: Candles,
    request: Request,
    begin_ms: int,
    *,
    contracts: Mapping[str, dict[str, Any]] | None = None,
) -> PreparedMarket:
    """The market with the contracts recorded beside its folder, or with contracts that are known."""
    folder = None if request.source == DATABASE else Path(request.source).resolve().parent
    return prepare(
        candles,
        begin_ms=begin_ms,
        instruments_folder=None if folder is None else folder / "bybit_instruments",
        contracts=contracts,
        recorded_interest=request.recorded_interest,
    )


def _first_ms(candles: Candles) -> int:
    return min(int(coin.rows[candles.played_s].start_ms[0]) for coin in candles.coins)
