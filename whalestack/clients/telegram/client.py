"""Telegram through the unmodified python-telegram-bot, for callers that are not asyncio.

The library is asyncio only, and a Bot that is used from a second event loop fails with
"Event loop is closed". So one loop runs in one thread for the life of the process, and
every call is handed to it. Nothing starts before the first call, which a worker makes
after its fork.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import structlog
from telegram import Bot, Message, error
from telegram.constants import ParseMode
from telegram.request import HTTPXRequest

from whalestack.clients.channel import Doubt, Leaving, Receipt, nobody_asks
from whalestack.clients.telegram.asking import find_arrived
from whalestack.clients.telegram.departure import Departure, departing, tell_departure
from whalestack.clients.telegram.errors import to_ours
from whalestack.clients.telegram.limits import MAX_CAPTION, visible_length
from whalestack.config import Settings
from whalestack.errors import UnknownOutcome

log = structlog.get_logger()
Result = TypeVar("Result")
OFFICIAL_URL = "https://api.telegram.org"
ASKING_S = 60.0
"""Real seconds for all the questions about messages in doubt."""


@dataclass(frozen=True)
class ReceivedText:
    """A text that somebody wrote to the bot.

    Args:
        update_id: Telegram's running number.
        is_ours: whether it was written in the chat of the settings; nobody else is obeyed.
        text: empty for a sticker and the like.
        written_at: real time.
    """

    update_id: int
    is_ours: bool
    text: str
    written_at: datetime | None


class TelegramClient:
    """One bot that writes to one chat.

    Args:
        token: of the bot, never logged.
        chat_id: a number, or @name of a public channel.
        base_url: scheme and host of the Bot API.
        timeout_s: real seconds for connecting, writing and reading, each.
    """

    def __init__(
        self, *, token: str, chat_id: str, base_url: str = OFFICIAL_URL, timeout_s: float = 10.0
    ) -> None:
        self._token = token
        self._chat_id = chat_id
        self._base_url = base_url.rstrip("/")
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._bot: Bot | None = None
        self._gate = asyncio.Lock()

    @classmethod
    def from_settings(cls, settings: Settings) -> TelegramClient:
        """The bot and chat that the settings name."""
        return cls(
            token=settings.telegram_bot_token.get_secret_value(),
            chat_id=settings.telegram_chat_id,
            base_url=settings.telegram_url,
            timeout_s=settings.broadcast_timeout_s,
        )

    def send(self, text: str, image: bytes | None, leaving: Leaving = nobody_asks) -> Receipt:
        """Send one message to the chat; see `whalestack.clients.channel.Channel.send`.

        A group that became a supergroup has refused the message and named its new id: it
        is sent there once, and the log asks the owner to change the setting.

        Args:
            text: HTML for Telegram's parse mode HTML.
            image: shown above the text; left out where the text is too long for a caption.
            leaving: called between the head of the request and its body, without which Telegram
                can do nothing.
        """
        try:
            return self._send_once(text, image, leaving, "telegram send")
        except error.ChatMigrated as moved:
            self._chat_id = str(moved.new_chat_id)
            log.warning("telegram_chat_migrated", set_telegram_chat_id=self._chat_id)
        return self._send_once(text, image, leaving, "telegram send after migration")

    def _send_once(self, text: str, image: bytes | None, leaving: Leaving, what: str) -> Receipt:
        self._need_loop()
        departure = Departure(leaving, self._gate)
        try:
            return self._run(self._send(text, image, departure))
        except error.ChatMigrated:
            raise
        except error.TelegramError as failure:
            departure.raise_if_forbidden()
            raise to_ours(failure, what) from failure

    def arrived(
        self, doubts: Sequence[Doubt], *, known: Collection[str], earlier: str | None
    ) -> Mapping[int, str | None]:
        """See `whalestack.clients.channel.AskableChannel.arrived` and `telegram.asking`."""
        try:
            return self._run(find_arrived(self._need_bot(), self._chat_id, doubts, known, earlier), ASKING_S)
        except error.TelegramError as failure:
            raise to_ours(failure, "telegram asking") from failure

    def name(self) -> str:
        """The bot's user name, asked from Telegram: shows that address and token are right.

        Raises:
            whalestack.errors.WhalestackError: as `send`.
        """
        try:
            me = self._run(self._need_bot().get_me())
        except error.TelegramError as failure:
            raise to_ours(failure, "telegram getMe") from failure
        return me.username or me.first_name

    def received(self, offset: int | None) -> list[ReceivedText]:
        """What people wrote to the bot in our chat, oldest first; the bot must have no other reader.

        Args:
            offset: the lowest update to tell; what lies below it is forgotten by Telegram.

        Raises:
            whalestack.errors.WhalestackError: as `send`; asking has no effect, so it may be repeated.
        """
        try:
            updates = self._run(
                self._need_bot().get_updates(offset=offset, timeout=0, allowed_updates=["message"])
            )
        except error.TelegramError as failure:
            raise to_ours(failure, "telegram getUpdates") from failure
        return [
            ReceivedText(
                update_id=each.update_id,
                is_ours=each.effective_chat is not None and str(each.effective_chat.id) == self._chat_id,
                text=(each.message.text or "") if each.message is not None else "",
                written_at=each.message.date if each.message is not None else None,
            )
            for each in updates
        ]

    def close(self) -> None:
        """Stop the loop and its thread; a later call starts them again."""
        with self._lock:
            loop, thread, bot = self._loop, self._thread, self._bot
            self._loop = self._thread = self._bot = None
        if loop is None or thread is None:
            return
        if bot is not None:
            asyncio.run_coroutine_threadsafe(bot.shutdown(), loop).result(self._deadline_s)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(self._deadline_s)
        loop.close()

    async def _send(self, text: str, image: bytes | None, departure: Departure) -> Receipt:
        bot = self._need_bot()
        departing.set(departure)
        if image is not None and visible_length(text) > MAX_CAPTION:
            log.info("telegram_image_left_out", caption_characters=visible_length(text))
            image = None
        message: Message
        if image is None:
            message = await bot.send_message(self._chat_id, text, parse_mode=ParseMode.HTML)
        else:
            message = await bot.send_photo(
                self._chat_id, photo=image, caption=text, parse_mode=ParseMode.HTML
            )
        return Receipt(external_id=str(message.message_id))

    @property
    def _deadline_s(self) -> float:
        """Longer than connecting, writing and reading together may take."""
        return self._timeout_s * 4 + 1

    def _run(self, call: Coroutine[Any, Any, Result], deadline_s: float | None = None) -> Result:
        deadline_s = deadline_s or self._deadline_s
        future = asyncio.run_coroutine_threadsafe(call, self._need_loop())
        try:
            return future.result(deadline_s)
        except concurrent.futures.TimeoutError as late:
            future.cancel()
            raise UnknownOutcome(f"telegram: no answer within {deadline_s:.0f} s") from late

    def _need_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._gate = asyncio.Lock()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="telegram-loop", daemon=True
                )
                self._thread.start()
            return self._loop

    def _need_bot(self) -> Bot:
        with self._lock:
            if self._bot is None:
                self._bot = self._make_bot()
            return self._bot

    def _make_bot(self) -> Bot:
        # httpx logs each URL at INFO, and the token is a part of the URL.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        timeout_s = self._timeout_s
        request = HTTPXRequest(
            connect_timeout=timeout_s,
            read_timeout=timeout_s,
            write_timeout=timeout_s,
            media_write_timeout=timeout_s,
            # A proxy from the environment is for the internet, not for a server next door.
            httpx_kwargs={"event_hooks": {"request": [tell_departure]}}
            | ({} if self._base_url == OFFICIAL_URL else {"trust_env": False}),
        )
        return Bot(self._token, base_url=f"{self._base_url}/bot", request=request)
