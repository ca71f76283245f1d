"""X's own memory: one account, what it posted, and the limits on posting.

Posts are counted in windows of real time, the same text twice is refused, and every
accepted post is kept with a hash of its text.
"""

from __future__ import annotations

import hashlib
import re
import time
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from whalestack.config import Settings
from whalestack.simulator.oauth1 import OAuthKeys, OAuthVerifier

MAX_WEIGHTED = 280
MAX_IMAGE_BYTES = 5_000_000
_LINK = re.compile(r"https?://\S+")


@dataclass(frozen=True)
class XLimits:
    """Posts that are taken, in real time: in 15 minutes and in 24 hours."""

    posts_per_15min: int = 200
    posts_per_day: int = 100

    def at_speed(self, speed: float) -> XLimits:
        """The limits where market time runs `speed` times as fast: they keep their proportion
        to the messages, of which so many more fall into a real minute."""
        factor = max(1, round(speed))
        return XLimits(self.posts_per_15min * factor, self.posts_per_day * factor)


@dataclass(frozen=True)
class Post:
    """A post that X has taken."""

    id: str
    text: str
    digest: str
    media_ids: tuple[str, ...]
    real_ts_s: float


@dataclass
class Window:
    """A fixed window of real time with so many requests in it."""

    limit: int
    length_s: int
    reset_s: float = 0.0
    used: int = 0

    def roll(self, now_s: float) -> None:
        """Begin a new window where the last one is over."""
        if now_s >= self.reset_s:
            self.reset_s, self.used = now_s + self.length_s, 0

    def headers(self, prefix: str) -> dict[str, str]:
        """As X tells it: limit, remaining, reset in Unix seconds."""
        return {
            f"{prefix}-limit": str(self.limit),
            f"{prefix}-remaining": str(max(0, self.limit - self.used)),
            f"{prefix}-reset": str(int(self.reset_s) + 1),
        }


class Refused(Exception):
    """An answer that is a problem.

    Args:
        status: HTTP status.
        title, detail: as X words them.
        body: more fields of the answer.
    """

    def __init__(self, status: int, title: str, detail: str, **body: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.body = {"title": title, "detail": detail, "type": "about:blank", "status": status, **body}


class XServer:
    """One account and everything it posted.

    Args:
        keys: the only ones that are taken.
        limits: see `XLimits`.
        real_now_s: real time, Unix seconds.
    """

    def __init__(
        self, keys: OAuthKeys, limits: XLimits | None = None, real_now_s: Callable[[], float] = time.time
    ) -> None:
        limits = limits or XLimits()
        self.verifier = OAuthVerifier(keys)
        self.real_now_s = real_now_s
        self.posts: list[Post] = []
        self.media: dict[str, int] = {}
        self.credits: int | None = None
        self.refused: Counter[int] = Counter()
        self._windows = {
            "x-rate-limit": Window(limits.posts_per_15min, 900),
            "x-user-limit-24hour": Window(limits.posts_per_day, 86_400),
        }
        self._digests: set[str] = set()

    @classmethod
    def from_settings(cls, settings: Settings) -> XServer:
        """The account that the settings name."""
        return cls(
            OAuthKeys(
                consumer_key=settings.x_consumer_key.get_secret_value(),
                consumer_secret=settings.x_consumer_secret.get_secret_value(),
                token=settings.x_access_token.get_secret_value(),
                token_secret=settings.x_access_token_secret.get_secret_value(),
            ),
            XLimits().at_speed(settings.clock_speed),
        )

    def stats(self) -> dict[str, Any]:
        """Counts: posts taken, texts taken twice (never: they are refused), media, refusals."""
        return {
            "messages": len(self.posts),
            "repeats": len(self.posts) - len({post.digest for post in self.posts}),
            "media": len(self.media),
            "refused": {str(status): count for status, count in sorted(self.refused.items())},
        }

    def take(self, text: str, media_ids: tuple[str, ...]) -> Post:
        """Take one post.

        Raises:
            Refused: over a limit or without credits, empty, too long, unknown media, or a
                text that was posted before.
        """
        self._count()
        digest = self._check_text(text, has_media=bool(media_ids))
        unknown = [media_id for media_id in media_ids if media_id not in self.media]
        if unknown:
            raise Refused(400, "Invalid Request", "Your media IDs are invalid.", media_ids=unknown)
        now_s = self.real_now_s()
        post = Post(str(1_900_000_000_000 + len(self.posts)), text, digest, media_ids, now_s)
        self.posts.append(post)
        self._digests.add(digest)
        if self.credits is not None:
            self.credits -= 1
        return post

    def store_media(self, image: bytes) -> str:
        """Keep an uploaded image; returns its id.

        Raises:
            Refused: no image, or too large.
        """
        if not image.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"RIFF")):
            raise Refused(400, "Invalid Request", "The media is no image.")
        if len(image) > MAX_IMAGE_BYTES:
            raise Refused(400, "Invalid Request", "The image is larger than 5 MB.")
        media_id = str(1_800_000_000_000 + len(self.media))
        self.media[media_id] = len(image)
        return media_id

    def rate_headers(self) -> dict[str, str]:
        """The headers of both windows."""
        return {
            name: value
            for prefix, window in self._windows.items()
            for name, value in window.headers(prefix).items()
        }

    def _count(self) -> None:
        if self.credits is not None and self.credits <= 0:
            raise Refused(402, "CreditsDepleted", "The account has no credits left.")
        windows = self._windows.values()
        for window in windows:
            window.roll(self.real_now_s())
        if any(window.used >= window.limit for window in windows):
            raise Refused(429, "Too Many Requests", "Too Many Requests")
        for window in windows:
            window.used += 1

    def _check_text(self, text: str, *, has_media: bool) -> str:
        if not text.strip() and not has_media:
            raise Refused(400, "Invalid Request", "The post has neither text nor media.")
        if weighted(text) > MAX_WEIGHTED:
            raise Refused(403, "Forbidden", "Your Tweet text is too long.")
        digest = hashlib.sha256(text.strip().encode()).hexdigest()
        if digest in self._digests:
            raise Refused(403, "Forbidden", "You are not allowed to create a Tweet with duplicate content.")
        return digest


def weighted(text: str) -> int:
    """The weighted length of a text, links 23: written apart from the client's own count, so
    that each checks the other."""
    plain = unicodedata.normalize("NFC", text)
    without_links, links = _LINK.subn("", plain)
    light = sum(
        code <= 0x10FF or 0x2000 <= code <= 0x200D or 0x2010 <= code <= 0x201F or 0x2032 <= code <= 0x2037
        for code in map(ord, without_links)
    )
    return links * 23 + 2 * len(without_links) - light
