"""A transport that lays every reply down before anyone reads it (`ARCHIVE_RAW`)."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import SecretStr

from whalestack.clients.coinglass.transport import Reply, Transport
from whalestack.clients.raw_archive import RawArchive
from whalestack.config import Settings

SERVICE = "coinglass"


class ArchivingTransport(Transport):
    """As `Transport`; refusals are kept as well, because they say what the outside really answers.

    Args:
        archive: where replies go, None to keep none.
        base_url, api_key, timeout_s, max_bytes: as of `Transport`.
    """

    def __init__(
        self,
        archive: RawArchive | None,
        base_url: str,
        api_key: SecretStr,
        *,
        timeout_s: float,
        max_bytes: int,
    ) -> None:
        super().__init__(base_url, api_key, timeout_s=timeout_s, max_bytes=max_bytes)
        self._archive = archive

    def get(self, path: str, params: Mapping[str, str], what: str) -> Reply:
        """One request, once. Raises as `Transport.get`."""
        reply = super().get(path, params, what)
        if self._archive is not None:
            self._archive.keep(SERVICE, path, params, reply.status, reply.body)
        return reply


def open_transport(settings: Settings) -> Transport:
    """The transport that the settings describe; nothing connects yet."""
    return ArchivingTransport(
        RawArchive.from_settings(settings),
        settings.coinglass_url,
        settings.coinglass_api_key,
        timeout_s=settings.coinglass_timeout_s,
        max_bytes=settings.coinglass_max_reply_mb * 1_000_000,
    )
