"""Gathering what a decision needs: the guards' state and a plan's inputs, from every side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from whalestack.agents.account import AccountFigures, account_figures
from whalestack.agents.guards import GuardState
from whalestack.agents.kill_switch import KillSwitch
from whalestack.agents.patience import Patience, at_least_real
from whalestack.agents.plan_inputs import PlanInputs
from whalestack.agents.plans import trade_direction
from whalestack.agents.targets import considered_ranges
from whalestack.agents.trading_gate import read_gate
from whalestack.clients.bybit.port import ExchangePort
from whalestack.clients.bybit.types import FeeRates
from whalestack.clock import Clock, from_ms
from whalestack.config import Settings
from whalestack.db import trading_inputs as inputs
from whalestack.db.accuracy_store import rows_about
from whalestack.db.engine import Database
from whalestack.db.live import LiveMarket, LiveTick
from whalestack.db.models import Coin, CoinLiquidationPattern, CoinThreshold, LiquidationCluster
from whalestack.db.pattern_store import hourly_wicks
from whalestack.math.accuracy_table import AccuracyRow, unproven_ranges
from whalestack.math.directions import Direction, target_side
from whalestack.math.timeframes import TIMEFRAMES
from whalestack.math.wicks import WickStatistics
from whalestack.scanners.coin_history import WICK_LOOKBACK, WICK_QUANTILE

JUST_HIT_WITHIN = timedelta(minutes=15)
MAPS_COUNT_FOR = timedelta(days=1)
FEES_KEPT_FOR = timedelta(hours=1)
TICK_REAL_S = 3.0


@dataclass(frozen=True)
class Freshness:
    """How old each input of a plan is, market seconds. `stale` names what has to be made anew first:
    maps, the coin's record, its thresholds. The rest are those inputs, for the plan."""

    ages_s: Mapping[str, float]
    stale: tuple[str, ...]
    map_times: dict[str, datetime]
    record: dict[str, CoinLiquidationPattern]
    threshold: CoinThreshold | None


