"""Positions on the exchange and open trades in the database: every symbol of either side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import structlog

from whalestack.agents.adoption import adopt_position, close_on_paper
from whalestack.agents.alerts import alert
from whalestack.agents.order_keeper import OrderKeeper
from whalestack.agents.patience import Patience
from whalestack.agents.pnl import direction_of
from whalestack.agents.trade_book import TradeBook
from whalestack.clients.bybit.port import ExchangePort
from whalestack.clients.bybit.types import Position
from whalestack.clock import Clock, to_ms
from whalestack.config import Settings
from whalestack.db import agent_store, trade_store
from whalestack.db import trading_store as store
from whalestack.db.engine import Database
from whalestack.db.models import Trade
from whalestack.errors import WhalestackError
from whalestack.math.directions import as_direction, sign

log = structlog.get_logger(__name__)

AGENT_NAME = "reconciler"
LOOK_BACK = timedelta(hours=1)
MISSING = "trade_missing"


@dataclass(frozen=True)
class PositionFindings:
    """What one comparison of positions found and did; sentences in `differences`."""

    trades: int = 0
    adopted: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()


class PositionReconciliation:
    """Compares positions with trades.

    Args:
        db: of this process.
        exchange: the other side.
        settings: whether what is unknown is adopted or reported, and who is told.
        clock: market time.
        keeper: takes in the fills that explain a difference.
        trade_book: closes trades on paper.
    """

    def __init__(
        self,
        *,
        db: Database,
        exchange: ExchangePort,
        settings: Settings,
        clock: Clock,
        keeper: OrderKeeper,
        trade_book: TradeBook,
    ) -> None:
        self._db = db
        self._exchange = exchange
        self._settings = settings
        self._clock = clock
        self._keeper = keeper
        self._trade_book = trade_book
        self._patience = Patience.from_settings(settings, clock)

    def run(self, held: Sequence[Position]) -> PositionFindings:
        """Compare every symbol that either side holds.

        Args:
            held: positions as they were read before the last poll of fills.
        """
        by_symbol = {position.symbol: position for position in held}
        with self._db.begin() as work:
            trades = {trade.symbol: trade for trade in trade_store.open_trades(work.session)}
        found: dict[str, list[str]] = {"adopted": [], "closed": [], "differences": []}
        for symbol in sorted(by_symbol.keys() | trades.keys()):
            if not _agree(by_symbol.get(symbol), trades.get(symbol)):
                self._guarded_repair(symbol, found)
            self._follow_stop(by_symbol.get(symbol), trades.get(symbol))
        return PositionFindings(len(trades), *(tuple(sentences) for sentences in found.values()))

    def _guarded_repair(self, symbol: str, found: dict[str, list[str]]) -> None:
        """A symbol whose difference cannot be resolved must not hide those of the others."""
        try:
            kind, sentence = self._repair(symbol)
        except WhalestackError as error:
            log.warning("difference_not_resolved", symbol=symbol, error=str(error))
            kind, sentence = "differences", f"{symbol}: could not be looked at again ({error})"
        if kind:
            found[kind].append(sentence)

    def _repair(self, symbol: str) -> tuple[str, str]:
        """Look again with every fill of the symbol at hand; what still differs is real."""
        with self._db.begin() as work:
            trade = trade_store.open_trade(work.session, symbol)
        since = (trade.entry_time if trade is not None else self._clock.now()) - LOOK_BACK
        position = self._exchange.position(symbol)
        self._keeper.apply_executions(self._exchange.executions(symbol, since_ms=to_ms(since)), "poll")
        with self._db.begin() as work:
            trade = trade_store.open_trade(work.session, symbol)
        if _agree(position, trade):
            return "", ""
        if position is None and trade is not None:
            return self._close(trade)
        if position is not None and trade is None:
            return ("", "") if self._fills_may_follow(symbol) else self._unknown_position(position)
        return "differences", self._report(symbol, _mismatch(position, trade))

    def _fills_may_follow(self, symbol: str) -> bool:
        """An order of ours is on its way: Bybit may show its position before it lists its fills."""
        with self._db.begin() as work:
            return store.has_active_plan(work.session, symbol)

    def _close(self, trade: Trade) -> tuple[str, str]:
        """The exchange does not hold it any more and no fill says why: its account of profit decides."""
        if self._exchange.position(trade.symbol) is not None:
            return "", ""
        results = self._exchange.closed_pnl(trade.symbol, since_ms=to_ms(trade.entry_time))
        if not results and not self._was_missing_before(trade):
            return (
                "differences",
                f"Trade {trade.id} in {trade.symbol} is not on Bybit; it is looked at once more",
            )
        with self._db.begin() as work:
            store.lock_book(work.session, trade.symbol)
            row = trade_store.locked_trade(work.session, trade.id)
            if row.status != "open":
                return "", ""
            close_on_paper(work, row, results, self._trade_book, now=self._clock.now())
        sentence = f"Trade {trade.id} in {trade.symbol} is not on Bybit any more and was closed here"
        self._report(trade.symbol, sentence)
        return "closed", sentence

    def _was_missing_before(self, trade: Trade) -> bool:
        """One empty answer closes nothing: without a result that tells of the end, the position must
        have been missing some time ago already."""
        now = self._clock.now()
        with self._db.begin() as work:
            seen_at = agent_store.logged_since(work.session, MISSING, trade.symbol, now - LOOK_BACK, trade.id)
            if not seen_at:
                agent_store.log_action(
                    work.session,
                    agent_name=AGENT_NAME,
                    action=MISSING,
                    symbol=trade.symbol,
                    details={"trade_id": trade.id},
                    now=now,
                )
        return bool(seen_at) and now - seen_at[0] >= self._patience.absent_after

    def _unknown_position(self, position: Position) -> tuple[str, str]:
        size = f"{direction_of(position.side)} {position.size.normalize():f}"
        what = f"{size} {position.symbol} at {position.avg_price:f}"
        if not self._settings.adopt_unknown_positions:
            return "differences", self._report(
                position.symbol, f"Bybit holds {what}, which no trade of ours knows"
            )
        with self._db.begin() as work:
            store.lock_book(work.session, position.symbol)
            if trade_store.open_trade(work.session, position.symbol) is not None:
                return "", ""
            adopt_position(
                work, position, settings=self._settings, trade_book=self._trade_book, now=self._clock.now()
            )
        return "adopted", self._report(position.symbol, f"{what} was adopted as a manual trade")

    def _follow_stop(self, position: Position | None, trade: Trade | None) -> None:
        """A stop that somebody moved toward profit is the trade's stop from now on.

        One that was moved away from profit is not followed: the watchdog puts it back.
        """
        if position is None or trade is None or position.stop_loss in (None, trade.stop_loss):
            return
        if direction_of(position.side) != trade.side:
            return
        with store.action_lock(self._db.engine, trade.symbol) as alone, self._db.begin() as work:
            store.lock_book(work.session, trade.symbol)
            row = trade_store.locked_trade(work.session, trade.id)
            if (
                alone
                and row.status == "open"
                and position.stop_loss is not None
                and _is_tighter(row, position.stop_loss)
            ):
                row.stop_loss, row.updated_at = position.stop_loss, self._clock.now()
                log.info("stop_followed", symbol=row.symbol, stop=str(position.stop_loss))

    def _report(self, symbol: str, sentence: str) -> str:
        """Told once a day: the key is the sentence, so the same difference is not told every minute."""
        now = self._clock.now()
        with self._db.begin() as work:
            alert(
                work,
                settings=self._settings,
                now=now,
                agent_name=AGENT_NAME,
                key=f"difference:{now:%Y%m%d}:{sentence}",
                what=f"{sentence}.",
                symbol=symbol,
            )
        return sentence


def _agree(position: Position | None, trade: Trade | None) -> bool:
    if position is None or trade is None:
        return position is None and trade is None
    return direction_of(position.side) == trade.side and position.size == trade.open_qty


def _is_tighter(trade: Trade, stop: Decimal) -> bool:
    if trade.stop_loss is None:
        return True
    return (stop - trade.stop_loss) * sign(as_direction(trade.side)) > 0


def _mismatch(position: Position | None, trade: Trade | None) -> str:
    there = "nothing" if position is None else f"{direction_of(position.side)} {position.size.normalize():f}"
    here = "nothing" if trade is None else f"{trade.side} {trade.open_qty.normalize():f}"
    symbol = position.symbol if position is not None else trade.symbol if trade is not None else ""
    return f"Bybit holds {there} of {symbol}, our trade says {here}"
