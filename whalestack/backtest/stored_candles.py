"""Candles out of the database: its one-minute bars, with the open interest that was recorded with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.orm import Session

from whalestack.backtest.candles import Candles, CoinCandles
from whalestack.backtest.repair import Repairs, Rows, repaired
from whalestack.clock import from_ms
from whalestack.errors import StopAndTell

MINUTE_S, MINUTE_MS = 60, 60_000

_CANDLES = text(
    """
    select symbol, (extract(epoch from start_at) * 1000)::bigint as start_ms,
        open, high, low, close, volume, turnover_usd, open_interest
    from candles
    where interval = '1' and start_at >= :since and start_at < :until
        and (cast(:symbols as text[]) is null or symbol = any(cast(:symbols as text[])))
    order by symbol, start_at
    """
)


def read_database(
    session: Session, symbols: Sequence[str], begin_ms: int | None, end_ms: int | None
) -> Candles:
    """Read one-minute bars.

    Args:
        session: open.
        symbols: only these; empty for all.
        begin_ms: a week before it is read too, for the model and the windows; None for all there is.
        end_ms: None for all there is.

    Raises:
        StopAndTell: there are none.
    """
    week_ms = 7 * 86_400_000
    asked = {
        "since": from_ms(0 if begin_ms is None else begin_ms - week_ms),
        "until": from_ms(2**41 if end_ms is None else end_ms),
        "symbols": list(symbols) or None,
    }
    rows = session.execute(_CANDLES, asked).all()
    by_symbol: dict[str, list[tuple[float, ...]]] = {}
    for row in rows:
        by_symbol.setdefault(row.symbol, []).append(tuple(row[1:]))
    if not by_symbol:
        raise StopAndTell("the database holds no one-minute candles of these coins and times")
    repairs, left_out, coins = Repairs(), {}, []
    for symbol, values in by_symbol.items():
        try:
            coins.append(_coin(symbol, np.array(values, dtype=np.float64), repairs))
        except StopAndTell as error:
            left_out[symbol] = str(error)
    return Candles(tuple(coins), repairs, left_out)


def _coin(symbol: str, values: NDArray[np.float64], repairs: Repairs) -> CoinCandles:
    start_ms = values[:, 0].astype(np.int64)
    rows = repaired(symbol, Rows(start_ms, np.ascontiguousarray(values[:, 1:7].T)), MINUTE_S, repairs)
    known = np.isfinite(values[:, 7]) & (values[:, 7] > 0)
    interest = (start_ms[known] + MINUTE_MS, values[known, 7]) if known.any() else None
    decimals = max(len(f"{price:.10f}".rstrip("0").partition(".")[2]) for price in values[-1000:, 4])
    return CoinCandles(symbol, {MINUTE_S: rows}, decimals, interest)
