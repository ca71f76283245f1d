"""Telling the owner about something, in the same transaction as what it tells of, once."""

from __future__ import annotations

from datetime import datetime

from whalestack.agents import messages
from whalestack.agents.outbox import announce
from whalestack.config import Settings
from whalestack.db.engine import UnitOfWork


def alert(
    work: UnitOfWork,
    *,
    settings: Settings,
    now: datetime,
    agent_name: str,
    key: str,
    what: str,
    symbol: str | None = None,
) -> bool:
    """Write an alert into the outbox.

    Args:
        work: the caller's transaction.
        settings: which channels there are.
        now: market time.
        agent_name: who tells it.
        key: what makes it unique; the same key again tells nobody.
        what: one or a few sentences.
        symbol: Bybit symbol, if it is about a coin.

    Returns:
        Whether this is the first time.
    """
    text = messages.alert(agent_name=agent_name, what=what, at=now, symbol=symbol)
    return bool(
        announce(
            work,
            settings=settings,
            now=now,
            kind="alert",
            event_key=f"alert:{key}",
            agent_name=agent_name,
            scanner="",
            symbol=symbol,
            text=text,
        )
    )
