"""Why a coin is not traded now, from everything that would be asked if it triggered this second."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from whalestack.agents.desk import Desk
from whalestack.agents.guards import all_refusals
from whalestack.agents.plans import make_plan
from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.db import trading_inputs as inputs
from whalestack.db.engine import Database
from whalestack.errors import TryAgain
from whalestack.math.directions import as_direction
from whalestack.math.refusals import Refusal


@dataclass(frozen=True)
class PastSignal:
    """A signal of the coin and what became of it."""

    id: int
    triggered_at: datetime
    direction: str
    status: str
    reasons: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class WhyReport:
    """Everything that speaks against trading a coin now.

    Args:
        symbol: Bybit symbol.
        refusals: every "no", of the guards and of the plan; empty means it would be traded.
        rank, direction, dropped_reason: its place in the newest ranking.
        ages_s: how old each input is.
        signals: its latest, newest first.
        not_asked: what could not be found out, and why.
    """

    symbol: str
    refusals: tuple[Refusal, ...]
    rank: int | None
    direction: str | None
    dropped_reason: str | None
    ages_s: dict[str, float]
    signals: tuple[PastSignal, ...]
    not_asked: tuple[str, ...] = ()

    @property
    def would_trade(self) -> bool:
        """Whether a trigger now would lead to an order."""
        return not self.refusals and not self.not_asked


class Why:
    """Explains.

    Args:
        db: of this process.
        settings: the limits.
        clock: market time.
        desk: the same inputs that the autotrader decides from.
    """

    def __init__(self, *, db: Database, settings: Settings, clock: Clock, desk: Desk) -> None:
        self._db = db
        self._settings = settings
        self._clock = clock
        self._desk = desk

    def explain(self, symbol: str) -> WhyReport:
        """All reasons against a trade of `symbol` now; changes nothing and sends nothing."""
        with self._db.begin() as work:
            ranking = inputs.latest_ranking(work.session, symbol)
            past = inputs.latest_signals(work.session, symbol)
        refusals: list[Refusal] = []
        ages: dict[str, float] = {}
        not_asked: tuple[str, ...] = ()
        try:
            refusals, ages = self._ask(symbol, ranking.direction if ranking is not None else None)
        except TryAgain as error:
            not_asked = (str(error),)
        if ranking is None or ranking.rank is None:
            reason = ranking.dropped_reason if ranking is not None else None
            refusals.insert(0, Refusal("not_ranked", reason or "it is in no ranking yet"))
        return WhyReport(
            symbol=symbol,
            refusals=tuple(refusals),
            rank=ranking.rank if ranking is not None else None,
            direction=ranking.direction if ranking is not None else None,
            dropped_reason=ranking.dropped_reason if ranking is not None else None,
            ages_s=ages,
            signals=tuple(
                PastSignal(each.id, each.triggered_at, each.direction, each.status, tuple(each.reasons))
                for each in past
            ),
            not_asked=not_asked,
        )

    def _ask(self, symbol: str, ranked: str | None) -> tuple[list[Refusal], dict[str, float]]:
        look = self._desk.look(symbol)
        state = look.state
        refusals = list(all_refusals(state))
        if state.coin is None or state.tick is None:
            return refusals, {}
        freshness = self._desk.freshness(look.known, state.tick)
        if freshness.stale:
            text = f"too old or absent, made anew before a trade: {', '.join(freshness.stale)}"
            refusals.append(Refusal("stale_inputs", text))
        if ranked in ("LONG", "SHORT"):
            planned = make_plan(
                self._desk.plan_inputs(as_direction(ranked), state.coin, state.tick, look), self._settings
            )
            if isinstance(planned, Refusal):
                refusals.append(planned)
        return refusals, dict(freshness.ages_s)
