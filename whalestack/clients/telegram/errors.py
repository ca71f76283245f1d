"""What each error of python-telegram-bot means for the caller: mapped here and nowhere else.

Telegram has no key that makes a repeated send harmless. So an error counts as "nothing
was sent" only where its cause proves that the request never left this machine, or where
Telegram itself refused it; everything else is an unknown outcome.
"""

from __future__ import annotations

from datetime import timedelta

import httpx
from telegram import error as telegram_error

from whalestack.errors import GiveUp, StopAndTell, TryAgain, UnknownOutcome, WhalestackError

NEVER_LEFT = (httpx.ConnectTimeout, httpx.ConnectError, httpx.PoolTimeout)


def to_ours(error: telegram_error.TelegramError, what: str) -> WhalestackError:
    """The error of ours that tells the caller what to do.

    Args:
        error: as python-telegram-bot raised it.
        what: the call, for the message, such as ``telegram sendMessage``.
    """
    if isinstance(error, telegram_error.RetryAfter):
        return TryAgain(f"{what}: too many messages", retry_after_s=retry_after_s(error))
    if isinstance(error, telegram_error.ChatMigrated):
        return StopAndTell(f"{what}: the chat is now {error.new_chat_id}; set TELEGRAM_CHAT_ID to it")
    if isinstance(error, telegram_error.InvalidToken):
        return StopAndTell(f"{what}: the token is refused; check TELEGRAM_BOT_TOKEN")
    # BadRequest is a NetworkError to the library, so the refusals come first.
    if isinstance(error, telegram_error.Forbidden | telegram_error.BadRequest | telegram_error.Conflict):
        return GiveUp(f"{what}: {error.message}")
    if isinstance(error.__cause__, NEVER_LEFT):
        return TryAgain(f"{what}: not reached ({type(error.__cause__).__name__})")
    return UnknownOutcome(f"{what}: no usable answer ({type(error).__name__}: {error.message})")


def retry_after_s(error: telegram_error.RetryAfter) -> float:
    """Real seconds that Telegram asks to wait; the library gives a number or a timedelta."""
    wait = error.retry_after
    return wait.total_seconds() if isinstance(wait, timedelta) else float(wait)
