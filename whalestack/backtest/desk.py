"""What one trader's decision is made from, at a moment of the past: the guards' state, a plan's inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

from whalestack.agents.account import AccountFigures
from whalestack.agents.desk import JUST_HIT_WITHIN
from whalestack.agents.guards import GuardState
from whalestack.agents.kill_switch import KillState
from whalestack.agents.plan_inputs import PlanInputs
from whalestack.agents.plans import trade_direction
from whalestack.agents.targets import considered_ranges
from whalestack.agents.trading_gate import GateState
from whalestack.backtest.clocked_market import ClockedMarket
from whalestack.backtest.daily_tables import DailyTables
from whalestack.backtest.followed_clusters import FollowedCluster
from whalestack.backtest.rankings import MappedCoin, Rankings
from whalestack.backtest.records import hourly_wicks
from whalestack.clients.bybit.types import FeeRates
from whalestack.clock import from_ms
from whalestack.config import Settings
from whalestack.db.cluster_store import NOISE_SHARE
from whalestack.db.live import LiveTick
from whalestack.db.models import Coin, CoinLiquidationPattern, CoinThreshold, LiquidationCluster
from whalestack.math.accuracy_table import AccuracyRow
from whalestack.math.directions import Direction, target_side
from whalestack.math.timeframes import TIMEFRAMES
from whalestack.simulator.exchange.instrument import InstrumentRules
from whalestack.simulator.exchange.state import Fees

MINUTE_MS = 60_000


class BacktestDesk:
    """Reads for the decisions of one run.

    Args:
        coins: by symbol.
        rankings: the scanners' word.
        tables: of hit rates.
        market: tickers at the clock's moment.
        fees: of the account.
    """

    def __init__(
        self,
        coins: Mapping[str, MappedCoin],
        rankings: Rankings,
        tables: DailyTables,
        market: ClockedMarket,
        fees: Fees,
    ) -> None:
        self._coins = coins
        self._rankings = rankings
        self._tables = tables
        self._market = market
        self._fees = FeeRates(fees.taker, fees.maker)

    def tick(self, symbol: str) -> LiveTick:
        """The coin's live state at the clock's moment."""
        ticker = self._market.ticker(symbol)
        return LiveTick(
            symbol=symbol,
            ts_ms=ticker.ts_ms,
            last=ticker.last,
            mark=ticker.mark,
            bid=ticker.bid,
            ask=ticker.ask,
            open_interest=ticker.open_interest,
            turnover_24h_usd=ticker.turnover_24h,
            funding_rate_pct=ticker.funding_rate * 100,
        )

    def guard_state(
        self, symbol: str, settings: Settings, account: AccountFigures, tick: LiveTick
    ) -> GuardState:
        """The state of things for the guards: nothing stops the system itself in a backtest."""
        now = from_ms(tick.ts_ms)
        return GuardState(
            symbol=symbol,
            now=now,
            settings=settings,
            kill=KillState(False),
            gate=GateState(True, "", now),
            gate_max_age=timedelta(seconds=settings.reconcile_max_age_s),
            coin=self._coins[symbol].coin,
            tick=tick,
            tick_max_age=timedelta(seconds=settings.stale_tick_s),
            account=account,
        )

    def plan_inputs(
        self, symbol: str, ranked: Direction, settings: Settings, account: AccountFigures, tick: LiveTick
    ) -> PlanInputs:
        """Everything that `whalestack.agents.plans.make_plan` takes, from the maps of the latest refresh."""
        mapped = self._coins[symbol]
        refresh = mapped.refresh(tick.ts_ms)
        wicks = hourly_wicks(self._market.series(symbol), tick.ts_ms)
        clusters = cast("Sequence[LiquidationCluster]", mapped.maps.standing(refresh))
        patterns = self._rankings.learned(tick.ts_ms).patterns_of(symbol)
        hit = None
        if trade_direction(ranked, settings.autotrader_strategy) != ranked:
            hit = self._just_hit(mapped, refresh, ranked, tick.ts_ms)
        return PlanInputs(
            direction=ranked,
            coin=mapped.coin,
            tick=tick,
            clusters=clusters,
            hit=cast("LiquidationCluster | None", hit),
            patterns=patterns,
            threshold=_threshold(symbol, mapped.maps.typical_usd(refresh + 1), tick.ts_ms),
            wick_up_pct=wicks.wick_up_pct if wicks is not None else None,
            wick_down_pct=wicks.wick_down_pct if wicks is not None else None,
            account=account,
            fees=self._fees,
            unproven=self._unproven(symbol, clusters, patterns, settings, tick.ts_ms),
        )

    def _unproven(
        self,
        symbol: str,
        clusters: Sequence[LiquidationCluster],
        patterns: Mapping[str, CoinLiquidationPattern],
        settings: Settings,
        now_ms: int,
    ) -> dict[str, AccuracyRow]:
        """As the running system's desk reads it; only of the ranges that a target could be of."""
        if settings.trade_unproven:
            return {}
        standing = {each.timeframe for each in clusters}
        ranges = considered_ranges(patterns, [each for each in TIMEFRAMES if each in standing], settings)
        return self._tables.unproven(symbol, now_ms, ranges)

    def _just_hit(
        self, mapped: MappedCoin, refresh: int, ranked: Direction, now_ms: int
    ) -> FollowedCluster | None:
        since_ms = now_ms - round(JUST_HIT_WITHIN.total_seconds() * 1000) - mapped.first_refresh_ms
        return mapped.maps.just_hit(refresh, target_side(ranked), -(-since_ms // MINUTE_MS))


def _threshold(symbol: str, typical_usd: float, now_ms: int) -> CoinThreshold | None:
    if typical_usd <= 0:
        return None
    row = SimpleNamespace(
        symbol=symbol,
        min_cluster_threshold=typical_usd * NOISE_SHARE,
        avg_cluster_size=typical_usd,
        last_updated=from_ms(now_ms),
    )
    return cast("CoinThreshold", row)


def coin_of(row: Mapping[str, Any], settings: Settings, now_ms: int) -> Coin:
    """The instrument as the guards and the sizing take it."""
    rules = InstrumentRules.from_row(row)
    base = str(row["baseCoin"])
    return Coin(
        symbol=rules.symbol,
        base_coin=base,
        price_multiplier=1,
        tick_size=rules.tick_size,
        qty_step=rules.qty_step,
        min_order_qty=rules.min_qty,
        max_order_qty=rules.max_qty,
        max_market_order_qty=rules.max_market_qty,
        min_notional_usd=rules.min_notional_usd,
        min_leverage=rules.min_leverage,
        max_leverage=rules.max_leverage,
        leverage_step=rules.leverage_step,
        price_limit_ratio=Decimal(rules.price_limit_x),
        funding_interval_min=rules.funding_interval_min,
        launched_at=from_ms(int(row["launchTime"])),
        delisted_at=None,
        status="Trading",
        is_prelisting=False,
        is_major=base in settings.majors,
        blacklisted=base in settings.blacklist or rules.symbol in settings.blacklist,
        turnover_24h_usd=None,
        skipped_reason=None,
        updated_at=from_ms(now_ms),
    )
