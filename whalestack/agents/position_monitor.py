"""Moving stops up with profit: at each step of the setting, once, and never back.

Profit counts from the best price since the position has its average entry, not from the price of
the moment: a price that touched a step and fell back has earned it. The streams tell the price
that reached a step along with their call; where a call was lost, or nobody listened, the ticks and
minute bars of the database tell it, those that were fetched for a gap among them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import structlog

from whalestack.agents.fill_facts import last_entry_at
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
from whalestack.db.live import LiveMarket, PriceWatch, SeenPrice
from whalestack.db.models import Coin, Trade
from whalestack.errors import TryAgain, WhalestackError
from whalestack.math.directions import as_direction, sign
from whalestack.math.rounding import decimal_of
from whalestack.math.stops import next_look_price, trailing_stop

log = structlog.get_logger(__name__)

AGENT_NAME = "position-monitor"
TICK_REAL_S = 3.0
LOOK = "look"
# Real seconds: a look with its call is over by then, or may be tried again.
LOOK_TAKES_S = 2.0


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

    def check_symbol(self, symbol: str, seen: SeenPrice | None = None) -> MonitorReport:
        """Look at one position, and move its stop where the profit has earned it.

        Args:
            symbol: Bybit symbol.
            seen: a price that the streams saw; it may be over by now.

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
            return self._look(trade, coin, seen)

    def check_reached(self, symbol: str, seen: SeenPrice | None = None) -> MonitorReport:
        """Look at the position with most at risk of all whose step is reached, `symbol`'s own or another.

        Each reached step sends one message and each message looks at one position, so all are looked
        at; but Bybit lets ten stops a second be moved, and where more are due the order counts. A
        symbol whose price has fallen back meanwhile is looked at now, with the price that was seen.

        Raises:
            TryAgain: as `check_symbol`.
        """
        try:
            chosen = self._most_at_risk(symbol, seen)
        except TryAgain:
            chosen = symbol
        return self.check_symbol(chosen, seen if chosen == symbol else None)

    def _most_at_risk(self, symbol: str, seen: SeenPrice | None) -> str:
        watches = self._live.watches()
        due = self._live.reached(watches)
        watch = watches.get(symbol)
        if symbol not in due and seen is not None and watch is not None and watch.is_reached(seen.price):
            return symbol
        # The first of them that no other worker is looking at.
        free = (each for each in due if self._live.claim(LOOK, each, hold_s=LOOK_TAKES_S))
        return next(free, symbol)

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

    def _look(self, trade: Trade, coin: Coin, seen: SeenPrice | None) -> MonitorReport:
        price = self._price(trade.symbol)
        best = self._best_price(trade, price, seen)
        move = self._move(trade, coin, price, best)
        outcome = "unchanged" if move is None else self._mover.move(move)
        failed = outcome in ("refused", "unknown")
        if not failed:
            stop = move.new_stop if move is not None and move.new_stop is not None else trade.stop_loss
            self._watch_next_step(trade, coin, price, best, stop)
        return MonitorReport(outcome, moved=int(outcome == "done"), failed=int(failed))

    def _move(self, trade: Trade, coin: Coin, price: Decimal, best: Decimal) -> StopMove | None:
        stop = trailing_stop(
            as_direction(trade.side),
            trade.entry_price,
            price,
            trade.stop_loss,
            self._settings.trailing_steps_pct,
            tick_size=coin.tick_size,
            best_price=best,
        )
        target = self._farther_target(trade, coin, best)
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

    def _farther_target(self, trade: Trade, coin: Coin, best: Decimal) -> Decimal | None:
        if not self._settings.extend_take_profit:
            return None
        now = self._clock.now()
        with self._db.begin() as work:
            fresh_since = now - timedelta(seconds=self._settings.heatmap_max_age_s)
            fresh = inputs.map_times(work.session, trade.symbol, fresh_since)
            clusters = inputs.standing_clusters(work.session, trade.symbol, now, fresh)
        return extended_target(trade, clusters, price=best, tick_size=coin.tick_size)

    def _best_price(self, trade: Trade, price: Decimal, seen: SeenPrice | None) -> Decimal:
        """The best price since the position has its average entry, as far as anybody knows."""
        with self._db.begin() as work:
            since = last_entry_at(trade, trade_store.trade_fills(work.session, trade.id))
            known = [price]
            known += map(decimal_of, inputs.price_range_since(work.session, trade.symbol, since) or ())
        if seen is not None and from_ms(seen.ts_ms) >= since:
            known.append(decimal_of(seen.price))
        return max(known) if trade.side == "LONG" else min(known)

    def _price(self, symbol: str) -> Decimal:
        """The last price, which is what stops trigger on; from the exchange where the live one is old."""
        try:
            tick = self._live.get(symbol)
        except TryAgain:
            tick = None
        if tick is not None and self._clock.now() - from_ms(tick.ts_ms) <= self._tick_max_age:
            return decimal_of(tick.last)
        return self._exchange.ticker(symbol).last_price

    def _watch_next_step(
        self, trade: Trade, coin: Coin, price: Decimal, best: Decimal, stop: Decimal | None
    ) -> None:
        """Have the streams call at the next price that matters, so that nobody waits for the sweep.

        After a move that failed the watch stays where it is, and the streams call again.
        """
        direction = as_direction(trade.side)
        way = sign(direction)
        following = next_look_price(
            direction,
            trade.entry_price,
            price,
            stop,
            self._settings.trailing_steps_pct,
            tick_size=coin.tick_size,
            best_price=best,
        )
        pushed_on = extension_price(trade) if self._settings.extend_take_profit else None
        if pushed_on is not None and (pushed_on - best) * way <= 0:
            pushed_on = None
        ahead = [each for each in (following, pushed_on) if each is not None]
        if not ahead:
            self._watch(trade.symbol, PriceWatch())
            return
        limit = min(ahead, key=lambda each: each * way)
        at_risk_usd = float(((limit - stop) * way if stop is not None else limit) * trade.open_qty)
        above, below = (float(limit), None) if direction == "LONG" else (None, float(limit))
        self._watch(trade.symbol, PriceWatch(above, below, at_risk_usd))

    def _watch(self, symbol: str, watch: PriceWatch) -> None:
        """Without Redis nobody is called early; the sweep looks at every position anyway."""
        try:
            if watch == PriceWatch():
                self._live.clear_watch(symbol)
            else:
                self._live.set_watch(
                    symbol, above=watch.above, below=watch.below, at_risk_usd=watch.at_risk_usd
                )
        except TryAgain as error:
            log.warning("watch_not_left", symbol=symbol, error=str(error))
