"""The channels that the settings name, opened."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from whalestack.agents.outbox import LOG, TELEGRAM, X, has_telegram, has_x_keys
from whalestack.clients.channel import Channel, Leaving, Receipt, nobody_asks
from whalestack.clients.telegram.client import TelegramClient
from whalestack.clients.x.client import XClient
from whalestack.config import Settings

log = structlog.get_logger()


class LogChannel:
    """Where messages go when nobody is to be told: the log, so that none is lost silently."""

    def send(self, text: str, image: bytes | None, leaving: Leaving = nobody_asks) -> Receipt:
        """Write the message as one log event."""
        leaving()
        log.info("message", text=text, image_bytes=len(image or b""))
        return Receipt(external_id="log")

    def close(self) -> None:
        """Nothing to give back."""


def open_channels(settings: Settings) -> Mapping[str, Channel]:
    """One client for each configured channel, by its name in the outbox, and the log.

    Nothing connects before the first message.
    """
    channels: dict[str, Channel] = {LOG: LogChannel()}
    if has_telegram(settings):
        channels[TELEGRAM] = TelegramClient.from_settings(settings)
    if has_x_keys(settings):
        channels[X] = XClient.from_settings(settings)
    return channels
