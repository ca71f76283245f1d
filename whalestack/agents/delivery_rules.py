"""When a message may go out: not too old, not while its channel wants silence, within budget.

Each rule looks at the outbox itself, so all workers on all machines see the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from whalestack.agents.outbox import X
from whalestack.config import Settings
from whalestack.db.models import OutboxMessage

X_BUDGET_LOCK = 5_800_280
"""Advisory lock under which posts are counted and claimed, so that two workers cannot both
take the last one of the budget."""

DAY = timedelta(days=1)
MONTH = timedelta(days=31)
"""Sliding, and as long as the longest month, so no calendar month can exceed the budget."""


@dataclass(frozen=True)
class SendNow:
    """Nothing stands against sending."""


@dataclass(frozen=True)
class Wait:
    """To be tried again from `until` on (market time)."""

    until: datetime
    reason: str


@dataclass(frozen=True)
class Drop:
    """Never to be sent."""

    reason: str


Verdict = SendNow | Wait | Drop


def judge(session: Session, row: OutboxMessage, settings: Settings, now: datetime) -> Verdict:
    """Whether `row` may be sent now.

    Args:
        session: of the transaction that claims the row.
        row: locked by it.
        settings: the budget of posts.
        now: market time.
    """
    if row.expires_at is not None and now >= row.expires_at:
        return Drop(f"too old: {(now - row.created_at).total_seconds():.0f} s")
    if row.due_at > now:
        return Wait(row.due_at, row.error or "not due yet")
    hold = held_until(session, row.channel, now)
    if hold is not None:
        return Wait(hold, "the channel asked for silence")
    if row.channel != X:
        return SendNow()
    free_at = x_budget_free_at(session, settings, now)
    if free_at is None or (row.expires_at is not None and free_at >= row.expires_at):
        return Drop(_budget_words(settings))
    return SendNow() if free_at <= now else Wait(free_at, _budget_words(settings))


def held_until(session: Session, channel: str, now: datetime) -> datetime | None:
    """The end of the silence that the channel last asked for, None when it is over."""
    return session.scalar(
        select(func.max(OutboxMessage.held_until)).where(
            OutboxMessage.channel == channel, OutboxMessage.held_until > now
        )
    )


def x_budget_free_at(session: Session, settings: Settings, now: datetime) -> datetime | None:
    """The first moment at which both budgets of posts have room: `now`, later, or never (None).

    Takes the budget's lock for the rest of the transaction. Posts under way and posts of
    unknown outcome count as sent, since X may have counted them.
    """
    session.execute(text("select pg_advisory_xact_lock(:key)"), {"key": X_BUDGET_LOCK})
    moments = [
        _window_free_at(session, now, DAY, settings.x_posts_per_day),
        _window_free_at(session, now, MONTH, settings.x_posts_per_month),
    ]
    known = [moment for moment in moments if moment is not None]
    return max(known) if len(known) == len(moments) else None


def _window_free_at(session: Session, now: datetime, window: timedelta, limit: int) -> datetime | None:
    if limit == 0:
        return None
    posted_at = func.coalesce(OutboxMessage.sent_at, OutboxMessage.due_at)
    # The post that has to leave the window before another fits is the limit-th newest.
    last_that_fits = session.scalar(
        select(posted_at)
        .where(
            OutboxMessage.channel == X,
            OutboxMessage.status.in_(("claimed", "sending", "sent", "unknown")),
            posted_at > now - window,
        )
        .order_by(posted_at.desc())
        .offset(limit - 1)
        .limit(1)
    )
    return now if last_that_fits is None else last_that_fits + window


def _budget_words(settings: Settings) -> str:
    return (
        f"the budget of {settings.x_posts_per_day} posts a day, {settings.x_posts_per_month} a month is spent"
    )
