"""What the parts of the exchange share: account, orders, positions, prices, time and ids."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from whalestack.clock import Clock
from whalestack.simulator.exchange.account import (
    Account,
    MarginMode,
    MarginState,
    Marked,
    bankruptcy_price,
    cross_liquidation_price,
    isolated_liquidation_price,
    order_margin,
)
from whalestack.simulator.exchange.book import OrderBook
from whalestack.simulator.exchange.event_log import EventLog
from whalestack.simulator.exchange.instrument import InstrumentRules
from whalestack.simulator.exchange.liquidity import MINUTES_A_DAY, Liquidity, Quote
from whalestack.simulator.exchange.order import ZERO, ClosedPnl, Execution
from whalestack.simulator.exchange.position import Position
from whalestack.simulator.exchange.refusals import bad_parameter
from whalestack.simulator.exchange.wire import Row
from whalestack.simulator.market.base import Market

DEFAULT_LEVERAGE = Decimal(10)
MARK_RATIO_MAX_AGE_MS = 10_000

FeedListener = Callable[[str, Row], None]


@dataclass(frozen=True)
class Fees:
    """Trading fees as fractions of the traded value: 0.00055 is 0.055 %."""

    taker: Decimal = Decimal("0.00055")
    maker: Decimal = Decimal("0.0002")


class ExchangeState:
    """The exchange's memory. The parts that change it are `Settlement`, `Matching` and `Exchange`."""

    def __init__(
        self,
        market: Market,
        clock: Clock,
        log: EventLog,
        *,
        equity_usd: Decimal,
        rng: random.Random,
        fees: Fees,
        depth_share: float,
        margin_mode: MarginMode,
    ) -> None:
        self.market = market
        self.log = log
        self.fees = fees
        self.account = Account(equity_usd, margin_mode)
        self.book = OrderBook()
        self.liquidity = Liquidity(rng, depth_share)
        self.positions: dict[str, Position] = {}
        self.executions: list[Execution] = []
        self.closed_pnl: dict[str, ClosedPnl] = {}
        self.listeners: list[FeedListener] = []
        self._clock = clock
        self._rng = rng
        self._rules: dict[str, InstrumentRules] = {}
        self._marks: dict[str, Decimal] = {}
        self._mark_ratio: dict[str, tuple[int, float]] = {}
        self._last_ms = 0
        self._seq = 0

    # --- time and ids ---------------------------------------------------------------

    def now_ms(self) -> int:
        """Market time in ms; it never goes back."""
        self._last_ms = max(self._last_ms, self._clock.now_ms())
        return self._last_ms

    def at_tick(self, ts_ms: int) -> int:
        """The moment at which a price point is dealt with: its own, or later if time has passed it."""
        self._last_ms = max(self._last_ms, ts_ms)
        return self._last_ms

    def next_seq(self) -> int:
        """A running number over all that happens."""
        self._seq += 1
        return self._seq

    def new_id(self) -> str:
        """An id in the shape of Bybit's, from the seeded generator."""
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))

    # --- market -----------------------------------------------------------------------

    def rules(self, symbol: str) -> InstrumentRules:
        """The instrument's limits.

        Raises:
            Refused: no such symbol (10001).
        """
        known = self._rules.get(symbol)
        if known is None:
            try:
                known = InstrumentRules.from_row(self.market.instrument(symbol))
            except KeyError:
                raise bad_parameter("params error: symbol invalid") from None
            self._rules[symbol] = known
        return known

    def quote(self, symbol: str, *, last: Decimal | None = None) -> Quote:
        """The market now; with `last` (USDT) given, the same spread around that price."""
        ticker, rules = self.market.ticker(symbol), self.rules(symbol)
        self._mark_ratio[symbol] = (self._last_ms, ticker.mark / ticker.last)
        shift = 1.0 if last is None else float(last) / ticker.last
        bid, ask = rules.price(ticker.bid * shift), rules.price(ticker.ask * shift)
        return Quote(
            last=rules.price(ticker.last) if last is None else last,
            mark=rules.price(ticker.mark * shift),
            index=rules.price(ticker.index * shift),
            bid=max(bid, rules.tick_size),
            ask=max(ask, bid + rules.tick_size),
            minute_usd=Decimal(round(ticker.turnover_24h / MINUTES_A_DAY)),
        )

    def mark(self, symbol: str) -> Decimal:
        """The latest mark price known, USDT: followed tick by tick while there is a position."""
        known = self._marks.get(symbol)
        return self.quote(symbol).mark if known is None else known

    def mark_at(self, symbol: str, last: float) -> Decimal:
        """Move the mark price along with a last price in USDT, keeping their ratio of late."""
        known = self._mark_ratio.get(symbol)
        if known is None or self._last_ms - known[0] > MARK_RATIO_MAX_AGE_MS:
            ticker = self.market.ticker(symbol)
            known = (self._last_ms, ticker.mark / ticker.last)
            self._mark_ratio[symbol] = known
        mark = self.rules(symbol).price(last * known[1])
        self._marks[symbol] = mark
        return mark

    def follow_mark(self, symbol: str, *, follow: bool) -> None:
        """Begin or stop following a symbol's mark price: done when its position opens or closes."""
        if not follow:
            self._marks.pop(symbol, None)
        elif symbol not in self._marks:
            self._marks[symbol] = self.quote(symbol).mark

    # --- positions and margin --------------------------------------------------------------

    def leverage(self, symbol: str) -> Decimal:
        """The chosen leverage, 10 (or the coin's maximum) until one is chosen."""
        chosen = self.account.leverage.get(symbol)
        return min(DEFAULT_LEVERAGE, self.rules(symbol).max_leverage) if chosen is None else chosen

    def position(self, symbol: str) -> Position:
        """The symbol's position, an empty one if there never was any."""
        known = self.positions.get(symbol)
        if known is None:
            known = Position(symbol, self.leverage(symbol))
            self.positions[symbol] = known
        return known

    def open_positions(self) -> list[Position]:
        """Every position with a size."""
        return [position for position in self.positions.values() if position.is_open]

    def marked(self, position: Position) -> Marked:
        """The position at the latest mark price."""
        return Marked(position, self.mark(position.symbol), self.rules(position.symbol))

    def margin(self) -> MarginState:
        """The account at the latest mark prices."""
        marked = [self.marked(position) for position in self.open_positions()]
        return self.account.state(marked, self._order_margin())

    def liquidation_price(self, position: Position) -> Decimal | None:
        """Where the position would be liquidated in the account's margin mode, USDT."""
        if not position.is_open:
            return None
        if self.account.mode is MarginMode.ISOLATED:
            return isolated_liquidation_price(position, self.rules(position.symbol))
        return cross_liquidation_price(self.marked(position), self.margin())

    def bankruptcy_price(self, position: Position) -> Decimal:
        """Where the position's own margin is used up, USDT."""
        return bankruptcy_price(position)

    def tell(self, topic: str, make_row: Callable[[], Row]) -> None:
        """Hand a row to the private stream; where nobody listens none is made."""
        if self.listeners:
            row = make_row()
            for listener in self.listeners:
                listener(topic, row)

    def _order_margin(self) -> Decimal:
        total = ZERO
        for symbol in self.book.symbols():
            orders = self.book.open_orders(symbol)
            total += order_margin(orders, self.positions, self.leverage(symbol))
        return total
