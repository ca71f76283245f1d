"""Full refreshes, counted: how many maps each was to fetch, and what became of them.

A round ends when its last batch has reported. One that never ends (its worker died, its
messages expired) is given up after a time, so that it cannot hold back the next ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text, update
from sqlalchemy.orm import Session

from whalestack.db.models import RefreshRound

# Of one round; a broken CoinGlass would else write the same sentence thousands of times.
MAX_PROBLEMS = 50

_LOCK_ROUNDS = text("select pg_advisory_xact_lock(hashtext('refresh_rounds'))")

_COUNT_BATCH = text(
    """
    update refresh_rounds set
        maps_stored = maps_stored + :stored,
        maps_unchanged = maps_unchanged + :unchanged,
        maps_failed = maps_failed + :failed,
        batches_done = batches_done + 1,
        problems = case when jsonb_array_length(problems) < :most
            then problems || to_jsonb(cast(:problems as text[])) else problems end,
        status = case when batches_done + 1 >= batches_due then 'finished' else status end,
        finished_at = case when batches_done + 1 >= batches_due then :now else finished_at end
    where id = :id and status = 'running'
    returning status
    """
)


@dataclass(frozen=True)
class BatchCounts:
    """What one batch adds to its round. A 14d map is stored but was never due of its own."""

    stored: int
    unchanged: int
    failed: int
    problems: Sequence[str]


def lock_rounds(session: Session) -> None:
    """One starter of rounds at a time, until the transaction ends."""
    session.execute(_LOCK_ROUNDS)


def running_round(session: Session, *, since: datetime) -> int | None:
    """The round that still runs and was started after `since`, None if there is none."""
    found = (
        session.query(RefreshRound.id)
        .filter(RefreshRound.status == "running", RefreshRound.started_at > since)
        .order_by(RefreshRound.id.desc())
        .first()
    )
    return None if found is None else int(found[0])


def give_up_rounds(session: Session, now: datetime) -> list[int]:
    """Close every round that still says it runs; returns their ids. Call it when none should."""
    closed = session.execute(
        update(RefreshRound)
        .where(RefreshRound.status == "running")
        .values(status="given_up", finished_at=now)
        .returning(RefreshRound.id)
    )
    return list(closed.scalars())


def open_round(session: Session, *, now: datetime, coins: int, maps: int, batches: int) -> int:
    """A new running round; returns its id."""
    row = RefreshRound(started_at=now, coins=coins, maps_due=maps, batches_due=batches)
    session.add(row)
    session.flush()
    return row.id


def is_running(session: Session, round_id: int) -> bool:
    """Whether batches of this round are still wanted."""
    row = session.get(RefreshRound, round_id)
    return row is not None and row.status == "running"


def count_batch(session: Session, round_id: int, counts: BatchCounts, now: datetime) -> bool:
    """Add a batch to its round; True for the one batch that ends it."""
    status = session.execute(
        _COUNT_BATCH,
        {
            "id": round_id,
            "stored": counts.stored,
            "unchanged": counts.unchanged,
            "failed": counts.failed,
            "problems": list(counts.problems[:MAX_PROBLEMS]),
            "most": MAX_PROBLEMS,
            "now": now,
        },
    ).scalar_one_or_none()
    return status == "finished"