class Desk:
    """Reads for the autotrader and for `why`.

    Args:
        db: of this process.
        exchange: wallet, positions and fees.
        live: prices.
        settings: limits.
        clock: market time.
        kill_switch: its state is one of the guards' inputs.
    """

    def __init__(
        self,
        *,
        db: Database,
        exchange: ExchangePort,
        live: LiveMarket,
        settings: Settings,
        clock: Clock,
        kill_switch: KillSwitch,
    ) -> None:
        self._db = db
        self._exchange = exchange
        self._live = live
        self._settings = settings
        self._clock = clock
        self._kill_switch = kill_switch
        self._patience = Patience.from_settings(settings, clock)
        self._tick_max_age = at_least_real(clock, settings.stale_tick_s, TICK_REAL_S)
        self._fees: dict[str, tuple[datetime, FeeRates]] = {}
        # The exchange is far away: what it is asked for one decision is asked all at once. Each
        # thread keeps its connection.
        self._asking = ThreadPoolExecutor(3, thread_name_prefix="desk")
        self._asked_fees: dict[str, Future[FeeRates]] = {}

    def guard_state(self, symbol: str) -> GuardState:
        """The state of things for the guards.

        Raises:
            TryAgain: the exchange or a store is away; that says nothing against the coin.
        """
        asked_wallet = self._asking.submit(self._exchange.wallet)
        asked_positions = self._asking.submit(self._exchange.positions)
        self._ask_fee_rates(symbol)
        tick, kill = self._live.get(symbol), self._kill_switch.state()
        # Both answers before the rows: what fills in between is then in the rows.
        wallet, positions, now = asked_wallet.result(), asked_positions.result(), self._clock.now()
        with self._db.begin() as work:
            return GuardState(
                symbol=symbol,
                now=now,
                settings=self._settings,
                kill=kill,
                gate=read_gate(work.session),
                gate_max_age=self._patience.reconciled_within,
                coin=inputs.coin(work.session, symbol),
                tick=tick,
                tick_max_age=self._tick_max_age,
                account=account_figures(
                    work.session,
                    wallet=wallet,
                    positions=positions,
                    agent_name=self._settings.autotrader_name,
                    settings=self._settings,
                    now=now,
                ),
            )

    def freshness(self, symbol: str, tick: LiveTick) -> Freshness:
        """How old the maps, the record and the price of a coin are."""
        now = self._clock.now()
        with self._db.begin() as work:
            times = inputs.map_times(work.session, symbol, now - MAPS_COUNT_FOR)
            record = inputs.patterns(work.session, symbol)
            threshold = inputs.threshold(work.session, symbol)
            can_have_record = bool(record) or inputs.has_clusters(work.session, symbol)
        needed = considered_ranges(record, [each for each in TIMEFRAMES if each in times], self._settings)
        ages = {f"map_{each}": (now - times[each]).total_seconds() for each in needed}
        stale = [name for name, age in ages.items() if age > self._settings.heatmap_max_age_s]
        ages["price"] = (now - from_ms(tick.ts_ms)).total_seconds()
        if record:
            # All ranges are learned at once; a row that is older belongs to a range without clusters.
            ages["record"] = min((now - each.updated_at).total_seconds() for each in record.values())
        elif can_have_record:
            stale.append("record")
        if threshold is not None:
            ages["threshold"] = (now - threshold.last_updated).total_seconds()
        stale += [
            each for each in ("record", "threshold") if ages.get(each, 0.0) > self._settings.pattern_max_age_s
        ]
        return Freshness(ages, tuple(stale) if needed else ("map", *stale), times, record, threshold)

    def plan_inputs(
        self,
        symbol: str,
        ranked: Direction,
        coin: Coin,
        tick: LiveTick,
        account: AccountFigures,
        freshness: Freshness,
    ) -> PlanInputs:
        """Everything that `plans.make_plan` takes.

        Raises:
            TryAgain: the fee rates could not be asked for.
        """
        fees = self._fee_rates(symbol)
        now = self._clock.now()
        with self._db.begin() as work:
            session = work.session
            clusters = inputs.standing_clusters(session, symbol, now, freshness.map_times)
            wicks = self._hourly_wicks(session, symbol, clusters, freshness.record, now)
            hit_side = target_side(ranked)
            return PlanInputs(
                direction=ranked,
                coin=coin,
                tick=tick,
                clusters=clusters,
                hit=self._just_hit(session, symbol, hit_side, ranked, now),
                patterns=freshness.record,
                threshold=freshness.threshold,
                wick_up_pct=wicks.wick_up_pct if wicks is not None else None,
                wick_down_pct=wicks.wick_down_pct if wicks is not None else None,
                account=account,
                fees=fees,
                unproven={} if self._settings.trade_unproven else self._unproven(session, symbol),
            )

    def _unproven(self, session: Session, symbol: str) -> dict[str, AccuracyRow]:
        """The ranges of a coin whose clusters enough observations do not show to beat chance."""
        return unproven_ranges(rows_about(session, symbol))

    def _just_hit(
        self, session: Session, symbol: str, side: str, ranked: Direction, now: datetime
    ) -> LiquidationCluster | None:
        if trade_direction(ranked, self._settings.autotrader_strategy) == ranked:
            return None
        return inputs.just_hit(session, symbol, side, now - JUST_HIT_WITHIN)

    def _hourly_wicks(
        self,
        session: Session,
        symbol: str,
        clusters: Sequence[LiquidationCluster],
        record: Mapping[str, CoinLiquidationPattern],
        now: datetime,
    ) -> WickStatistics | None:
        """The wicks of the last week's hours; None as well where the record tells every side itself."""
        ranges = {cluster.timeframe for cluster in clusters}
        if all(each in record and _tells_both_sides(record[each]) for each in ranges):
            return None
        return hourly_wicks(
            session, [symbol], since=now - WICK_LOOKBACK, now=now, quantile=WICK_QUANTILE
        ).get(symbol)

    def _ask_fee_rates(self, symbol: str) -> None:
        """Ask for the account's rates, unless they are known: Bybit allows five such questions a
        second, and they rarely change."""
        kept = self._fees.get(symbol)
        if kept is None or self._clock.now() - kept[0] > FEES_KEPT_FOR:
            self._asked_fees[symbol] = self._asking.submit(self._exchange.fee_rates, symbol)

    def _fee_rates(self, symbol: str) -> FeeRates:
        asked = self._asked_fees.pop(symbol, None)
        if asked is not None or symbol not in self._fees:
            rates = asked.result() if asked is not None else self._exchange.fee_rates(symbol)
            self._fees[symbol] = (self._clock.now(), rates)
        return self._fees[symbol][1]


def _tells_both_sides(record: CoinLiquidationPattern) -> bool:
    return record.max_wick_up_pct is not None and record.max_wick_down_pct is not None
