"""How long a Telegram message may be, and how it is counted."""

from __future__ import annotations

import re
from html import unescape

MAX_TEXT = 4096
MAX_CAPTION = 1024
_TAG = re.compile(r"</?[a-z][^<>]*>")


def utf16_length(text: str) -> int:
    """Characters as Telegram counts them: UTF-16 code units, so most emoji are 2."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def visible_length(html: str) -> int:
    """Length of an HTML message after its tags and entities have been parsed away."""
    return utf16_length(unescape(_TAG.sub("", html)))
