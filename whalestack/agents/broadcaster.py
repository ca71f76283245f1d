"""Delivery of the outbox: each message to its channel, once.

The row is claimed and the claim committed before anything is sent, so a task that is
delivered twice finds it taken:

    due        nobody has it
    claimed    one worker has it, and nothing can have left: if that worker dies it is due again
    sending    committed right before the request's body leaves: if the worker dies now, the
               outcome is unknown
    unknown    nobody saw an answer: the channel is asked later whether it arrived, see
               `whalestack.agents.doubts`
    sent       the answer is there

The kinds of `BROADCAST_REPEAT_KINDS` are sent again without asking, because for those one too
many now is better than the right number later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import structlog
from sqlalchemy import func, select, update

from whalestack.agents.delivery_rules import Drop, Verdict, Wait, judge
from whalestack.agents.doubts import DoubtSettler
from whalestack.agents.outbox import DELIVER_TASK
from whalestack.clients.channel import Channel, Receipt
from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.db.engine import Database, UnitOfWork
from whalestack.db.models import OutboxMessage
from whalestack.dispatch import Job
from whalestack.errors import GiveUp, StopAndTell, TryAgain, UnknownOutcome, WhalestackError

log = structlog.get_logger()

Outcome = Literal["sent", "failed", "unknown", "dropped", "later", "nothing_to_do"]

SWEEP_LIMIT = 500
MAX_BACKOFF_S = 60.0
STALE_CLAIM_TIMEOUTS = 8
"""A send takes an upload and a post, each with a few timeouts; a claim older than this many
belongs to a worker that is gone."""


@dataclass(frozen=True)
class DeliveryReport:
    """What became of one message, and why it was not simply sent."""

    outbox_id: int
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True)
class BroadcastSweepReport:
    """What one sweep found.

    Args:
        dispatched: rows enqueued again.
        dropped: too old to be sent.
        unknown, repeated: claims of dead workers.
        arrived, again: messages in doubt that are there, and those that are sent again.
    """

    dispatched: int
    dropped: int
    unknown: int
    repeated: int
    arrived: int = 0
    again: int = 0


@dataclass(frozen=True)
class _Claimed:
    """A message that this worker alone may send now."""

    outbox_id: int
    channel: str
    kind: str
    text: str
    image: bytes | None
    attempts: int


class _ClaimLost(WhalestackError):
    """A sweep took the claim for a dead worker's while this one was held up; nothing has left."""


