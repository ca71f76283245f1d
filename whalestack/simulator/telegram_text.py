"""Telegram's HTML: which tags it knows, and what is left to see of a message."""

from __future__ import annotations

import re
from html import unescape

KNOWN_TAGS = frozenset(
    {"b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "a", "code", "pre", "blockquote"}
    | {"span", "tg-spoiler", "tg-emoji"}
)
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9-]*)((?:\s[^<>]*)?)>")


class TextRefused(Exception):
    """The text cannot be parsed; the message says where, as Telegram does."""


def visible_text(html: str) -> str:
    """The text that a reader sees: tags taken away, entities replaced.

    Raises:
        TextRefused: a tag that Telegram does not know, one that is not closed or closed
            wrongly, or a `<` that begins no tag.
    """
    open_tags: list[str] = []
    pieces: list[str] = []
    position = 0
    for tag in _TAG.finditer(html):
        pieces.append(_plain(html, position, tag.start()))
        _follow(open_tags, tag)
        position = tag.end()
    pieces.append(_plain(html, position, len(html)))
    if open_tags:
        raise TextRefused(f'Can\'t find end tag corresponding to start tag "{open_tags[-1]}"')
    return "".join(pieces)


def _follow(open_tags: list[str], tag: re.Match[str]) -> None:
    closing, name = tag.group(1), tag.group(2).lower()
    if name not in KNOWN_TAGS:
        raise TextRefused(f'Unsupported start tag "{name}" at byte offset {tag.start()}')
    if not closing:
        open_tags.append(name)
    elif not open_tags or open_tags.pop() != name:
        raise TextRefused(f"Unmatched end tag at byte offset {tag.start()}")


def _plain(html: str, start: int, end: int) -> str:
    text = html[start:end]
    if "<" in text:
        raise TextRefused(f"Unsupported start tag at byte offset {start + text.index('<')}")
    return unescape(text)
