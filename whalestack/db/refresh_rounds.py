"""Full refreshes, counted: how many maps each was to fetch, and what became of them.

A round ends when its last batch has reported. A batch reports once, however often its message is
delivered; one that ran out of time reports what it has and goes on as another batch. A round whose
batches have stopped reporting (its worker's host is gone) is given up, so that it cannot hold back
the next ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, delete, func, select, text, update
from sqlalchemy.orm import Session

from whalestack.db.models import RefreshBatch, RefreshRound

# Of one round; a broken CoinGlass would else write the same sentence thousands of times.
MAX_PROBLEMS = 50

_LOCK_ROUNDS = text("select pg_advisory_xact_lock(hashtext('refresh_rounds'))")

# The first of two deliveries that report at once is the one that counts; the other waits here for it.
_REPORT_BATCH = text(
    """
    insert into refresh_batches (round_id, batch, reported_at, ranges_refused)
    select id, :batch, :now, cast(:refused as text[]) from refresh_rounds
    where id = :id and status = 'running'
    on conflict do nothing
    """
)

_COUNT_BATCH = text(
    """
    update refresh_rounds set
        maps_stored = maps_stored + :stored,
        maps_unchanged = maps_unchanged + :unchanged,
        maps_failed = maps_failed + :failed,
        batches_done = batches_done + 1,
        batches_due = batches_due + :follows,
        problems = case when jsonb_array_length(problems) < :most
            then problems || to_jsonb(cast(:problems as text[])) else problems end,
        status = case when batches_done + 1 >= batches_due + :follows then 'finished' else status end,
        finished_at = case when batches_done + 1 >= batches_due + :follows then :now else finished_at end
    where id = :id and status = 'running'
    returning status, started_at
    """
)


@dataclass(frozen=True)
class BatchCounts:
    """What one batch adds to its round. A 14d map is stored but was never due of its own.

    Args:
        goes_on: the batch ran out of time, and another one follows with the rest.
        ranges_refused: ranges that the plan was said not to serve.
    """

    stored: int
    unchanged: int
    failed: int
    problems: Sequence[str] = ()
    goes_on: bool = False
    ranges_refused: Sequence[str] = ()


@dataclass(frozen=True)
class Reported:
    """What a batch's report did to its round.

    Args:
        counted: False when the round is over or this batch had reported before.
        ended: the round is over with it.
        started_at: when the round was started; None where nothing was counted.
    """

    counted: bool = False
    ended: bool = False
    started_at: datetime | None = None


@dataclass(frozen=True)
class LastRound:
    """What the latest round that is over learned of the plan.

    Args:
        started_at: market time.
        ranges_refused: ranges that were refused at least once.
    """

    started_at: datetime
    ranges_refused: frozenset[str] = field(default_factory=frozenset)


def lock_rounds(session: Session) -> None:
    """One starter of rounds at a time, until the transaction ends."""
    session.execute(_LOCK_ROUNDS)


def running_round(session: Session, *, started_since: datetime, reported_since: datetime) -> int | None:
    """The round that still runs, None if there is none.

    Args:
        started_since: an older round is not believed to run, whatever it says.
        reported_since: nor is one of which no batch has reported since then.
    """
    reported_at = (
        select(func.max(RefreshBatch.reported_at))
        .where(RefreshBatch.round_id == RefreshRound.id)
        .scalar_subquery()
    )
    found: int | None = session.scalar(
        select(RefreshRound.id)
        .where(
            RefreshRound.status == "running",
            RefreshRound.started_at > started_since,
            func.coalesce(reported_at, RefreshRound.started_at) > reported_since,
        )
        .order_by(RefreshRound.id.desc())
        .limit(1)
    )
    return found


def give_up_rounds(session: Session, now: datetime) -> list[int]:
    """Close every round that still says it runs; returns their ids. Call it when none should."""
    closed = session.execute(
        update(RefreshRound)
        .where(RefreshRound.status == "running")
        .values(status="given_up", finished_at=now)
        .returning(RefreshRound.id)
    )
    return list(closed.scalars())


def last_round(session: Session) -> LastRound | None:
    """The latest round that is over, None before the first."""
    found = session.execute(
        select(RefreshRound.id, RefreshRound.started_at)
        .where(RefreshRound.status != "running")
        .order_by(RefreshRound.id.desc())
        .limit(1)
    ).first()
    if found is None:
        return None
    refused = session.scalars(
        select(func.unnest(RefreshBatch.ranges_refused)).where(RefreshBatch.round_id == found.id).distinct()
    )
    return LastRound(found.started_at, frozenset(refused))


def open_round(session: Session, *, now: datetime, coins: int, maps: int, batches: int) -> int:
    """A new running round; returns its id. The reports of earlier rounds are deleted."""
    row = RefreshRound(started_at=now, coins=coins, maps_due=maps, batches_due=batches)
    session.add(row)
    session.flush()
    session.execute(delete(RefreshBatch).where(RefreshBatch.round_id != row.id))
    return row.id


def is_wanted(session: Session, round_id: int, batch: str) -> bool:
    """Whether this round still runs and this batch has not reported yet."""
    row = session.get(RefreshRound, round_id)
    if row is None or row.status != "running":
        return False
    return session.get(RefreshBatch, (round_id, batch)) is None


def report_batch(session: Session, round_id: int, batch: str, counts: BatchCounts, now: datetime) -> Reported:
    """Add a batch to its round, unless it has been added before."""
    of_batch = {"id": round_id, "batch": batch, "now": now, "refused": list(counts.ranges_refused)}
    if cast("CursorResult[Any]", session.execute(_REPORT_BATCH, of_batch)).rowcount == 0:
        return Reported()
    row = session.execute(
        _COUNT_BATCH,
        {
            "id": round_id,
            "stored": counts.stored,
            "unchanged": counts.unchanged,
            "failed": counts.failed,
            "follows": int(counts.goes_on),
            "problems": list(counts.problems[:MAX_PROBLEMS]),
            "most": MAX_PROBLEMS,
            "now": now,
        },
    ).one_or_none()
    # Given up between the two statements: nothing is counted any more.
    if row is None:
        return Reported()
    return Reported(counted=True, ended=row.status == "finished", started_at=row.started_at)
