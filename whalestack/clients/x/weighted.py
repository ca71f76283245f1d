"""How X counts a text: 280 weighted characters, links 23 each.

Source of the weights: the published configuration 3 of the twitter-text counting rules
(default weight 200, scale 100, and the four ranges below at weight 100).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

MAX_WEIGHTED = 280
LINK_WEIGHT = 23
_LIGHT_RANGES = ((0, 4351), (8192, 8205), (8208, 8223), (8242, 8247))
_LINK = re.compile(r"https?://\S+")
_ELLIPSIS = "…"


def _weight(character: str) -> int:
    code = ord(character)
    return 1 if any(low <= code <= high for low, high in _LIGHT_RANGES) else 2


def weighted_length(text: str) -> int:
    """The weighted characters of `text` as X counts them, after NFC normalisation.

    An emoji made of several code points is counted by its parts: X counts it as 2, so
    this never says less than X does.
    """
    plain = unicodedata.normalize("NFC", text)
    links = len(_LINK.findall(plain))
    return links * LINK_WEIGHT + sum(_weight(character) for character in _LINK.sub("", plain))


def fit(text: str, limit: int = MAX_WEIGHTED) -> str:
    """`text`, cut at the end with an ellipsis where it weighs more than `limit`."""
    return cut_to(text, limit, weighted_length)


def cut_to(text: str, limit: int, measure: Callable[[str], int]) -> str:
    """The longest beginning of `text` that measures at most `limit`, its ellipsis included.

    Args:
        text: what to cut.
        limit: the largest allowed measure, at least that of the ellipsis.
        measure: grows with the text's length.
    """
    if measure(text) <= limit:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if measure(text[:middle].rstrip() + _ELLIPSIS) <= limit:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + _ELLIPSIS
