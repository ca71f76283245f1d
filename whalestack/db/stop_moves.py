"""Rows of moves of stops: written before and after, each in one statement that is committed at once.

A look at a position runs some of these for each move of its stop, many a second where many steps are
reached at once: every round trip less is time that a stop does not wait.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

_WRITE = text(
    """
    insert into position_monitor_logs (trade_id, agent_name, symbol, action, old_stop_loss, new_stop_loss,
        old_take_profit, new_take_profit, profit_pct_at_action, price, status, created_at)
    values (:trade_id, :agent_name, :symbol, :action, :old_stop, :new_stop,
        :old_target, :new_target, :profit_pct, :price, 'intent', :now)
    returning id
    """
)
_OPEN = text(
    """
    select moves.id, moves.trade_id, moves.symbol, moves.agent_name, moves.old_stop_loss, moves.new_stop_loss,
        moves.new_take_profit, moves.profit_pct_at_action, trades.side, trades.entry_price,
        coalesce(signals.scanner, '')
    from position_monitor_logs as moves
    left join trades on trades.id = moves.trade_id
    left join trade_plans as plans on plans.id = trades.plan_id
    left join signals on signals.id = plans.signal_id
    where moves.symbol = :symbol and moves.status in ('intent', 'unknown')
    order by moves.id
    """
)
_CLOSE = text(
    "update position_monitor_logs set status = :status, reason = :reason, resolved_at = :now where id = :id"
)
# The trade's row is locked and read anew where another transaction has just changed it. On record a
# stop only ratchets, and only what moved it on is told. It does not wait for the disk: a crash of the
# server leaves the intent, which did, and the position is asked what became of it.
_DONE = text(
    """
    with held as (
        select id, plan_id, :stop is not null and (stop_loss is null or
            (cast(:stop as numeric) - stop_loss) * case side when 'LONG' then 1 else -1 end > 0) as is_better
        from trades where id = :trade_id and status = 'open' for update
    ), moved as (
        update trades set
            take_profit = coalesce(cast(:target as numeric), take_profit),
            stop_loss = case when held.is_better then cast(:stop as numeric) else stop_loss end,
            updated_at = case when held.is_better then cast(:now as timestamptz) else updated_at end
        from held where trades.id = held.id
    ), closed as (
        update position_monitor_logs set status = 'done', reason = null, resolved_at = :now where id = :id
    ), told as (
        insert into outbox (event_key, kind, agent_name, scanner, symbol, channel, text, due_at, created_at,
            expires_at)
        select :event_key, :kind, :agent_name, :scanner, :symbol, each.channel, each.body, :now, :now,
            cast(:expires_at as timestamptz)
        from held, unnest(cast(:channels as text[]), cast(:texts as text[])) as each (channel, body)
        where held.is_better
        on conflict (event_key, channel) do nothing
        returning id
    )
    select array(select id from told), coalesce((
        select held.is_better and exists (
            select from orders where orders.plan_id = held.plan_id and orders.status = any(:unfinished)
        ) from held
    ), false)
    from (select set_config('synchronous_commit', 'off', true)) as unsynced
    """
)


@dataclass(frozen=True, slots=True)
class OpenMove:
    """A move of which the outcome is not written yet. `side` and `entry_price` are the trade's, None
    for a position that no trade of ours knows."""

    id: int
    trade_id: int | None
    symbol: str
    agent_name: str
    old_stop: Decimal | None
    new_stop: Decimal | None
    new_target: Decimal | None
    profit_pct: float | None
    side: str | None
    entry_price: Decimal | None
    scanner: str


@dataclass(frozen=True, slots=True)
class MoveDone:
    """What a finished move wrote: messages to deliver, and whether rungs of its plan are still open."""

    outbox_ids: Sequence[int]
    has_open_rungs: bool


def write_intent(connection: Connection, values: Mapping[str, Any]) -> int:
    """Write down a move that is about to be sent; returns its id."""
    return int(connection.execute(_WRITE, values).scalar_one())


def open_moves(connection: Connection, symbol: str) -> list[OpenMove]:
    """Moves of the symbol's stop of which the outcome was never written, oldest first."""
    return [OpenMove(*row) for row in connection.execute(_OPEN, {"symbol": symbol})]


def close_move(connection: Connection, log_id: int, status: str, reason: str | None, now: datetime) -> None:
    """Write how a move ended that changed nothing, or of which that is not known."""
    connection.execute(_CLOSE, {"id": log_id, "status": status, "reason": reason, "now": now})


def finish_move(
    connection: Connection,
    move: OpenMove,
    messages: Sequence[Mapping[str, Any]],
    unfinished: Sequence[str],
    now: datetime,
) -> MoveDone:
    """Write that a move was carried out: its row, the trade's stop and target, and what is told of it.

    Args:
        connection: commits each statement.
        move: as it was intended.
        messages: rows of the outbox that differ in channel and text, written where the stop of an
            open trade moved on; may be empty.
        unfinished: statuses of orders that may still fill.
        now: market time.
    """
    first = messages[0] if messages else {}
    row = connection.execute(
        _DONE,
        {
            "id": move.id,
            "trade_id": move.trade_id,
            "stop": move.new_stop,
            "target": move.new_target,
            "now": now,
            "symbol": move.symbol,
            "agent_name": move.agent_name,
            "scanner": move.scanner,
            "event_key": first.get("event_key"),
            "kind": first.get("kind"),
            "expires_at": first.get("expires_at"),
            "channels": [each["channel"] for each in messages],
            "texts": [each["text"] for each in messages],
            "unfinished": list(unfinished),
        },
    ).one()
    return MoveDone(row[0], row[1])
