"""What a look at open positions has to know, one or all, in one statement.

The best price since the last entry is asked of ticks and bars each time, and not remembered: a gap
of the streams is filled later.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, text

_OPEN_POSITIONS = """
select trades.id as trade_id, trades.symbol, trades.side, trades.entry_price, trades.open_qty,
    trades.stop_loss, trades.take_profit, coins.tick_size, coalesce(signals.scanner, '') as scanner,
    entered.at as entered_at,
    least(bars.low, ticks.low) as lowest, greatest(bars.high, ticks.high) as highest,
    exists (
        select from position_monitor_logs as moves
        where moves.symbol = trades.symbol and moves.status in ('intent', 'unknown')
    ) as has_open_moves
from trades
join coins on coins.symbol = trades.symbol
left join trade_plans as plans on plans.id = trades.plan_id
left join signals on signals.id = plans.signal_id
cross join lateral (
    select coalesce(max(fills.executed_at), trades.entry_time) as at from fills
    where fills.trade_id = trades.id and fills.exec_type = any(:exec_types)
        and fills.side = case trades.side when 'LONG' then 'Buy' else 'Sell' end
) as entered
cross join lateral (
    select min(low) as low, max(high) as high from candles
    where candles.symbol = trades.symbol and candles.interval = '1' and candles.start_at >= entered.at
) as bars
cross join lateral (
    select min(price) as low, max(price) as high from market_ticks
    where market_ticks.symbol = trades.symbol
        and market_ticks.ts between entered.at and entered.at + interval '1 minute'
) as ticks
where trades.status = 'open'
"""
_ONE = text(_OPEN_POSITIONS + " and trades.symbol = :symbol")
_ALL = text(_OPEN_POSITIONS + " order by trades.id")


@dataclass(frozen=True, slots=True)
class OpenPosition:
    """An open trade as a look at its stop sees it. Prices in Bybit price units, None where not known.

    Args:
        trade_id: of the open trade.
        symbol: Bybit symbol.
        side: LONG or SHORT.
        entry_price: average.
        open_qty: base coins.
        stop_loss, take_profit: as our record has them.
        tick_size: of the coin.
        scanner: behind the trade's signal, empty where there is none.
        entered_at: when the position last became larger; since then its average is what it is.
        lowest, highest: last prices since then, as ticks and minute bars tell. The minute in which
            it was entered is told by its ticks alone: its bar knows older prices too.
        has_open_moves: moves of the symbol's stop of which the outcome was never written.
    """

    trade_id: int
    symbol: str
    side: str
    entry_price: Decimal
    open_qty: Decimal
    stop_loss: Decimal | None
    take_profit: Decimal | None
    tick_size: Decimal
    scanner: str
    entered_at: datetime
    lowest: float | None
    highest: float | None
    has_open_moves: bool


def open_position(connection: Connection, symbol: str, exec_types: Collection[str]) -> OpenPosition | None:
    """The symbol's open position, None without an open trade or where we do not know the coin.

    Args:
        connection: open.
        symbol: Bybit symbol.
        exec_types: of the fills after which a position has another size.
    """
    row = connection.execute(_ONE, {"symbol": symbol, "exec_types": list(exec_types)}).one_or_none()
    return None if row is None else OpenPosition(*row)


def open_positions(connection: Connection, exec_types: Collection[str]) -> list[OpenPosition]:
    """All of them, oldest first; arguments as of `open_position`."""
    return [OpenPosition(*row) for row in connection.execute(_ALL, {"exec_types": list(exec_types)})]
