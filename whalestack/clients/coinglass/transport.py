"""HTTP to CoinGlass: kept-alive connections, a deadline for the whole reply, a bound on its size."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import requests
import urllib3
from pydantic import SecretStr

from whalestack.clients.coinglass.deadline import Deadline, DeadlineAdapter
from whalestack.clients.coinglass.errors import CoinglassBadReply, CoinglassUnavailable

_CHUNK = 262_144
_GZIP = 31
_MOST_MEMBERS = 64


@dataclass(frozen=True)
class Reply:
    """Status, the headers that are used, and the decompressed body."""

    status: int
    body: bytes
    limit_per_min: int | None
    used: int | None
    retry_after_s: float | None


class Transport:
    """GETs with one `requests.Session` a thread: sessions are not made for sharing.

    Args:
        base_url: scheme, host and port.
        api_key: sent as CG-API-KEY.
        timeout_s: real seconds for connecting, and from then on for the whole reply, however it drips.
        max_bytes: larger replies, after decompression, are refused.
    """

    def __init__(self, base_url: str, api_key: SecretStr, *, timeout_s: float, max_bytes: int) -> None:
        self._base_url = base_url.rstrip("/")
        self._api_key = api_key
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._local = threading.local()
        self._deadline = Deadline()
        self._sessions: list[requests.Session] = []
        self._lock = threading.Lock()

    def get(self, path: str, params: Mapping[str, str], what: str) -> Reply:
        """One request, once.

        Args:
            path: with its leading slash.
            params: of the query.
            what: what is asked for; begins the text of every error.

        Raises:
            CoinglassUnavailable: no whole reply came within the time.
            CoinglassBadReply: the reply is larger than `max_bytes`.
        """
        self._deadline.at_s = time.monotonic() + self._timeout_s
        try:
            with self._session().get(
                self._base_url + path, params=params, timeout=self._timeout_s, stream=True
            ) as response:
                return _reply(response, self._read(response.raw, what))
        except (TimeoutError, requests.Timeout, urllib3.exceptions.TimeoutError) as error:
            raise CoinglassUnavailable(f"{what}: no whole reply within {self._timeout_s:g} s") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, zlib.error) as error:
            raise CoinglassUnavailable(f"{what}: {type(error).__name__} on the way to CoinGlass") from error

    def close(self) -> None:
        """Close the connections of every thread."""
        with self._lock:
            sessions, self._sessions = self._sessions, []
        for session in sessions:
            session.close()
        self._local = threading.local()

    def _read(self, raw: urllib3.response.HTTPResponse, what: str) -> bytes:
        """The body; a reply that swells is cut off. Plain gzip is undone at once, for piece by piece
        it takes half as long again; whatever else there is, urllib3 undoes."""
        is_gzip = raw.headers.get("Content-Encoding") == "gzip"
        pieces: list[bytes] = []
        # What it announces is its size on the way; what counts is its size when decompressed.
        size = _whole(raw.headers.get("Content-Length")) or 0
        if size <= self._max_bytes:
            size = 0
            while size <= self._max_bytes and (piece := raw.read1(_CHUNK, decode_content=not is_gzip)):
                pieces.append(piece)
                size += len(piece)
        body = b"".join(pieces)
        if is_gzip and size <= self._max_bytes:
            body = _unpacked(body, self._max_bytes + 1)
            size = len(body)
        if size > self._max_bytes:
            raise CoinglassBadReply(f"{what}: the reply is larger than {self._max_bytes} bytes")
        return body

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = self._new_session()
            with self._lock:
                self._sessions.append(session)
        return session

    def _new_session(self) -> requests.Session:
        session = requests.Session()
        # No proxies or .netrc from the environment: only config.py reads it.
        session.trust_env = False
        adapter = DeadlineAdapter(self._deadline)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        session.headers.update(
            {
                "accept": "application/json",
                "accept-encoding": "gzip",
                "CG-API-KEY": self._api_key.get_secret_value(),
            }
        )
        return session


def _unpacked(packed: bytes, most_bytes: int) -> bytes:
    """The first `most_bytes` of what was packed.

    Raises:
        zlib.error: it is no gzip, or falls into very many members: each one costs a copy of the rest, so
            a few MB of empty ones would take hours.
    """
    body = b""
    for _ in range(_MOST_MEMBERS):
        member = zlib.decompressobj(_GZIP)
        body += member.decompress(packed, most_bytes - len(body))
        packed = member.unused_data
        if not packed or len(body) >= most_bytes:
            return body
    raise zlib.error("too many gzip members")


def _reply(response: requests.Response, body: bytes) -> Reply:
    return Reply(
        status=response.status_code,
        body=body,
        limit_per_min=_whole(response.headers.get("API-KEY-MAX-LIMIT")),
        used=_whole(response.headers.get("API-KEY-USE-LIMIT")),
        retry_after_s=_seconds(response.headers.get("Retry-After")),
    )


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def _seconds(text: str | None) -> float | None:
    whole = _whole(text)
    return None if whole is None else float(whole)
