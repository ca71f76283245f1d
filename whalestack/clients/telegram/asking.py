"""Whether a message arrived that nobody saw answered.

A bot cannot read what it wrote. But it can ask to take the buttons off a message: of a message of
its own that has none, Telegram says that nothing is modified, and of one that is not there, that
it is not found. Ids rise within a chat, so a message in doubt is one of the ids after a message
that was answered before it, and none of those that were answered since. If as many of them are
ours as are in doubt, all arrived; if none is, none did. In between nobody can say which of them
stands where, so each of those found is given the text of one that is in doubt: the text that it has
already, and nothing changes, or another one's, which is then told anew. Each stands in the chat once.

Telegram's 400 has no code of its own for these cases, so the words of its description decide,
here and nowhere else; other words mean that it cannot be said.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from telegram import Bot, error
from telegram.constants import ParseMode

from whalestack.clients.channel import Doubt
from whalestack.errors import GiveUp

MOST_PROBES = 60
GAP = 5
"""Ids in a row that are not there, after the last known one: the end of the chat. Deleted messages
and those of the chat's service leave smaller gaps."""

Answer = Literal["ours", "other", "absent"]


async def find_arrived(
    bot: Bot, chat_id: str, doubts: Sequence[Doubt], known: Collection[str], earlier: str | None
) -> dict[int, str | None]:
    """See `whalestack.clients.channel.AskableChannel.arrived`.

    Raises:
        telegram.error.TelegramError: Telegram did not answer, or not in the words expected.
        GiveUp: too many ids would have to be asked for.
    """
    numbers = {int(each) for each in known if each.isdigit()}
    unclaimed = await _unclaimed(bot, chat_id, numbers, int(earlier or 0))
    found: dict[int, str | None] = {doubt.outbox_id: None for doubt in doubts}
    is_complete = len(unclaimed) >= len(doubts)
    for doubt, number in zip(doubts, unclaimed, strict=False):
        name = str(number) if is_complete else await _put(bot, chat_id, number, doubt)
        found[doubt.outbox_id] = name
    return found


async def _unclaimed(bot: Bot, chat_id: str, known: set[int], earlier: int) -> list[int]:
    """Ids of messages of ours after `earlier` whose answer nobody saw."""
    found: list[int] = []
    last, probes, number, missing = max([*known, earlier]), 0, earlier, 0
    while missing < GAP:
        number += 1
        if number in known:
            continue
        probes += 1
        if probes > MOST_PROBES:
            raise GiveUp(f"telegram: more than {MOST_PROBES} messages would have to be asked for")
        answer = await _probe(bot, chat_id, number)
        if answer == "ours":
            found.append(number)
        missing = missing + 1 if answer == "absent" and number > last else 0
    return found


async def _probe(bot: Bot, chat_id: str, number: int) -> Answer:
    try:
        await bot.edit_message_reply_markup(chat_id, number)
    except error.BadRequest as refusal:
        return _read(refusal)
    return "ours"


async def _put(bot: Bot, chat_id: str, number: int, doubt: Doubt) -> str:
    """Have this text stand at this id, whether it did so before or not."""
    try:
        await bot.edit_message_text(doubt.text, chat_id, number, parse_mode=ParseMode.HTML)
    except error.BadRequest as refusal:
        if "no text in the message" in refusal.message:
            return await _put_caption(bot, chat_id, number, doubt)
        _read(refusal)
    return str(number)


async def _put_caption(bot: Bot, chat_id: str, number: int, doubt: Doubt) -> str:
    try:
        await bot.edit_message_caption(chat_id, number, caption=doubt.text, parse_mode=ParseMode.HTML)
    except error.BadRequest as refusal:
        _read(refusal)
    return str(number)


def _read(refusal: error.BadRequest) -> Answer:
    """What a refused edit tells of the message. Raises it again where it tells nothing."""
    if "message is not modified" in refusal.message.lower():
        return "ours"
    if "message to edit not found" in refusal.message.lower():
        return "absent"
    if "message can't be edited" in refusal.message.lower():
        return "other"
    raise refusal
