"""Writes what the book holds: the present to Redis, the history to the database."""

from __future__ import annotations

import threading

import structlog
from sqlalchemy.exc import SQLAlchemyError

from whalestack.db.live import LiveMarket
from whalestack.db.market_store import MarketStore
from whalestack.errors import TryAgain
from whalestack.sockets.book import MarketBook

log = structlog.get_logger()


class Recorder:
    """Moves rows out of the book; what cannot be written waits for the next time.

    Args:
        book: what the streams said.
        live: the present, in Redis.
        store: the history, in the database.
    """

    def __init__(self, book: MarketBook, live: LiveMarket, store: MarketStore) -> None:
        self._book = book
        self._live = live
        self._store = store
        self._writing = threading.Lock()
        self.rows_written = 0
        self.failures = 0

    def show_changes(self, *, all_coins: bool = False) -> int:
        """Write the coins that changed, or all of them, to Redis; returns how many.

        Raises:
            TryAgain: Redis is away; the changes are kept for the next call.
        """
        ticks = self._book.take_changed()
        if all_coins:
            ticks = self._book.ticks()
        try:
            return self._live.put_many(ticks)
        except TryAgain:
            self._book.mark_changed(tick.symbol for tick in ticks)
            raise

    def show(self, symbol: str) -> bool:
        """Write one coin's latest tick to Redis. Raises `TryAgain`."""
        tick = self._book.tick(symbol)
        if tick is not None:
            self._live.put_many([tick])
        return tick is not None

    def store_due(self) -> bool:
        """Write what is due to the database; False if it could not be written."""
        rows = self._book.take_rows()
        if not len(rows):
            return True
        with self._writing:
            try:
                self._store.put_ticks(rows.ticks)
                self._store.put_bars(rows.bars)
                self._store.put_liquidations(rows.liquidations)
            except (SQLAlchemyError, TryAgain) as error:
                self.failures += 1
                self._book.put_back(rows)
                log.warning("market_store_failed", rows=len(rows), error=type(error).__name__)
                return False
        self.rows_written += len(rows)
        return True