class Broadcaster:
    """Delivers the outbox.

    Args:
        db: of this process.
        settings: budgets, timeouts, and which kinds are repeated.
        clock: market time, in which messages grow old.
        channels: by their name in the outbox, see `whalestack.agents.channels.open_channels`.
    """

    def __init__(
        self, *, db: Database, settings: Settings, clock: Clock, channels: Mapping[str, Channel]
    ) -> None:
        self._db = db
        self._settings = settings
        self._clock = clock
        self._channels = channels
        self._doubts = DoubtSettler(db=db, settings=settings, clock=clock, channels=channels)

    def deliver(self, outbox_id: int) -> DeliveryReport:
        """Send one message if it is still due and nobody else has it.

        Returns:
            What became of it. A refused or late message is an outcome, not an error.
        """
        claimed = self._claim(outbox_id)
        if isinstance(claimed, DeliveryReport):
            return claimed
        try:
            receipt = self._channel(claimed.channel).send(
                claimed.text, claimed.image, lambda: self._note_leaving(claimed)
            )
        except _ClaimLost as lost:
            return DeliveryReport(outbox_id, "nothing_to_do", str(lost))
        except WhalestackError as error:
            return self._settle_error(claimed, error)
        return self._settle_sent(claimed, receipt)

    def sweep(self) -> BroadcastSweepReport:
        """Enqueue what is due again, and settle what a dead worker left half done.

        A message whose job was lost, held back or refused for the moment leaves with this.
        """
        with self._db.begin() as work:
            unknown, repeated = self._settle_stale_claims(work)
        doubts = self._doubts.settle()
        with self._db.begin() as work:
            dropped = self._drop_old(work)
            dispatched = self._dispatch_due(work)
        return BroadcastSweepReport(dispatched, dropped, unknown, repeated, doubts.arrived, doubts.again)

    def close(self) -> None:
        """Give back the channels' connections and threads."""
        for channel in self._channels.values():
            channel.close()

    def _claim(self, outbox_id: int) -> _Claimed | DeliveryReport:
        with self._db.begin() as work:
            row = work.session.scalar(
                select(OutboxMessage)
                .where(OutboxMessage.id == outbox_id, OutboxMessage.status == "due")
                .with_for_update(skip_locked=True)
            )
            if row is None:
                return DeliveryReport(outbox_id, "nothing_to_do", "not due, or taken by another worker")
            verdict = judge(work.session, row, self._settings, self._clock.now())
            refused = self._apply(row, verdict)
            if refused is not None:
                return refused
            row.status = "claimed"
            row.claimed_at = func.clock_timestamp()
            row.attempts += 1
            return _Claimed(row.id, row.channel, row.kind, row.text, row.image, row.attempts)

    def _note_leaving(self, claimed: _Claimed) -> None:
        """Commit that from here on the message may arrive: one statement, because whoever dies
        between this and the write that follows leaves a message in doubt."""
        noted = (
            update(OutboxMessage)
            .where(
                OutboxMessage.id == claimed.outbox_id,
                OutboxMessage.status.in_(("claimed", "sending")),
                OutboxMessage.attempts == claimed.attempts,
            )
            .values(status="sending")
        )
        with self._db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            if connection.execute(noted).rowcount != 1:
                raise _ClaimLost("held up for so long that the claim was given back")

    def _apply(self, row: OutboxMessage, verdict: Verdict) -> DeliveryReport | None:
        """Write a verdict against sending into the row; None where nothing stands against it."""
        if isinstance(verdict, Drop):
            row.status, row.error = "dropped", verdict.reason
            log.warning("message_dropped", outbox_id=row.id, channel=row.channel, reason=verdict.reason)
            return DeliveryReport(row.id, "dropped", verdict.reason)
        if isinstance(verdict, Wait):
            row.due_at, row.error = verdict.until, verdict.reason
            return DeliveryReport(row.id, "later", verdict.reason)
        return None

    def _channel(self, name: str) -> Channel:
        try:
            return self._channels[name]
        except KeyError:
            raise StopAndTell(f"channel {name} is not configured in this worker") from None

    def _settle_sent(self, claimed: _Claimed, receipt: Receipt) -> DeliveryReport:
        with self._db.begin() as work:
            row = self._locked(work, claimed.outbox_id)
            row.status, row.error = "sent", None
            row.sent_at, row.external_id = self._clock.now(), receipt.external_id
            if receipt.quiet_s is not None:
                row.held_until = self._after_real(receipt.quiet_s)
        log.info("message_sent", outbox_id=claimed.outbox_id, channel=claimed.channel, kind=claimed.kind)
        return DeliveryReport(claimed.outbox_id, "sent")

    def _settle_error(self, claimed: _Claimed, error: WhalestackError) -> DeliveryReport:
        with self._db.begin() as work:
            row = self._locked(work, claimed.outbox_id)
            outcome = self._record_error(row, claimed, error)
            row.error = str(error)
        log.warning(
            "message_not_sent",
            outbox_id=claimed.outbox_id,
            channel=claimed.channel,
            outcome=outcome,
            error=str(error),
        )
        return DeliveryReport(claimed.outbox_id, outcome, str(error))

    def _record_error(self, row: OutboxMessage, claimed: _Claimed, error: WhalestackError) -> Outcome:
        if isinstance(error, TryAgain):
            wait_s = error.retry_after_s
            row.status = "due"
            row.due_at = self._after_real(_backoff_s(claimed.attempts) if wait_s is None else wait_s)
            row.held_until = None if wait_s is None else row.due_at
            return "later"
        if isinstance(error, GiveUp | StopAndTell):
            row.status = "failed"
            return "failed"
        if row.status == "claimed" or self._is_repeated(claimed.kind):
            row.status, row.due_at = "due", self._after_real(_backoff_s(claimed.attempts))
            return "later"
        row.status, row.sent_at = "unknown", self._clock.now()
        return "unknown"

    def _locked(self, work: UnitOfWork, outbox_id: int) -> OutboxMessage:
        return work.session.scalars(
            select(OutboxMessage).where(OutboxMessage.id == outbox_id).with_for_update()
        ).one()

    def _settle_stale_claims(self, work: UnitOfWork) -> tuple[int, int]:
        stale_s = self._settings.broadcast_timeout_s * STALE_CLAIM_TIMEOUTS
        rows = work.session.scalars(
            select(OutboxMessage)
            .where(
                OutboxMessage.status.in_(("claimed", "sending")),
                OutboxMessage.claimed_at < func.clock_timestamp() - timedelta(seconds=stale_s),
            )
            .with_for_update(skip_locked=True)
        ).all()
        lost = UnknownOutcome("the worker ended between claim and answer")
        outcomes = [self._settle_stale(row, lost) for row in rows]
        return outcomes.count("unknown"), outcomes.count("later")

    def _settle_stale(self, row: OutboxMessage, lost: UnknownOutcome) -> Outcome:
        claimed = _Claimed(row.id, row.channel, row.kind, row.text, None, row.attempts)
        outcome = self._record_error(row, claimed, lost)
        row.error = str(lost)
        log.warning("message_claim_stale", outbox_id=row.id, channel=row.channel, outcome=outcome)
        return outcome

    def _is_repeated(self, kind: str) -> bool:
        return kind in self._settings.broadcast_repeat_kinds

    def _drop_old(self, work: UnitOfWork) -> int:
        dropped = work.session.scalars(
            update(OutboxMessage)
            .where(OutboxMessage.status == "due", OutboxMessage.expires_at <= self._clock.now())
            .values(status="dropped", error=func.coalesce(OutboxMessage.error + "; ", "") + "too old")
            .returning(OutboxMessage.id)
            .execution_options(synchronize_session=False)
        ).all()
        if dropped:
            log.warning("messages_dropped", count=len(dropped), reason="too old")
        return len(dropped)

    def _dispatch_due(self, work: UnitOfWork) -> int:
        due = work.session.scalars(
            select(OutboxMessage.id)
            .where(OutboxMessage.status == "due", OutboxMessage.due_at <= self._clock.now())
            .order_by(OutboxMessage.due_at, OutboxMessage.id)
            .limit(SWEEP_LIMIT)
        ).all()
        for outbox_id in due:
            work.dispatch_after_commit(
                Job(DELIVER_TASK, {"outbox_id": outbox_id}, expires_s=self._settings.broadcast_max_age_s)
            )
        return len(due)

    def _after_real(self, real_s: float) -> datetime:
        """The market moment that lies `real_s` real seconds ahead."""
        return self._clock.now() + timedelta(seconds=real_s / self._clock.real_seconds(1.0))


def _backoff_s(attempts: int) -> float:
    """Real seconds before the next attempt: 1, 2, 4 ... up to a minute."""
    return float(min(MAX_BACKOFF_S, 2.0 ** (attempts - 1)))
