"""What the database knows of the account and of who may trade it, in one statement."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from whalestack.db.engine import Database
from whalestack.db.models import Switch
from whalestack.db.trading_inputs import EndedTrade

_ZERO = Decimal(0)


@dataclass(frozen=True)
class Held:
    """What a plan may come to hold, or an open trade holds. At most one plan and one trade have a symbol.

    Args:
        symbol: Bybit symbol.
        agent_name: whose it is.
        usd: at the expected entry, or at the entry price.
    """

    symbol: str
    agent_name: str
    usd: Decimal


@dataclass(frozen=True)
class AccountRows:
    """Our side of the account at one moment.

    Args:
        plans: that have or may have something on the exchange.
        trades: open ones.
        ended: trades that are over, by the time they ended.
        switches: by name.
    """

    plans: Sequence[Held] = ()
    trades: Sequence[Held] = ()
    ended: Sequence[EndedTrade] = ()
    switches: dict[str, Switch] = field(default_factory=dict)


_HELD = """
    select 'plan' as what, symbol, agent_name, qty as size, expected_entry_price as price,
        null as status, null::timestamptz as at, id
    from trade_plans where status in ('entering', 'open')
    union all
    select 'trade', symbol, agent_name, open_qty, entry_price, null, null, id
    from trades where status = 'open'
"""
_HELD_ALONE = text(_HELD)
# Trades of another mode are another account's.
_ALL = text(
    f"""
    {_HELD}
    union all
    select 'ended', symbol, agent_name, pnl_usd, null, status, exit_time, id
    from trades where status <> 'open' and mode = :mode and exit_time is not null
    union all
    select 'switch', name, set_by, is_on::int, null, reason, set_at, 0 from switches
    order by at, id
    """  # noqa: S608 - nothing of it comes from outside
)


def account_rows(db: Database, mode: str) -> AccountRows:
    """Read it anew; a decision never rests on what was read for another one.

    Args:
        db: of this process.
        mode: whose trades count among those that ended.
    """
    with db.alone() as connection:
        return read_account(connection, mode)


def read_account(connection: Connection, mode: str) -> AccountRows:
    """As `account_rows`, on a connection of the caller's."""
    found: dict[str, list[Any]] = {"plan": [], "trade": [], "ended": [], "switch": []}
    for row in connection.execute(_ALL, {"mode": mode}):
        found[row.what].append(row)
    return AccountRows(
        plans=_held(found["plan"]),
        trades=_held(found["trade"]),
        ended=[
            EndedTrade(row.symbol, row.agent_name, row.status, row.at, row.size or _ZERO)
            for row in found["ended"]
        ],
        switches={row.symbol: _switch(row) for row in found["switch"]},
    )


def held_now(session: Session) -> AccountRows:
    """What plans and trades hold, in the caller's transaction; nothing else is read."""
    rows = session.execute(_HELD_ALONE).all()
    return AccountRows(
        plans=_held(row for row in rows if row.what == "plan"),
        trades=_held(row for row in rows if row.what == "trade"),
    )


def _held(rows: Iterable[Any]) -> list[Held]:
    return [Held(row.symbol, row.agent_name, (row.size or _ZERO) * (row.price or _ZERO)) for row in rows]


def _switch(row: Any) -> Switch:
    at: datetime = row.at
    return Switch(name=row.symbol, is_on=bool(row.size), reason=row.status, set_by=row.agent_name, set_at=at)
