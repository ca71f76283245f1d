"""Keeping orders, fills and trades true: from the private stream, and by asking behind it.

The stream is fast and may lose, repeat or swap messages; asking is slow and complete. Both go
through the same doors (`order_book`, `trade_book`), so whichever comes first does the work
and the other changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

import structlog
from sqlalchemy.exc import DataError, IntegrityError

from whalestack.agents import order_book, plan_rows
from whalestack.agents.order_asker import OrderAsker
from whalestack.agents.patience import Patience, is_within
from whalestack.agents.trade_book import BookChanges, TradeBook
from whalestack.clients.bybit import rows as bybit_rows
from whalestack.clients.bybit.port import ExchangePort
from whalestack.clients.bybit.types import Execution, OrderState
from whalestack.clock import Clock, to_ms
from whalestack.config import Settings
from whalestack.db import agent_store
from whalestack.db import trading_store as store
from whalestack.db.engine import Database
from whalestack.db.models import Order
from whalestack.dispatch import Job
from whalestack.errors import TryAgain

log = structlog.get_logger(__name__)

WATCHDOG_TASK = "trailing.watchdog"
FIRST_LOOK_BACK = timedelta(days=1)
# The row of `switches` that says when all fills were last asked for.
POLLED = "fills_polled"
T = TypeVar("T")


@dataclass(frozen=True)
class KeeperReport:
    """What one event or one poll did. `resolved` counts orders that left an unfinished state by asking."""

    orders: int = 0
    changes: BookChanges = field(default_factory=BookChanges)
    asked: int = 0
    resolved: int = 0
    unreadable: int = 0
    unprotected: tuple[str, ...] = ()


class OrderKeeper:
    """Applies what the exchange tells.

    Args:
        db: of this process.
        exchange: asked by `poll`.
        settings: bounds and channels.
        clock: market time.
        trade_book: takes in fills.
        asker: resolves single orders.
    """

    def __init__(
        self,
        *,
        db: Database,
        exchange: ExchangePort,
        settings: Settings,
        clock: Clock,
        trade_book: TradeBook,
        asker: OrderAsker,
    ) -> None:
        self._db = db
        self._exchange = exchange
        self._settings = settings
        self._clock = clock
        self._trade_book = trade_book
        self._asker = asker
        self._patience = Patience.from_settings(settings, clock)

    # --- the stream -----------------------------------------------------------------

    def apply_event(self, topic: str, rows: Sequence[Mapping[str, Any]], received_ms: int) -> KeeperReport:
        """Apply one message of the private stream.

        Args:
            topic: order, execution or position, with or without ``.linear``; others are ignored.
            rows: Bybit's rows as they came. One that cannot be read is logged and left out;
                the poll finds what it would have told.
            received_ms: market time at which the stream had it.
        """
        log.debug("private_event", topic=topic, rows=len(rows), received_ms=received_ms)
        kind = topic.split(".", 1)[0]
        if kind == "execution":
            executions, bad = _read(bybit_rows.execution, rows)
            return KeeperReport(changes=self.apply_executions(executions, "stream"), unreadable=bad)
        if kind == "order":
            states, bad = _read(bybit_rows.order_state, rows)
            return KeeperReport(orders=self._apply_states(states), unreadable=bad)
        if kind == "position":
            return self._look_at_stops(rows)
        return KeeperReport()

    def apply_executions(self, executions: Iterable[Execution], source: str) -> BookChanges:
        """Take in fills, one transaction for each symbol, so that none holds up another."""
        by_symbol: dict[str, list[Execution]] = defaultdict(list)
        for execution in executions:
            by_symbol[execution.symbol].append(execution)
        changes = BookChanges()
        for symbol in sorted(by_symbol):
            try:
                with self._db.begin() as work:
                    changes += self._trade_book.apply(work, by_symbol[symbol], source)
            except (IntegrityError, DataError) as error:
                # Fills that do not fit into the tables: the other symbols go on, the log has the reason.
                log.error("fills_not_taken_in", symbol=symbol, error=str(error.orig))
        return changes

    def _apply_states(self, states: Iterable[OrderState]) -> int:
        ours = 0
        for state in states:
            if not state.order_link_id:
                # Stops and targets of positions, two for each: they cannot carry an id of ours.
                continue
            with self._db.begin() as work:
                store.lock_book(work.session, state.symbol)
                seen = order_book.apply_state(work.session, state, self._clock.now())
                if seen is not order_book.Seen.OURS:
                    continue
                ours += 1
                order = work.session.get_one(Order, state.order_link_id)
                work.session.flush()
                if order.plan_id is not None:
                    plan_rows.settle_and_tell(
                        work, order.plan_id, settings=self._settings, now=self._clock.now()
                    )
        return ours

    def _apply_listed(self, states: Sequence[OrderState]) -> int:
        """The same for a list of all open orders, of which nearly all say what is known already: those
        cost one statement together, where each would take its book's lock and a transaction."""
        with self._db.begin() as work:
            rows = store.orders_of(work.session, [state.order_link_id for state in states])
        known = [state for state in states if state.order_link_id in rows]
        news = [state for state in known if not order_book.says_nothing_new(rows[state.order_link_id], state)]
        return len(known) - len(news) + self._apply_states(news)

    def _look_at_stops(self, rows: Sequence[Mapping[str, Any]]) -> KeeperReport:
        """A position told without a stop is looked at by the watchdog now, not at its next turn."""
        positions, bad = _read(bybit_rows.position, rows)
        naked = tuple(each.symbol for each in positions if each is not None and each.stop_loss is None)
        if naked:
            log.warning("position_without_stop", symbols=naked)
            with self._db.begin() as work:
                work.dispatch_after_commit(Job(WATCHDOG_TASK))
        return KeeperReport(unreadable=bad, unprotected=naked)

    # --- asking -----------------------------------------------------------------------

    def poll(self, *, unless_within_s: float = 0.0) -> KeeperReport:
        """Ask the exchange what the stream may have missed: fills, open orders, lost answers.

        An order without an answer does not wait until fills can be had again: it is asked about by
        itself.

        Args:
            unless_within_s: do nothing where the last poll began within so many market seconds.

        Raises:
            TryAgain: not everything could be asked; what was learnt until then stands.
        """
        if self._was_polled_within(unless_within_s):
            return KeeperReport()
        asked_at = self._clock.now()
        changes, failure = BookChanges(), None
        try:
            changes = self.apply_executions(self._exchange.executions(since_ms=self._since_ms()), "poll")
            self._note_poll(asked_at)
        except TryAgain as error:
            failure = error
        open_orders = self._exchange.open_orders()
        seen = self._apply_listed(open_orders)
        listed = {state.order_link_id for state in open_orders}
        asked, resolved = self._ask_about_others(listed)
        if failure is not None:
            raise failure
        changes += self._fetch_missing_fills()
        return KeeperReport(orders=seen, changes=changes, asked=asked, resolved=resolved)

    def _was_polled_within(self, market_s: float) -> bool:
        with self._db.begin() as work:
            polled_at = agent_store.set_since(work.session, POLLED)
        return polled_at is not None and is_within(polled_at, self._clock.now(), market_s)

    def _since_ms(self) -> int:
        """From when to ask for fills: well before the last poll that brought them all.

        Not before the newest fill: after hours of absence the stream may be up before the poll,
        and its fills would hide those that were missed.
        """
        with self._db.begin() as work:
            polled_at = agent_store.set_since(work.session, POLLED)
        now = self._clock.now()
        return to_ms(min(polled_at, now) - self._patience.overlap if polled_at else now - FIRST_LOOK_BACK)

    def _note_poll(self, asked_at: datetime) -> None:
        with self._db.begin() as work:
            agent_store.set_switch(
                work.session, POLLED, is_on=True, reason="", set_by="order-keeper", now=asked_at
            )

    def _ask_about_others(self, listed: set[str]) -> tuple[int, int]:
        """Orders that we hold for unfinished and that are not open: each is asked about by its id."""
        with self._db.begin() as work:
            unfinished = store.orders_in(work.session, store.ON_EXCHANGE)
        missing = [order.order_link_id for order in unfinished if order.order_link_id not in listed]
        after = [self._asker.ask(order_link_id) for order_link_id in missing]
        return len(missing), sum(status not in store.ON_EXCHANGE for status in after)

    def _fetch_missing_fills(self) -> BookChanges:
        """Orders that are said to have filled more than our fills add up to."""
        with self._db.begin() as work:
            since = self._clock.now() - FIRST_LOOK_BACK
            incomplete = store.orders_with_missing_fills(work.session, since)
        changes = BookChanges()
        for order in incomplete:
            found = self._exchange.executions(order.symbol, order_link_id=order.order_link_id)
            changes += self.apply_executions(found, "poll")
        return changes


def _read(parse: Callable[[Mapping[str, Any]], T], rows: Sequence[Mapping[str, Any]]) -> tuple[list[T], int]:
    """The rows that can be read, and how many cannot."""
    good: list[T] = []
    for row in rows:
        try:
            good.append(bybit_rows.read_row(parse, row))
        except bybit_rows.BadRow as error:
            log.warning("private_row_unreadable", error=str(error))
    return good, len(rows) - len(good)
