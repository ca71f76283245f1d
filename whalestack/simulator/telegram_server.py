"""The Bot API's own memory: one bot, its chats, what was sent, and the limits on sending.

The limits follow what bots meet in practice, since Telegram does not document them
exactly: about 30 messages a second over all, one a second in a chat with a short burst
allowed, 20 a minute in a group or channel. All of them count real time. Every accepted
message is kept with a hash of its text, so a message sent twice is seen.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from whalestack.config import Settings

NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the same as "
    "a current content and reply markup of the message"
)


@dataclass(frozen=True)
class TelegramLimits:
    """How many messages are taken, in real time.

    Args:
        all_per_s: over all chats.
        chat_per_s: in one private chat, over a few seconds.
        chat_burst: messages a private chat takes at once.
        group_per_min: in one group or channel.
    """

    all_per_s: int = 30
    chat_per_s: float = 1.0
    chat_burst: int = 5
    group_per_min: int = 20

    def at_speed(self, speed: float) -> TelegramLimits:
        """The limits where market time runs `speed` times as fast: so many more messages fall
        into a real second, and the limits keep their proportion to them."""
        factor = max(1, round(speed))
        return TelegramLimits(
            self.all_per_s * factor,
            self.chat_per_s * factor,
            self.chat_burst * factor,
            self.group_per_min * factor,
        )


@dataclass(frozen=True)
class SentMessage:
    """A message that Telegram has taken."""

    message_id: int
    chat_id: str
    text: str
    digest: str
    photo_bytes: int
    real_ts_s: float


class Refused(Exception):
    """An answer that is not ok.

    Args:
        code: HTTP status and `error_code`.
        description: as Telegram words it.
        parameters: `retry_after` or `migrate_to_chat_id`.
    """

    def __init__(self, code: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.parameters = parameters


@dataclass
class TelegramServer:
    """One bot, the chats it may write to, and everything that was sent.

    Args:
        token: the only one that is taken.
        chats: ids (as text) or @names that exist.
        limits: see `TelegramLimits`.
        real_now_s: monotonic real seconds.
    """

    token: str
    chats: set[str]
    limits: TelegramLimits = field(default_factory=TelegramLimits)
    real_now_s: Callable[[], float] = time.monotonic
    messages: list[SentMessage] = field(default_factory=list)
    blocked: set[str] = field(default_factory=set)
    migrated: dict[str, int] = field(default_factory=dict)
    refused: Counter[int] = field(default_factory=Counter)
    _recent: dict[str, deque[float]] = field(default_factory=dict)
    _updates: list[dict[str, Any]] = field(default_factory=list)
    _last_update_id: int = 0
    _polling: bool = False
    _arrival: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def from_settings(cls, settings: Settings) -> TelegramServer:
        """The bot and the chat that the settings name."""
        return cls(
            token=settings.telegram_bot_token.get_secret_value(),
            chats={settings.telegram_chat_id} - {""},
            limits=TelegramLimits().at_speed(settings.clock_speed),
        )

    def stats(self) -> dict[str, Any]:
        """Counts: messages taken, repeats of a text in its chat, photos, refusals by code."""
        seen = Counter((message.chat_id, message.digest) for message in self.messages)
        return {
            "messages": len(self.messages),
            "repeats": sum(count - 1 for count in seen.values()),
            "photos": sum(message.photo_bytes > 0 for message in self.messages),
            "refused": {str(code): count for code, count in sorted(self.refused.items())},
        }

    def receive(self, chat_id: int, text: str) -> None:
        """A person writes `text` to the bot: the next getUpdates brings it."""
        self._last_update_id += 1
        update_id = self._last_update_id
        chat = {"id": chat_id, "type": "private", "first_name": "Person"}
        self._updates.append(
            {
                "update_id": update_id,
                "message": {
                    "message_id": 900_000 + update_id,
                    "date": int(time.time()),
                    "chat": chat,
                    "from": {"id": chat_id, "is_bot": False, "first_name": "Person"},
                    "text": text,
                },
            }
        )
        self._arrival.set()

    @property
    def is_polled(self) -> bool:
        """Whether a getUpdates waits at this moment."""
        return self._polling

    def take(self, chat_id: str, text: str, photo_bytes: int) -> dict[str, Any]:
        """Take one message, counted against the limits.

        Raises:
            Refused: the chat does not exist, has blocked the bot, has moved, or too many.
        """
        self._check_chat(chat_id)
        self._check_limits(chat_id)
        message = SentMessage(
            message_id=len(self.messages) + 1,
            chat_id=chat_id,
            text=text,
            digest=_digest(text, photo_bytes),
            photo_bytes=photo_bytes,
            real_ts_s=self.real_now_s(),
        )
        self.messages.append(message)
        return _as_json(message)

    def edit(
        self, chat_id: str, message_id: int, text: str | None = None, *, is_caption: bool = False
    ) -> dict[str, Any]:
        """Give a message another text or caption, or with None no other buttons than it has: none.

        Raises:
            Refused: there is no such message, or it would stay as it is.
        """
        self._check_chat(chat_id)
        index = message_id - 1
        if not 0 <= index < len(self.messages) or self.messages[index].chat_id != chat_id:
            raise Refused(400, "Bad Request: message to edit not found")
        message = self.messages[index]
        if text is not None and is_caption != bool(message.photo_bytes):
            missing = "caption" if is_caption else "text"
            raise Refused(400, f"Bad Request: there is no {missing} in the message to edit")
        if text is None or text == message.text:
            raise Refused(400, f"Bad Request: {NOT_MODIFIED}")
        digest = _digest(text, message.photo_bytes)
        self.messages[index] = replace(message, text=text, digest=digest)
        return _as_json(self.messages[index])

    async def updates(self, offset: int, limit: int, timeout_s: float) -> list[dict[str, Any]]:
        """Long poll for what people wrote; what lies below `offset` is forgotten, as by Telegram.

        Raises:
            Refused: another poller of the same bot is waiting.
        """
        if self._polling:
            raise Refused(
                409,
                "Conflict: terminated by other getUpdates request; make sure that only one bot "
                "instance is running",
            )
        self._updates = [update for update in self._updates if update["update_id"] >= offset]
        self._polling = True
        try:
            return await self._wait_for_updates(offset, limit, timeout_s)
        finally:
            self._polling = False

    async def _wait_for_updates(self, offset: int, limit: int, timeout_s: float) -> list[dict[str, Any]]:
        deadline_s = self.real_now_s() + timeout_s
        while True:
            found = [update for update in self._updates if update["update_id"] >= offset][:limit]
            left_s = deadline_s - self.real_now_s()
            if found or left_s <= 0:
                return found
            self._arrival.clear()
            try:
                await asyncio.wait_for(self._arrival.wait(), left_s)
            except TimeoutError:
                return []

    def _check_chat(self, chat_id: str) -> None:
        if chat_id in self.migrated:
            raise Refused(
                400,
                "Bad Request: group chat was upgraded to a supergroup chat",
                migrate_to_chat_id=self.migrated[chat_id],
            )
        if chat_id in self.blocked:
            raise Refused(403, "Forbidden: bot was blocked by the user")
        if chat_id not in self.chats:
            raise Refused(400, "Bad Request: chat not found")

    def _check_limits(self, chat_id: str) -> None:
        is_group = chat_id.startswith(("-", "@"))
        burst_s = self.limits.chat_burst / self.limits.chat_per_s
        chat_limit = (self.limits.group_per_min, 60.0) if is_group else (self.limits.chat_burst, burst_s)
        now_s = self.real_now_s()
        windows = [("all", self.limits.all_per_s, 1.0), (chat_id, *chat_limit)]
        waits_s = [self._wait_s(key, limit, window_s, now_s) for key, limit, window_s in windows]
        if max(waits_s) > 0:
            retry_after = int(max(waits_s)) + 1
            raise Refused(429, f"Too Many Requests: retry after {retry_after}", retry_after=retry_after)
        for key, _, _ in windows:
            self._recent.setdefault(key, deque()).append(now_s)

    def _wait_s(self, key: str, limit: int, window_s: float, now_s: float) -> float:
        recent = self._recent.setdefault(key, deque())
        while recent and recent[0] <= now_s - window_s:
            recent.popleft()
        return recent[0] + window_s - now_s if len(recent) >= limit else 0.0


def _digest(text: str, photo_bytes: int) -> str:
    return hashlib.sha256(f"{text}\x00{photo_bytes}".encode()).hexdigest()


def _as_json(message: SentMessage) -> dict[str, Any]:
    is_private = not message.chat_id.startswith(("-", "@"))
    raw_id = message.chat_id
    chat = {
        "id": int(raw_id) if raw_id.lstrip("-").isdigit() else -1,
        "type": "private" if is_private else "channel",
    }
    common = {"message_id": message.message_id, "date": int(time.time()), "chat": chat}
    if not message.photo_bytes:
        return {**common, "text": message.text}
    size = {"file_id": message.digest, "file_unique_id": message.digest[:16], "width": 1, "height": 1}
    return {**common, "caption": message.text, "photo": [size]}
