"""Gathering what a decision needs: the guards' state and a plan's inputs, from every side."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from whalestack.agents.account import account_figures
from whalestack.agents.guards import GuardState
from whalestack.agents.kill_switch import KillSwitch, either, of_rows
from whalestack.agents.patience import Patience, tick_max_age
from whalestack.agents.plan_inputs import PlanInputs
from whalestack.agents.plans import trade_direction
from whalestack.agents.targets import considered_ranges
from whalestack.agents.trading_gate import GATE, gate_of
from whalestack.clients.bybit.errors import BybitRefused
from whalestack.clients.bybit.port import ExchangePort
from whalestack.clients.bybit.types import FeeRates
from whalestack.clock import Clock, from_ms
from whalestack.config import Settings
from whalestack.db import trading_inputs as inputs
from whalestack.db.account_rows import account_rows
from whalestack.db.coin_inputs import CoinInputs, coin_inputs
from whalestack.db.engine import Database
from whalestack.db.live import LiveMarket, LiveTick
from whalestack.db.models import Coin, CoinLiquidationPattern, LiquidationCluster
from whalestack.db.pattern_store import hourly_wicks
from whalestack.math.accuracy_table import unproven_ranges
from whalestack.math.directions import Direction, target_side
from whalestack.math.timeframes import TIMEFRAMES
from whalestack.math.wicks import WickStatistics
from whalestack.scanners.coin_history import WICK_LOOKBACK, WICK_QUANTILE

log = structlog.get_logger(__name__)

JUST_HIT_WITHIN = timedelta(minutes=15)
MAPS_COUNT_FOR = timedelta(days=1)
FEES_KEPT_FOR = timedelta(hours=1)


@dataclass(frozen=True)
class Freshness:
    """How old each input of a plan is, market seconds. `stale` names what has to be made anew first:
    maps, the coin's record, its thresholds."""

    ages_s: Mapping[str, float]
    stale: tuple[str, ...]


