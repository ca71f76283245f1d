"""The state of the market as the streams tell it, and what of it waits to be written."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace

from whalestack.db.live import LiveTick
from whalestack.db.market_store import BarRow, LiquidationRow
from whalestack.sockets.frames import TickerFields, number

# A database that is away for long must not fill the memory; the newest rows are kept.
MOST_WAITING = 50_000
# A message may be overtaken by a later one, but not by a market minute.
OVERTAKEN_MS = 60_000


@dataclass(frozen=True, slots=True)
class PriceChange:
    """A tick whose price or open interest differs from the one before."""

    symbol: str
    ts_ms: int
    price: float
    open_interest: float | None


@dataclass(frozen=True)
class WaitingRows:
    """Rows for the database."""

    ticks: list[LiveTick]
    bars: list[BarRow]
    liquidations: list[LiquidationRow]

    def __len__(self) -> int:
        return len(self.ticks) + len(self.bars) + len(self.liquidations)


@dataclass(slots=True)
class _Coin:
    ts_ms: int = 0
    last: float | None = None
    mark: float | None = None
    bid: float | None = None
    ask: float | None = None
    open_interest: float | None = None
    turnover_24h_usd: float | None = None
    funding_rate_pct: float | None = None
    kept_ms: int = 0
    closed_bar_ms: int = 0
    bar_written_ms: int = 0


class MarketBook:
    """Merges tickers and bars of all streams. Safe for several threads.

    Args:
        tick_spacing_ms: market ms between two ticks of a coin that go to the database.
        open_bar_spacing_ms: market ms between two writes of a bar that is still open.
    """

    def __init__(self, *, tick_spacing_ms: int = 15_000, open_bar_spacing_ms: int = 20_000) -> None:
        self._tick_spacing_ms = tick_spacing_ms
        self._open_bar_spacing_ms = open_bar_spacing_ms
        self._lock = threading.Lock()
        self._coins: dict[str, _Coin] = {}
        self._changed: set[str] = set()
        self._ticks: list[LiveTick] = []
        self._bars: dict[tuple[str, int], BarRow] = {}
        self._liquidations: list[LiquidationRow] = []

    def apply_ticker(
        self, symbol: str, ts_ms: int, fields: TickerFields, *, is_snapshot: bool = False
    ) -> PriceChange | None:
        """Merge a ticker message; a message older than the last one is left out.

        Args:
            symbol: of the topic.
            ts_ms: the message's time, market ms.
            fields: what it carries; what it does not carry stays as it was.
            is_snapshot: whether it is a state from which changes go on. One from long before
                the last message starts the coin anew: then the last one's time was wrong.

        Returns:
            The change, if the price or the open interest changed and the price is known.
        """
        last, open_interest = number(fields.last), number(fields.open_interest)
        mark, bid, ask = number(fields.mark), number(fields.bid), number(fields.ask)
        turnover, funding = number(fields.turnover_24h), number(fields.funding_rate)
        with self._lock:
            coin = self._coins.setdefault(symbol, _Coin())
            if is_snapshot and ts_ms < coin.ts_ms - OVERTAKEN_MS:
                coin = self._coins[symbol] = _Coin()
            if ts_ms < coin.ts_ms:
                return None
            before = (coin.last, coin.open_interest)
            coin.ts_ms = ts_ms
            if last is not None and last > 0:
                coin.last = last
            coin.open_interest = coin.open_interest if open_interest is None else open_interest
            coin.mark = coin.mark if mark is None else mark
            coin.bid = coin.bid if bid is None else bid
            coin.ask = coin.ask if ask is None else ask
            coin.turnover_24h_usd = coin.turnover_24h_usd if turnover is None else turnover
            coin.funding_rate_pct = coin.funding_rate_pct if funding is None else funding * 100
            if coin.last is None:
                return None
            self._changed.add(symbol)
            if ts_ms - coin.kept_ms >= self._tick_spacing_ms:
                self._keep(symbol, coin)
            if before == (coin.last, coin.open_interest):
                return None
            return PriceChange(symbol, ts_ms, coin.last, coin.open_interest)

    def apply_bar(self, bar: BarRow) -> bool:
        """Take a bar; False if it is older than what is known of it."""
        with self._lock:
            coin = self._coins.setdefault(bar.symbol, _Coin())
            if not bar.is_closed and bar.start_ms <= coin.closed_bar_ms:
                return False
            if bar.is_closed:
                coin.closed_bar_ms = max(coin.closed_bar_ms, bar.start_ms)
            self._bars[bar.symbol, bar.start_ms] = replace(bar, open_interest=coin.open_interest)
            return True

    def apply_liquidations(self, rows: Iterable[LiquidationRow]) -> None:
        """Take realised liquidations."""
        with self._lock:
            self._liquidations.extend(rows)
            del self._liquidations[:-MOST_WAITING]

    def take_changed(self) -> list[LiveTick]:
        """The ticks of the coins that changed since the last call."""
        with self._lock:
            changed, self._changed = self._changed, set()
            return [tick for symbol in changed if (tick := self._tick(symbol)) is not None]

    def mark_changed(self, symbols: Iterable[str]) -> None:
        """Give these coins out again at the next `take_changed`: their write failed."""
        with self._lock:
            self._changed.update(symbols)

    def tick(self, symbol: str) -> LiveTick | None:
        """The coin's latest tick."""
        with self._lock:
            return self._tick(symbol)

    def ticks(self) -> list[LiveTick]:
        """The latest tick of every coin."""
        with self._lock:
            return [tick for symbol in self._coins if (tick := self._tick(symbol)) is not None]

    def take_rows(self) -> WaitingRows:
        """What is due for the database: thinned ticks, closed bars, now and then open ones."""
        with self._lock:
            due = [key for key, bar in self._bars.items() if self._is_due(bar)]
            rows = WaitingRows(self._ticks[-MOST_WAITING:], self._taken_bars(due), self._liquidations)
            self._ticks, self._liquidations = [], []
            return rows

    def keep(self, symbol: str) -> None:
        """Have a coin's latest tick and its open bar be among the next rows, thinned or not."""
        with self._lock:
            coin = self._coins.get(symbol)
            if coin is None:
                return
            coin.bar_written_ms = 0
            if coin.last is not None and coin.ts_ms > coin.kept_ms:
                self._keep(symbol, coin)

    def put_back(self, rows: WaitingRows) -> None:
        """Have rows wait again: writing them failed. What came since then wins."""
        with self._lock:
            self._ticks = (rows.ticks + self._ticks)[-MOST_WAITING:]
            self._liquidations = (rows.liquidations + self._liquidations)[-MOST_WAITING:]
            old = {(bar.symbol, bar.start_ms): bar for bar in rows.bars[-MOST_WAITING:]}
            self._bars = old | self._bars

    def forget(self, symbols: Iterable[str]) -> None:
        """Drop coins that are no longer followed."""
        with self._lock:
            for symbol in symbols:
                self._coins.pop(symbol, None)
                self._changed.discard(symbol)

    def _tick(self, symbol: str) -> LiveTick | None:
        coin = self._coins.get(symbol)
        if coin is None or coin.last is None:
            return None
        return LiveTick(
            symbol,
            coin.ts_ms,
            coin.last,
            coin.mark,
            coin.bid,
            coin.ask,
            coin.open_interest,
            coin.turnover_24h_usd,
            coin.funding_rate_pct,
        )

    def _keep(self, symbol: str, coin: _Coin) -> None:
        coin.kept_ms = coin.ts_ms
        tick = self._tick(symbol)
        if tick is not None:
            self._ticks.append(tick)

    def _is_due(self, bar: BarRow) -> bool:
        coin = self._coins.get(bar.symbol)
        return bar.is_closed or coin is None or coin.ts_ms - coin.bar_written_ms >= self._open_bar_spacing_ms

    def _taken_bars(self, due: list[tuple[str, int]]) -> list[BarRow]:
        bars = [self._bars.pop(key) for key in due]
        for bar in bars:
            if (coin := self._coins.get(bar.symbol)) is not None:
                coin.bar_written_ms = coin.ts_ms
        return bars
