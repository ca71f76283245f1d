"""A whole backtest, from candles to report: what `whalestack backtest` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from whalestack.backtest.candles import Candles, read_folder
from whalestack.backtest.coin_maps import MapRules
from whalestack.backtest.lookahead import check
from whalestack.backtest.played_coins import Played, play
from whalestack.backtest.prepared import PreparedMarket, prepare
from whalestack.backtest.report import AgentReport, Report, make_agent_report, make_report
from whalestack.backtest.run import AccountRun
from whalestack.backtest.variants import title, traders
from whalestack.backtest.walk_forward import Fold, parse_tuning, walk_forward
from whalestack.config import Settings
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
    """The report, and what else was asked for: a line each, and as values."""

    report: Report
    notes: tuple[str, ...] = ()
    folds: tuple[Fold, ...] = ()
    lookahead: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Everything as plain values."""
        folds = [each.as_json() for each in self.folds]
        return {**self.report.as_json(), "walk_forward": folds, "lookahead": self.lookahead}


def backtest_of(request: Request, settings: Settings, stored: Candles | None = None) -> Result:
    """Play what is asked for.

    Args:
        request: see above.
        settings: of the scanners and the traders.
        stored: the candles of the database, where those are asked for.

    Raises:
        StopAndTell: no such candles, trader or setting.
    """
    candles = stored or read_folder(Path(request.source), request.symbols)
    begin_ms = request.begin_ms if request.begin_ms is not None else _first_ms(candles) + WARM_UP_MS
    end_ms = request.end_ms if request.end_ms is not None else 2**62
    market = prepared(candles, request, begin_ms)
    named = traders(request.agents, settings, tuple(market.coins))
    rules = MapRules(refresh_ms=settings.refresh_interval_s * 1000, as_live=request.maps_as_live)
    played = play(market, settings, begin_ms, end_ms, rules=rules)
    teams = [named] if request.together else [(each,) for each in named]
    fees = Fees()
    agents = [_agent(played, team, request, fees) for team in teams]
    report = make_report(request.source, candles, played, agents, fees)
    notes: list[str] = []
    lookahead: dict[str, Any] = {}
    if request.check_lookahead:
        found = check(candles, market, played, teams[0], settings, seed=request.seed, cuts=CUTS)
        notes += found.lines()
        lookahead = found.as_json()
    folds: Sequence[Fold] = ()
    if request.walk_forward:
        tuning = parse_tuning(request.tune, settings)
        folds = walk_forward(market, settings, teams[0], tuning, played, request.walk_forward, request.seed)
        notes += [each.line() for each in folds]
    return Result(report, tuple(notes), tuple(folds), lookahead)


def prepared(candles: Candles, request: Request, begin_ms: int) -> PreparedMarket:
    """The market with the contracts recorded beside its folder."""
    folder = None if request.source == DATABASE else Path(request.source).resolve().parent
    return prepare(
        candles,
        begin_ms=begin_ms,
        instruments_folder=None if folder is None else folder / "bybit_instruments",
        recorded_interest=request.recorded_interest,
    )


def _first_ms(candles: Candles) -> int:
    return min(int(coin.rows[candles.played_s].start_ms[0]) for coin in candles.coins)


def _agent(played: Played, team: Sequence[Settings], request: Request, fees: Fees) -> AgentReport:
    equity_usd = Decimal(repr(request.equity_usd))
    outcome = AccountRun(played, team, equity_usd=equity_usd, seed=request.seed, fees=fees).run()
    name = "+".join(each.autotrader_name for each in team) if len(team) > 1 else title(team[0])
    return make_agent_report(name, played, team, outcome, seed=request.seed, fees=fees)
