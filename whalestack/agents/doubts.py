"""Messages in doubt: sent, and nobody saw the answer. The channel is asked whether they arrived.

A row is `unknown` after a lost answer or a worker's death. When nothing of the channel can be on
its way any more, the channel is asked for all of its doubts at once. What arrived is `sent`; what
did not is due again; what cannot be said stays `unknown`, and after a few questions for good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from whalestack.clients.channel import AskableChannel, Channel, Doubt
from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.db.engine import Database
from whalestack.db.models import OutboxMessage
from whalestack.errors import WhalestackError

log = structlog.get_logger()

ASKING_LOCK = 5_800_281
"""Advisory lock, with the channel's hash: one worker asks a channel at a time."""
QUIET_TIMEOUTS = 4
"""After so many timeouts nothing that was sent can still arrive."""
MOST_QUESTIONS = 5


@dataclass(frozen=True)
class DoubtsReport:
    """How many messages were found to have arrived, are sent again, or stay in doubt."""

    arrived: int = 0
    again: int = 0
    in_doubt: int = 0


@dataclass(frozen=True)
class _Question:
    """All that a channel is asked at once."""

    doubts: tuple[Doubt, ...]
    known: frozenset[str]
    earlier: str | None


class DoubtSettler:
    """Asks channels what has become of messages in doubt.

    Args:
        db: of this process.
        settings: timeouts, and whether channels are asked at all.
        clock: market time.
        channels: by their name in the outbox; those that cannot be asked are left out.
    """

    def __init__(
        self, *, db: Database, settings: Settings, clock: Clock, channels: Mapping[str, Channel]
    ) -> None:
        self._db = db
        self._clock = clock
        self._quiet = timedelta(seconds=settings.broadcast_timeout_s * QUIET_TIMEOUTS)
        askable = {name: each for name, each in channels.items() if isinstance(each, AskableChannel)}
        self._channels = askable if settings.broadcast_ask_in_doubt else {}

    def settle(self) -> DoubtsReport:
        """Ask each channel once for what is in doubt. One that cannot say harms no other."""
        reports = [self._settle(name, channel) for name, channel in self._channels.items()]
        return DoubtsReport(
            sum(each.arrived for each in reports),
            sum(each.again for each in reports),
            sum(each.in_doubt for each in reports),
        )

    def _settle(self, name: str, channel: AskableChannel) -> DoubtsReport:
        with self._db.begin() as asking:
            lock = select(func.pg_try_advisory_xact_lock(ASKING_LOCK, func.hashtext(name)))
            if not asking.session.scalar(lock):
                return DoubtsReport()
            question = self._question(name)
            if question is None:
                return DoubtsReport()
            try:
                found = channel.arrived(question.doubts, known=question.known, earlier=question.earlier)
            except WhalestackError as error:
                return self._note_unanswered(name, question.doubts, error)
            return self._write(name, found)

    def _question(self, channel: str) -> _Question | None:
        """None while nothing is in doubt, or while something may be on its way."""
        with self._db.begin() as work:
            now_real = work.session.scalar(select(func.clock_timestamp()))
            rows = self._in_doubt(work.session, channel)
            if now_real is None or not rows or self._is_busy(work.session, channel, now_real):
                return None
            first = min(row.claimed_at for row in rows if row.claimed_at is not None)
            known = frozenset(self._answered(work.session, channel, first - self._quiet))
            earlier = work.session.scalar(_EARLIER, {"channel": channel, "before": first - self._quiet})
            doubts = tuple(Doubt(row.id, row.text, row.claimed_at or first) for row in rows)
        return _Question(doubts, known, earlier)

    def _in_doubt(self, session: Session, channel: str) -> Sequence[OutboxMessage]:
        return session.scalars(
            select(OutboxMessage)
            .where(
                OutboxMessage.channel == channel,
                OutboxMessage.status == "unknown",
                OutboxMessage.asked < MOST_QUESTIONS,
                OutboxMessage.claimed_at.is_not(None),
            )
            .order_by(OutboxMessage.id)
        ).all()

    def _is_busy(self, session: Session, channel: str, now_real: datetime) -> bool:
        """Whether a message may arrive while the channel is asked, or has just done so."""
        under_way = select(OutboxMessage.id).where(
            OutboxMessage.channel == channel,
            (OutboxMessage.status == "sending")
            | ((OutboxMessage.status == "unknown") & (OutboxMessage.claimed_at > now_real - self._quiet)),
        )
        return session.scalar(under_way.limit(1)) is not None

    def _answered(self, session: Session, channel: str, since: datetime) -> Sequence[str]:
        return session.scalars(
            select(OutboxMessage.external_id).where(
                OutboxMessage.channel == channel,
                OutboxMessage.external_id.is_not(None),
                OutboxMessage.claimed_at >= since,
            )
        ).all()  # type: ignore[return-value]  # the condition leaves no None

    def _note_unanswered(self, channel: str, doubts: Sequence[Doubt], error: WhalestackError) -> DoubtsReport:
        log.warning("doubts_not_answered", channel=channel, doubts=len(doubts), error=str(error))
        with self._db.begin() as work:
            work.session.execute(
                update(OutboxMessage)
                .where(OutboxMessage.id.in_([doubt.outbox_id for doubt in doubts]))
                .values(asked=OutboxMessage.asked + 1)
            )
        return DoubtsReport(in_doubt=len(doubts))

    def _write(self, channel: str, found: Mapping[int, str | None]) -> DoubtsReport:
        with self._db.begin() as work:
            if self._was_answered(work.session, channel, [each for each in found.values() if each]):
                return DoubtsReport(in_doubt=len(found))
            rows = work.session.scalars(
                select(OutboxMessage)
                .where(OutboxMessage.id.in_(found), OutboxMessage.status == "unknown")
                .with_for_update()
            ).all()
            for row in rows:
                self._settle_row(row, found[row.id])
        arrived = sum(found[row.id] is not None for row in rows)
        return DoubtsReport(arrived, len(rows) - arrived)

    def _was_answered(self, session: Session, channel: str, ids: Sequence[str]) -> bool:
        """Whether one of these messages turned out to be somebody else's while we asked."""
        taken = select(OutboxMessage.id).where(
            OutboxMessage.channel == channel, OutboxMessage.external_id.in_(ids)
        )
        under_way = select(OutboxMessage.id).where(
            OutboxMessage.channel == channel, OutboxMessage.status == "sending"
        )
        return any(session.scalar(each.limit(1)) is not None for each in (taken, under_way))

    def _settle_row(self, row: OutboxMessage, external_id: str | None) -> None:
        if external_id is not None:
            row.status, row.external_id = "sent", external_id
        else:
            row.status, row.due_at, row.sent_at = "due", self._clock.now(), None
        log.info("doubt_settled", outbox_id=row.id, channel=row.channel, arrived=external_id is not None)


# Of the messages answered before any of the doubts left, the one with the highest number.
_EARLIER = text(
    "select max(cast(external_id as bigint))::text from outbox"
    " where channel = :channel and external_id ~ '^[0-9]+$' and status = 'sent' and claimed_at < :before"
)
