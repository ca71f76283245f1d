"""Moving stops up with profit: at each step of the setting, once, and never back.

Profit counts from the best price since the position has its average entry, not from the price of
the moment: a price that touched a step and fell back has earned it. The streams tell the price
that reached a step along with their call; where a call was lost, or nobody listened, the ticks and
minute bars of the database tell it, those that were fetched for a gap among them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import structlog
from sqlalchemy import Connection

from whalestack.agents.last_prices import LastPrices
from whalestack.agents.pnl import POSITION_EXEC_TYPES, profit_pct
from whalestack.agents.stop_mover import LIMITED, StopMove, StopMover
from whalestack.agents.target_extension import extended_target, is_nearly_there
from whalestack.agents.trailing_watch import best_price, next_watch
from whalestack.clients.bybit.port import ExchangePort
from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.db import stop_looks
from whalestack.db import trading_inputs as inputs
from whalestack.db import trading_store as store
from whalestack.db.engine import Database
from whalestack.db.live import LiveMarket, PriceWatch, SeenPrice
from whalestack.db.stop_looks import OpenPosition
from whalestack.errors import TryAgain, WhalestackError
from whalestack.math.directions import as_direction
from whalestack.math.stops import trailing_stop

log = structlog.get_logger(__name__)

AGENT_NAME = "position-monitor"
LOOK = "look"
# Real seconds: a look with its call is over by then, or may be tried again.
LOOK_TAKES_S = 2.0
# A refusal for coming too often changed nothing: the move is made again, after a pause of real seconds.
LIMITED_ATTEMPTS, LIMITED_PAUSE_S = 4, 0.3
# Of the messages about reached steps: so many at once keep Bybit's ten a second busy where a look takes
# half a second, and what is chosen is never more than half a second old when it is moved.
LOOKS_AT_ONCE = 5


@dataclass(frozen=True)
class MonitorReport:
    """What one look at one or all positions did.

    outcome of a single look: no_trade, busy (another worker is acting on it), unchanged, done,
    refused, limited (Bybit lets no more stops be moved just now) or unknown. The counts are over
    all looks.
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
        sleep: waits real seconds.
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
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._db = db
        self._live = live
        self._settings = settings
        self._clock = clock
        self._mover = mover
        self._line = threading.BoundedSemaphore(LOOKS_AT_ONCE)
        self._sleep = sleep
        self._prices = LastPrices(exchange=exchange, live=live, settings=settings, clock=clock)

    def check_symbol(self, symbol: str, seen: SeenPrice | None = None) -> MonitorReport:
        """Look at one position, and move its stop where the profit has earned it.

        Args:
            symbol: Bybit symbol.
            seen: a price that the streams saw; it may be over by now.

        Raises:
            TryAgain: no price could be had, or a leftover move could not be asked about.
        """
        with store.acting_alone(self._db.engine, symbol) as alone:
            if alone is None:
                return MonitorReport("busy")
            position = stop_looks.open_position(alone, symbol, POSITION_EXEC_TYPES)
            if (position is None or position.has_open_moves) and self._mover.settle_leftovers(alone, symbol):
                position = stop_looks.open_position(alone, symbol, POSITION_EXEC_TYPES)
            if position is None:
                self._leave_watches({symbol: PriceWatch()})
                return MonitorReport("no_trade")
            return self._look(alone, position, seen)

    def check_reached(self, symbol: str, seen: SeenPrice | None = None) -> MonitorReport:
        """Look at the position with most at risk of all whose step is reached, `symbol`'s own or another.

        Each reached step sends one message and each message looks at one position, so all are looked
        at; but Bybit lets ten stops a second be moved, and where more are due the order counts: who
        waits in line chooses when it is his turn. A symbol whose price has fallen back meanwhile is
        looked at with the price that was seen.

        Raises:
            TryAgain: as `check_symbol`.
        """
        due = self._due(symbol, seen)
        report = MonitorReport("unchanged", looked=0)
        if not due:
            return report
        with self._in_line() as waited:
            for attempt in range(LIMITED_ATTEMPTS):
                if waited or attempt:
                    due = self._due(symbol, seen)
                report = self._check_first(due, symbol, seen)
                if report.outcome != LIMITED:
                    break
                self._sleep(LIMITED_PAUSE_S)
        return report

    def check_all(self) -> MonitorReport:
        """Look at every open position; one that fails holds up no other.

        Those with nothing to do are looked at together, without a lock.
        """
        with self._db.alone() as connection:
            positions = stop_looks.open_positions(connection, POSITION_EXEC_TYPES)
        prices = self._prices.many([each.symbol for each in positions])
        calm: dict[str, PriceWatch] = {}
        due: list[tuple[float, str]] = []
        for each in positions:
            price = prices.get(each.symbol)
            watch = None if price is None else self._calm_watch(each, price)
            if watch is None:
                due.append((-_value_usd(each), each.symbol))
            else:
                calm[each.symbol] = watch
        self._leave_watches(calm)
        moved, failed = self._check_each([symbol for _, symbol in sorted(due)])
        return MonitorReport("all", looked=len(positions), moved=moved, failed=failed)

    # --- which ----------------------------------------------------------------------------

    @contextmanager
    def _in_line(self) -> Iterator[bool]:
        """One of the few places for looks at reached steps; yields whether there was none at once."""
        waited = not self._line.acquire(blocking=False)
        if waited:
            self._line.acquire()
        try:
            yield waited
        finally:
            self._line.release()

    def _due(self, symbol: str, seen: SeenPrice | None) -> list[str]:
        """Positions that may be looked at for a message about `symbol`, most at risk first."""
        try:
            watches = self._live.watches()
            due = self._live.reached(watches)
        except TryAgain:
            return [symbol]
        watch = watches.get(symbol)
        if symbol in due:
            return due
        if seen is None or watch is None or watch.is_reached(seen.price):
            return [symbol]
        # Its own step has been looked at since: what is left are others, or nothing.
        return due

    def _check_first(self, due: Sequence[str], symbol: str, seen: SeenPrice | None) -> MonitorReport:
        """Look at the first of them that no other worker is looking at."""
        chosen = next((each for each in due if len(due) == 1 or self._claims(each)), None)
        if chosen is None:
            return MonitorReport("busy", looked=0)
        try:
            return self.check_symbol(chosen, seen if chosen == symbol else None)
        finally:
            if len(due) > 1:
                self._release(chosen)

    def _claims(self, symbol: str) -> bool:
        try:
            return self._live.claim(LOOK, symbol, hold_s=LOOK_TAKES_S)
        except TryAgain:
            return True

    def _release(self, symbol: str) -> None:
        try:
            self._live.release(LOOK, symbol)
        except TryAgain:
            return  # it ends by itself

    def _check_each(self, symbols: Iterable[str]) -> tuple[int, int]:
        moved = failed = 0
        for symbol in symbols:
            try:
                moved += self.check_symbol(symbol).moved
            except WhalestackError as error:
                failed += 1
                log.warning("position_not_checked", symbol=symbol, error=str(error))
        return moved, failed

    # --- one look ---------------------------------------------------------------------------

    def _look(self, alone: Connection, position: OpenPosition, seen: SeenPrice | None) -> MonitorReport:
        price = self._prices.one(position.symbol)
        best = best_price(position, price, seen)
        move = self._move(position, price, best)
        outcome = "unchanged" if move is None else self._mover.move(alone, move)
        failed = outcome in ("refused", LIMITED, "unknown")
        if not failed:
            # After a move that failed the watch stays where it is, and the streams call again.
            stop = move.new_stop if move is not None and move.new_stop is not None else position.stop_loss
            self._leave_watches({position.symbol: next_watch(position, price, best, stop, self._settings)})
        return MonitorReport(outcome, moved=int(outcome == "done"), failed=int(failed))

    def _calm_watch(self, position: OpenPosition, price: Decimal) -> PriceWatch | None:
        """The watch of a position that needs nothing now, None for one to be looked at by itself."""
        best = best_price(position, price, None)
        may_extend = self._settings.extend_take_profit and is_nearly_there(position, best)
        if position.has_open_moves or may_extend or self._stop(position, price, best) is not None:
            return None
        return next_watch(position, price, best, position.stop_loss, self._settings)

    def _stop(self, position: OpenPosition, price: Decimal, best: Decimal) -> Decimal | None:
        return trailing_stop(
            as_direction(position.side),
            position.entry_price,
            price,
            position.stop_loss,
            self._settings.trailing_steps_pct,
            tick_size=position.tick_size,
            best_price=best,
        )

    def _move(self, position: OpenPosition, price: Decimal, best: Decimal) -> StopMove | None:
        stop = self._stop(position, price, best)
        target = self._farther_target(position, best)
        if stop is None and target is None:
            return None
        return StopMove(
            symbol=position.symbol,
            direction=position.side,
            agent_name=AGENT_NAME,
            action="trail" if stop is not None else "extend_target",
            trade_id=position.trade_id,
            entry_price=position.entry_price,
            price=price,
            old_stop=position.stop_loss,
            new_stop=stop,
            profit_pct=profit_pct(position.side, position.entry_price, price),
            old_target=position.take_profit,
            new_target=target,
            scanner=position.scanner,
        )

    def _farther_target(self, position: OpenPosition, best: Decimal) -> Decimal | None:
        if not self._settings.extend_take_profit or not is_nearly_there(position, best):
            return None
        now = self._clock.now()
        with self._db.begin() as work:
            fresh_since = now - timedelta(seconds=self._settings.heatmap_max_age_s)
            fresh = inputs.map_times(work.session, position.symbol, fresh_since)
            clusters = inputs.standing_clusters(work.session, position.symbol, now, fresh)
        return extended_target(position, clusters, price=best, tick_size=position.tick_size)

    def _leave_watches(self, watches: dict[str, PriceWatch]) -> None:
        """Have the streams call at the next price that matters, so that nobody waits for the sweep.

        Without Redis nobody is called early; the sweep looks at every position anyway.
        """
        try:
            self._live.set_watches(watches)
        except TryAgain as error:
            log.warning("watch_not_left", symbols=len(watches), error=str(error))


def _value_usd(position: OpenPosition) -> float:
    """What is looked at first where many are due: the larger position."""
    return float(position.open_qty * position.entry_price)