@dataclass(frozen=True)
class Look:
    """One look at a coin and the account: for the guards, and for the plan if they let it pass.

    Args:
        state: what the guards judge.
        known: of the coin.
        fees: the account's rates for the coin, when they are there.
    """

    state: GuardState
    known: CoinInputs
    fees: Future[FeeRates]


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
        self._tick_max_age = tick_max_age(clock, settings)
        self._fees: tuple[datetime, dict[str, FeeRates]] | None = None
        # The exchange is far away: what it is asked for one decision is asked all at once. Each
        # thread keeps its connection.
        self._asking = ThreadPoolExecutor(3, thread_name_prefix="desk")

    def look(self, symbol: str) -> Look:
        """Ask and read everything that a decision needs, each of it once.

        Raises:
            TryAgain: the exchange or a store is away; that says nothing against the coin.
        """
        asked_wallet = self._asking.submit(self._exchange.wallet)
        asked_positions = self._asking.submit(self._exchange.positions)
        asked_fees = self._asking.submit(self._fee_rates, symbol)
        # While they are on their way: what does not depend on them.
        tick, now = self._live.get(symbol), self._clock.now()
        known = coin_inputs(self._db, symbol, now, now - MAPS_COUNT_FOR)
        # Both answers before the account's rows: what fills in between is then in the rows.
        wallet, positions = asked_wallet.result(), asked_positions.result()
        in_redis, now = self._kill_switch.in_redis(), self._clock.now()
        rows = account_rows(self._db, self._settings.mode.value)
        state = GuardState(
            symbol=symbol,
            now=now,
            settings=self._settings,
            kill=either(of_rows(rows.switches), in_redis),
            gate=gate_of(rows.switches.get(GATE)),
            gate_max_age=self._patience.reconciled_within,
            coin=known.coin,
            tick=tick,
            tick_max_age=self._tick_max_age,
            account=account_figures(
                rows,
                wallet=wallet,
                positions=positions,
                agent_name=self._settings.autotrader_name,
                now=now,
            ),
        )
        return Look(state, known, asked_fees)

    def warm_up(self) -> None:
        """Do what the first decision would otherwise wait for: open connections, in each thread, compile
        statements, learn the fees.

        Raises:
            TryAgain: the exchange or a store is away; the first decision waits then.
        """
        asked_wallet = self._asking.submit(self._exchange.wallet)
        asked_positions = self._asking.submit(self._exchange.positions)
        asked_fees = self._asking.submit(self._all_fee_rates)
        now = self._clock.now()
        self._live.get("")
        self._kill_switch.state()
        coin_inputs(self._db, "", now, now)
        account_rows(self._db, self._settings.mode.value)
        asked_wallet.result(), asked_positions.result()
        self._fees = (now, asked_fees.result())

    def freshness(self, known: CoinInputs, tick: LiveTick) -> Freshness:
        """How old the maps, the record and the price of a coin are."""
        now, times, record = self._clock.now(), known.map_times, known.record
        needed = considered_ranges(record, [each for each in TIMEFRAMES if each in times], self._settings)
        ages = {f"map_{each}": (now - times[each]).total_seconds() for each in needed}
        stale = [name for name, age in ages.items() if age > self._settings.heatmap_max_age_s]
        ages["price"] = (now - from_ms(tick.ts_ms)).total_seconds()
        if record:
            # All ranges are learned at once; a row that is older belongs to a range without clusters.
            ages["record"] = min((now - each.updated_at).total_seconds() for each in record.values())
        elif known.has_clusters:
            stale.append("record")
        if known.threshold is not None:
            ages["threshold"] = (now - known.threshold.last_updated).total_seconds()
        stale += [
            each for each in ("record", "threshold") if ages.get(each, 0.0) > self._settings.pattern_max_age_s
        ]
        return Freshness(ages, tuple(stale) if needed else ("map", *stale))

    def plan_inputs(self, ranked: Direction, coin: Coin, tick: LiveTick, look: Look) -> PlanInputs:
        """Everything that `plans.make_plan` takes.

        Args:
            ranked: the direction of the coin's ranking.
            coin, tick: of the look; the guards have seen that they are there.
            look: at the coin.

        Raises:
            TryAgain: the fee rates could not be asked for.
        """
        known, symbol = look.known, look.state.symbol
        fees = look.fees.result()
        now = self._clock.now()
        wicks = self._hourly_wicks(symbol, known, now)
        return PlanInputs(
            direction=ranked,
            coin=coin,
            tick=tick,
            clusters=known.clusters,
            hit=self._just_hit(symbol, ranked, now),
            patterns=known.record,
            threshold=known.threshold,
            wick_up_pct=wicks.wick_up_pct if wicks is not None else None,
            wick_down_pct=wicks.wick_down_pct if wicks is not None else None,
            account=look.state.account,
            fees=fees,
            unproven={} if self._settings.trade_unproven else unproven_ranges(known.accuracy),
        )

    def _just_hit(self, symbol: str, ranked: Direction, now: datetime) -> LiquidationCluster | None:
        if trade_direction(ranked, self._settings.autotrader_strategy) == ranked:
            return None
        with self._db.begin() as work:
            return inputs.just_hit(work.session, symbol, target_side(ranked), now - JUST_HIT_WITHIN)

    def _hourly_wicks(self, symbol: str, known: CoinInputs, now: datetime) -> WickStatistics | None:
        """The wicks of the last week's hours; None as well where the record tells every side itself."""
        ranges = {cluster.timeframe for cluster in known.clusters}
        if all(each in known.record and _tells_both_sides(known.record[each]) for each in ranges):
            return None
        with self._db.begin() as work:
            return hourly_wicks(
                work.session, [symbol], since=now - WICK_LOOKBACK, now=now, quantile=WICK_QUANTILE
            ).get(symbol)

    def _fee_rates(self, symbol: str) -> FeeRates:
        """The account's rates for a coin. Bybit allows five such questions a second, and they rarely
        change: all coins' are asked for at once, and kept."""
        kept = self._fees
        if kept is None or self._clock.now() - kept[0] > FEES_KEPT_FOR:
            kept = self._fees = (self._clock.now(), self._all_fee_rates())
        if symbol not in kept[1]:
            kept[1][symbol] = self._exchange.fee_rates(symbol)
        return kept[1][symbol]

    def _all_fee_rates(self) -> dict[str, FeeRates]:
        try:
            return self._exchange.all_fee_rates()
        except BybitRefused as refusal:
            log.warning("fee_rates_not_told_at_once", code=refusal.code)
            return {}


def _tells_both_sides(record: CoinLiquidationPattern) -> bool:
    return record.max_wick_up_pct is not None and record.max_wick_down_pct is not None
