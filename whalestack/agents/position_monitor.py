"""Moving stops up with profit: at each step of the setting, once, and never back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import structlog

from whalestack.agents.patience import at_least_real
from whalestack.agents.pnl import profit_pct
from whalestack.agents.stop_mover import StopMove, StopMover
from whalestack.agents.target_extension import extended_target, extension_price
from whalestack.clients.bybit.port import ExchangePort
from whalestack.clock import Clock, from_ms
from whalestack.config import Settings
from whalestack.db import trade_store
from whalestack.db import trading_inputs as inputs
from whalestack.db import trading_store as store
from whalestack.db.engine import Database
from whalestack.db.live import LiveMarket, PriceWatch
from whalestack.db.models import Coin, Trade
from whalestack.errors import TryAgain, WhalestackError
from whalestack.math.directions import as_direction, sign
from whalestack.math.rounding import decimal_of
from whalestack.math.stops import next_step_price, trailing_stop

log = structlog.get_logger(__name__)

AGENT_NAME = "position-monitor"
TICK_REAL_S = 3.0


@dataclass(frozen=True)
class MonitorReport:
    """What one look at one or all positions did.

    outcome of a single look: no_trade, busy (another worker is acting on it), unchanged, done,
    refused or unknown. The counts are over all looks.
    """

    outcome: str
    looked: int = 1
    moved: int = 0
    failed: int = 0


class PositionMonitor:
    """Watches open trades.

    Args:
        db: of this process.
        exchange: asked for a price where the live one is old.
        live: prices, and where the next step's price is left for the streams.
        settings: the steps.
        clock: market time.
        mover: carries moves out.
    """

    def __init__(
        self,
        *,
        db: Database,
        exchange: ExchangePort,
        live: LiveMarket,
        settings: Settings,
        clock: Clock,
        mover: StopMover,
    ) -> None:
        self._db = db
        self._exchange = exchange
        self._live = live
        self._settings = settings
        self._clock = clock
        self._mover = mover
        self._tick_max_age = at_least_real(clock, settings.stale_tick_s, TICK_REAL_S)

    def check_symbol(self, symbol: str) -> MonitorReport:
        """Look at one position, and move its stop where the profit has earned it.

        Raises:
            TryAgain: no price could be had, or a leftover move could not be asked about.
        """
        with store.action_lock(self._db.engine, symbol) as alone:
            if not alone:
                return MonitorReport("busy")
            self._mover.settle_leftovers(symbol)
            with self._db.begin() as work:
                trade = trade_store.open_trade(work.session, symbol)
                coin = inputs.coin(work.session, symbol)
            if trade is None or coin is None:
                self._watch(symbol, PriceWatch())
                return MonitorReport("no_trade")
            return self._look(trade, coin)

    def check_all(self) -> MonitorReport:
        """Look at every open position; one that fails holds up no other."""
        with self._db.begin() as work:
            symbols = [trade.symbol for trade in trade_store.open_trades(work.session)]
        moved = failed = 0
        for symbol in symbols:
            try:
                moved += self.check_symbol(symbol).moved
            except WhalestackError as error:
                failed += 1
                log.warning("position_not_checked", symbol=symbol, error=str(error))
        return MonitorReport("all", looked=len(symbols), moved=moved, failed=failed)

    def _look(self, trade: Trade, coin: Coin) -> MonitorReport:
        price = self._price(trade.symbol)
        move = self._move(trade, coin, price)
        outcome = "unchanged" if move is None else self._mover.move(move)
        self._watch_next_step(trade, price)
        return MonitorReport(
            outcome, moved=int(outcome == "done"), failed=int(outcome in ("refused", "unknown"))
        )

    def _move(self, trade: Trade, coin: Coin, price: Decimal) -> StopMove | None:
        stop = trailing_stop(
            as_direction(trade.side),
            trade.entry_price,
            price,
            trade.stop_loss,
            self._settings.trailing_steps_pct,
            tick_size=coin.tick_size,
        )
        target = self._farther_target(trade, coin, price)
        if stop is None and target is None:
            return None
        return StopMove(
            symbol=trade.symbol,
            direction=trade.side,
            agent_name=AGENT_NAME,
            action="trail" if stop is not None else "extend_target",
            trade_id=trade.id,
            entry_price=trade.entry_price,
            price=price,
            old_stop=trade.stop_loss,
            new_stop=stop,
            profit_pct=profit_pct(trade.side, trade.entry_price, price),
            old_target=trade.take_profit,
            new_target=target,
        )

    def _farther_target(self, trade: Trade, coin: Coin, price: Decimal) -> Decimal | None:
        if not self._settings.extend_take_profit:
            return None
        now = self._clock.now()
        with self._db.begin() as work:
            fresh_since = now - timedelta(seconds=self._settings.heatmap_max_age_s)
            fresh = inputs.map_times(work.session, trade.symbol, fresh_since)
            clusters = inputs.standing_clusters(work.session, trade.symbol, now, fresh)
        return extended_target(trade, clusters, price=price, tick_size=coin.tick_size)

    def _price(self, symbol: str) -> Decimal:
        """The last price, which is what stops trigger on; from the exchange where the live one is old."""
        try:
            tick = self._live.get(symbol)
        except TryAgain:
            tick = None
        if tick is not None and self._clock.now() - from_ms(tick.ts_ms) <= self._tick_max_age:
            return decimal_of(tick.last)
        return self._exchange.ticker(symbol).last_price

    def _watch_next_step(self, trade: Trade, price: Decimal) -> None:
        """Have the streams call at the next price that matters, so that nobody waits for the sweep."""
        direction = as_direction(trade.side)
        following = next_step_price(direction, trade.entry_price, price, self._settings.trailing_steps_pct)
        pushed_on = extension_price(trade) if self._settings.extend_take_profit else None
        way = sign(direction)
        ahead = [each for each in (following, pushed_on) if each is not None and (each - price) * way > 0]
        limit = float(min(ahead, key=lambda each: each * way)) if ahead else None
        self._watch(trade.symbol, PriceWatch(above=limit) if direction == "LONG" else PriceWatch(below=limit))

    def _watch(self, symbol: str, watch: PriceWatch) -> None:
        """Without Redis nobody is called early; the sweep looks at every position anyway."""
        try:
            if watch == PriceWatch():
                self._live.clear_watch(symbol)
            else:
                self._live.set_watch(symbol, above=watch.above, below=watch.below)
        except TryAgain as error:
            log.warning("watch_not_left", symbol=symbol, error=str(error))
