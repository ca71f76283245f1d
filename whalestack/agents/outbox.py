"""Writing a message into the outbox, in the same transaction as what it tells.

What is committed is told; what rolls back is never told. The row is unique for its
event and channel, so a redelivered task that announces again writes nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from whalestack.agents.messages import Kind, MessageText
from whalestack.config import Settings
from whalestack.db.engine import UnitOfWork
from whalestack.db.models import OutboxMessage
from whalestack.dispatch import Job

TELEGRAM = "telegram"
X = "x"
LOG = "log"
DELIVER_TASK = "broadcast.deliver"
# What the owner has to look at is worth telling when a channel has been away for hours.
ALERT_MAX_AGE = timedelta(days=1)
# Its rows are arguments: a statement with the rows in it would be compiled anew each time.
_WRITE = (
    insert(OutboxMessage)
    .on_conflict_do_nothing(index_elements=["event_key", "channel"])
    .returning(OutboxMessage.id)
)


def configured_channels(settings: Settings, kind: Kind) -> tuple[str, ...]:
    """The channels that hear messages of this kind; the log alone where none is configured.

    An alert is for the owner and by default not for X, where everybody reads it.
    """
    names = []
    if has_telegram(settings):
        names.append(TELEGRAM)
    if has_x_keys(settings) and kind in settings.x_kinds:
        names.append(X)
    return tuple(names) or (LOG,)


def has_telegram(settings: Settings) -> bool:
    """Whether a bot and a chat are set."""
    return bool(settings.telegram_bot_token.get_secret_value() and settings.telegram_chat_id)


def has_x_keys(settings: Settings) -> bool:
    """Whether all four keys that sign a post on X are set."""
    keys = (
        settings.x_consumer_key,
        settings.x_consumer_secret,
        settings.x_access_token,
        settings.x_access_token_secret,
    )
    return all(key.get_secret_value() for key in keys)


def announce(
    work: UnitOfWork,
    *,
    settings: Settings,
    now: datetime,
    kind: Kind,
    event_key: str,
    agent_name: str,
    scanner: str,
    symbol: str | None,
    text: MessageText,
    image: bytes | None = None,
) -> int:
    """Write one outbox row for each channel that hears this kind, to be delivered after commit.

    Args:
        work: the caller's transaction; a rollback takes the message with it.
        settings: say which channels there are and how long a message is worth sending.
        now: market time, ``clock.now()``.
        kind: signal, entry, stop_moved, close, refusal or alert.
        event_key: what makes the event unique, for example ``entry:17`` for trade 17; the
            same key again writes nothing.
        agent_name: the agent that acted.
        scanner: the scanner behind it, empty where there is none.
        symbol: Bybit symbol, None where the message is about no coin.
        text: from `whalestack.agents.messages`.
        image: a PNG or JPEG shown with the message, None for text alone.

    Returns:
        The number of rows written: 0 when this event was announced before.
    """
    rows = message_rows(
        settings,
        now=now,
        kind=kind,
        event_key=event_key,
        agent_name=agent_name,
        scanner=scanner,
        symbol=symbol,
        text=text,
        image=image,
    )
    written = work.session.scalars(_WRITE, rows).all()
    for outbox_id in written:
        work.dispatch_after_commit(delivery(settings, outbox_id))
    return len(written)


def delivery(settings: Settings, outbox_id: int) -> Job:
    """The job that sends a row of the outbox."""
    return Job(DELIVER_TASK, {"outbox_id": outbox_id}, expires_s=settings.broadcast_max_age_s)


def message_rows(
    settings: Settings,
    *,
    now: datetime,
    kind: Kind,
    event_key: str,
    agent_name: str,
    scanner: str,
    symbol: str | None,
    text: MessageText,
    image: bytes | None = None,
) -> list[dict[str, Any]]:
    """The rows of an event, one for each channel that hears its kind; arguments as of `announce`."""
    max_age = timedelta(seconds=settings.broadcast_max_age_s)
    common = {
        "event_key": event_key,
        "kind": kind,
        "agent_name": agent_name,
        "scanner": scanner,
        "symbol": symbol,
        "image": image,
        "due_at": now,
        "created_at": now,
        "expires_at": now + (max(max_age, ALERT_MAX_AGE) if kind == "alert" else max_age),
    }
    return [
        {**common, "channel": channel, "text": text.x if channel == X else text.telegram}
        for channel in configured_channels(settings, kind)
    ]


def was_announced(
    work: UnitOfWork, *, kind: Kind, symbol: str, since: datetime, key_prefix: str = ""
) -> bool:
    """Whether a message of this kind about `symbol` was written at or after `since`.

    For senders that must not repeat themselves, such as refusals.

    Args:
        work: the caller's transaction.
        kind: of the message.
        symbol: Bybit symbol.
        since: market time.
        key_prefix: only count messages whose event key begins with this, empty for any.
    """
    found = select(OutboxMessage.id).where(
        OutboxMessage.kind == kind,
        OutboxMessage.symbol == symbol,
        OutboxMessage.created_at >= since,
        OutboxMessage.event_key.startswith(key_prefix, autoescape=True),
    )
    return work.session.scalar(found.limit(1)) is not None
