"""The kill switch by Telegram: `/kill`, `/kill close` and `/resume` in the owner's own chat."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, Self

import redis
import structlog

from whalestack.agents.alerts import alert
from whalestack.agents.kill_enforcer import KillEnforcer
from whalestack.agents.kill_switch import KillSwitch
from whalestack.agents.outbox import has_telegram
from whalestack.clients.telegram.client import ReceivedText, TelegramClient
from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.db.engine import Database

log = structlog.get_logger(__name__)

AGENT_NAME = "telegram-door"
OFFSET_KEY = "ws:telegram:offset"
# A /resume that waited while nobody listened may not be meant any more; a /kill always is.
RESUME_MAX_AGE = timedelta(minutes=5)


class Letterbox(Protocol):
    """Where texts come from. `TelegramClient` is one."""

    def received(self, offset: int | None) -> list[ReceivedText]:
        """Texts from `offset` on, oldest first."""


@dataclass(frozen=True)
class DoorReport:
    """How many texts were read, and what was done at the owner's word."""

    read: int = 0
    done: tuple[str, ...] = ()


class TelegramDoor:
    """Obeys the owner's chat and nobody else.

    A command is carried out before it is noted as read, so one that a crash interrupted is
    carried out again; each has the same effect twice as once.

    Args:
        letterbox: what people wrote.
        kill_switch: what is set.
        enforcer: cancels and closes at once; the reconciler repeats it.
        client: the state Redis, which remembers what was read.
        db: for the answer.
        settings: who is told.
        clock: market time.
        wall: real time, by which Telegram dates a text.
    """

    def __init__(
        self,
        *,
        letterbox: Letterbox,
        kill_switch: KillSwitch,
        enforcer: KillEnforcer,
        client: redis.Redis,
        db: Database,
        settings: Settings,
        clock: Clock,
        wall: Callable[[], datetime],
    ) -> None:
        self._letterbox = letterbox
        self._kill_switch = kill_switch
        self._enforcer = enforcer
        # The stubs of redis-py give every reply as "sync or async"; this client is sync.
        self._redis: Any = client
        self._db = db
        self._settings = settings
        self._clock = clock
        self._wall = wall

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        kill_switch: KillSwitch,
        enforcer: KillEnforcer,
        client: redis.Redis,
        db: Database,
        clock: Clock,
    ) -> Self | None:
        """The door to the chat that the settings name, None where they name none."""
        if not has_telegram(settings):
            return None
        return cls(
            letterbox=TelegramClient.from_settings(settings),
            kill_switch=kill_switch,
            enforcer=enforcer,
            client=client,
            db=db,
            settings=settings,
            clock=clock,
            wall=lambda: datetime.now(UTC),
        )

    def run(self) -> DoorReport:
        """Read what is new and do as told.

        Raises:
            TryAgain: Telegram, Redis or both stores of the switch are away; nothing is lost by it.
        """
        known = self._redis.get(OFFSET_KEY)
        texts = self._letterbox.received(None if known is None else int(known))
        done = []
        for text in texts:
            answer = self._obey(text)
            if answer is not None:
                self._tell(text.update_id, answer)
                done.append(answer)
            self._redis.set(OFFSET_KEY, text.update_id + 1)
        return DoorReport(len(texts), tuple(done))

    def _obey(self, text: ReceivedText) -> str | None:
        words = text.text.lower().split()
        if not words or not words[0].startswith("/"):
            return None
        if not text.is_ours:
            log.warning("telegram_stranger_not_obeyed", update_id=text.update_id)
            return None
        # In a group a command carries the bot's name: /kill@name.
        match words[0].partition("@")[0]:
            case "/kill":
                return self._kill(close="close" in words[1:])
            case "/resume":
                return self._resume(text.written_at)
        return None

    def _kill(self, *, close: bool) -> str:
        self._kill_switch.engage(reason="by Telegram", set_by=AGENT_NAME, close_positions=close)
        report = self._enforcer.run()
        closing = f", {report.closing} positions are being closed" if close else ""
        return f"Entries are stopped, {report.cancelled} orders were cancelled{closing}."

    def _resume(self, written_at: datetime | None) -> str:
        if written_at is None or self._wall() - written_at > RESUME_MAX_AGE:
            return "This /resume was written too long ago; entries stay as they are. Write it again."
        self._kill_switch.release(set_by=AGENT_NAME)
        return "Entries are allowed again."

    def _tell(self, update_id: int, what: str) -> None:
        with self._db.begin() as work:
            alert(
                work,
                settings=self._settings,
                now=self._clock.now(),
                agent_name=AGENT_NAME,
                key=f"{AGENT_NAME}:{update_id}",
                what=what,
            )
