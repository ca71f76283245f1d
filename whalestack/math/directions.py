"""The words for which way: of a trade, of a cluster, of a strategy."""

from __future__ import annotations

from typing import Literal

Direction = Literal["LONG", "SHORT"]
RankedDirection = Literal["LONG", "SHORT", "NEUTRAL"]
ClusterSide = Literal["short", "long"]
Strategy = Literal["CONSERVATIVE", "AGGRESSIVE", "REVERSAL"]


def as_direction(text: str) -> Direction:
    """The direction of a stored word.

    Raises:
        ValueError: the word is neither LONG nor SHORT.
    """
    if text == "LONG":
        return "LONG"
    if text == "SHORT":
        return "SHORT"
    raise ValueError(f"{text!r} is not a direction; LONG and SHORT are")


def opposite(direction: Direction) -> Direction:
    """The other direction."""
    return "SHORT" if direction == "LONG" else "LONG"


def target_side(direction: Direction) -> ClusterSide:
    """Whose liquidations a trade of this direction runs toward: a LONG toward shorts above."""
    return "short" if direction == "LONG" else "long"


def sign(direction: Direction) -> int:
    """+1 for LONG, -1 for SHORT: profit per unit of price."""
    return 1 if direction == "LONG" else -1
