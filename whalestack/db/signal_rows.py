"""A new signal and its messages, in one statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from whalestack.db.engine import Database

# Does not wait for the disk (docs/decisions/0013).
_WRITE = text(
    """
    with hasty as materialized (
        select set_config('synchronous_commit', 'off', true)
    ), made as (
        insert into signals (symbol, direction, occasion, scanner, triggered_at, price, oi_change_pct,
            volume_spike_ratio, price_change_pct, rank, score, ranked_at, updated_at)
        select :symbol, :direction, :occasion, :scanner, :now, :price, :oi_change_pct,
            :volume_spike_ratio, :price_change_pct, :rank, :score, :ranked_at, :now
        from hasty
        on conflict (occasion) do nothing
        returning id
    ), told as (
        insert into outbox (event_key, kind, agent_name, scanner, symbol, channel, text, due_at,
            created_at, expires_at)
        select 'signal:' || made.id, 'signal', :scanner, :scanner, :symbol, each.channel, each.body, :now,
            :now, cast(:expires_at as timestamptz)
        from made, unnest(cast(:channels as text[]), cast(:texts as text[])) as each (channel, body)
        on conflict (event_key, channel) do nothing
        returning id
    )
    select id, array(select id from told) as outbox_ids from made
    """
)


@dataclass(frozen=True)
class NewSignal:
    """What was written: the signal, and its rows of the outbox."""

    id: int
    outbox_ids: Sequence[int]


def write_signal(
    db: Database, values: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]
) -> NewSignal | None:
    """Commit a signal with its messages.

    Args:
        db: of this process.
        values: of the row; `now` is when it triggered.
        messages: rows of the outbox that differ in channel and text; at least one.

    Returns:
        None, and nothing is written, where the occasion has its signal.
    """
    told = {
        "channels": [row["channel"] for row in messages],
        "texts": [row["text"] for row in messages],
        "expires_at": messages[0]["expires_at"],
    }
    with db.alone() as connection:
        row = connection.execute(_WRITE, {**values, **told}).one_or_none()
    return NewSignal(row.id, row.outbox_ids) if row is not None else None
