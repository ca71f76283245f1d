"""Writing and reading outbox rows in tests."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr
from sqlalchemy import select

from whalestack.agents import messages
from whalestack.agents.outbox import announce
from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.db.engine import Database
from whalestack.db.models import OutboxMessage

KEYS = ("x_consumer_key", "x_consumer_secret", "x_access_token", "x_access_token_secret")


def both_channels(settings: Settings, **changed: Any) -> Settings:
    """Settings under which Telegram and X are configured."""
    given = {"telegram_bot_token": "1000:test-token", "telegram_chat_id": "4711"}
    given |= {name: name for name in KEYS}
    return Settings(_env_file=None, **(settings.model_dump() | given | changed))


def no_channel(settings: Settings) -> Settings:
    """Settings under which neither is."""
    empty = SecretStr("")
    return settings.model_copy(update={"telegram_bot_token": empty, "x_access_token": empty})


def tell(
    db: Database,
    settings: Settings,
    clock: Clock,
    *,
    key: str = "entry:1",
    kind: messages.Kind = "entry",
    image: bytes | None = None,
) -> list[int]:
    """Announce one refusal-worded event; returns the ids of its rows, telegram before x."""
    text = messages.refusal(
        agent_name="tester", scanner="none", symbol="AIAUSDT", direction="LONG", reasons=[key], at=clock.now()
    )
    with db.begin() as work:
        announce(
            work,
            settings=settings,
            now=clock.now(),
            kind=kind,
            event_key=key,
            agent_name="tester",
            scanner="none",
            symbol="AIAUSDT",
            text=text,
            image=image,
        )
    return [row.id for row in rows(db) if row.event_key == key]


def rows(db: Database) -> list[OutboxMessage]:
    """Every row, by channel and age."""
    with db.begin() as work:
        found = select(OutboxMessage).order_by(OutboxMessage.channel, OutboxMessage.id)
        return list(work.session.scalars(found))


def row(db: Database, outbox_id: int) -> OutboxMessage:
    """One row."""
    (found,) = [candidate for candidate in rows(db) if candidate.id == outbox_id]
    return found


def change(db: Database, outbox_id: int, **values: Any) -> None:
    """Set columns of one row."""
    with db.begin() as work:
        found = work.session.get_one(OutboxMessage, outbox_id)
        for name, value in values.items():
            setattr(found, name, value)
