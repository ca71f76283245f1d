"""The record of which position had a stop, for every moment: the exchange's own, not the trader's.

A position's life is cut into spells: a new spell begins whenever its size or its stop changes.
Unprotected position-seconds are the market seconds of all spells without a stop; two naked
positions in the same second count two. A spell that began and ended within the same millisecond
has no seconds, so spells without a stop are counted too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any


@dataclass(frozen=True)
class Spell:
    """A stretch of market time over which size and stop of a position stayed the same.

    `signed` is in base coins (positive when long), `stop_loss` in USDT, `opened_by` the link id of
    the order that opened the position, `to_ms` None while the spell lasts.
    """

    symbol: str
    from_ms: int
    to_ms: int | None
    signed: Decimal
    stop_loss: Decimal | None
    opened_by: str

    def seconds(self, now_ms: int) -> float:
        """How long it lasted so far, market seconds."""
        return ((now_ms if self.to_ms is None else self.to_ms) - self.from_ms) / 1000

    def row(self) -> dict[str, Any]:
        """The spell as JSON."""
        return {
            "symbol": self.symbol,
            "from_ms": self.from_ms,
            "to_ms": self.to_ms,
            "signed_qty": format(self.signed, "f"),
            "stop_loss": None if self.stop_loss is None else format(self.stop_loss, "f"),
            "opened_by": self.opened_by,
        }


class ProtectionLedger:
    """All spells of all positions, in the order in which they began."""

    def __init__(self) -> None:
        self._current: dict[str, Spell] = {}
        self._past: list[Spell] = []
        self._naked_ms = 0
        self._naked_spells = 0

    def record(
        self, symbol: str, now_ms: int, *, signed: Decimal, stop_loss: Decimal | None, opened_by: str
    ) -> bool:
        """Note what a position is from now on; size 0 means that it is gone.

        Returns:
            True when this begins a time without a stop.
        """
        before = self._current.get(symbol)
        if before is not None and (before.signed, before.stop_loss) == (signed, stop_loss):
            return False
        if before is not None:
            self._end(before, now_ms)
        if not signed:
            return False
        self._current[symbol] = Spell(symbol, now_ms, None, signed, stop_loss, opened_by)
        self._naked_spells += stop_loss is None
        return stop_loss is None and (before is None or before.stop_loss is not None)

    def had_stop(self, symbol: str, at_ms: int) -> bool | None:
        """Whether the symbol's position had a stop at a market moment; None when there was no position."""
        for spell in reversed(self.spells(symbol)):
            if spell.from_ms <= at_ms and (spell.to_ms is None or at_ms < spell.to_ms):
                return spell.stop_loss is not None
        return None

    def unprotected_seconds(self, now_ms: int) -> float:
        """Market seconds without a stop, summed over all positions until now."""
        open_naked = (spell.seconds(now_ms) for spell in self._current.values() if spell.stop_loss is None)
        return self._naked_ms / 1000 + sum(open_naked)

    @property
    def unprotected_spells(self) -> int:
        """How many stretches without a stop there were, however short."""
        return self._naked_spells

    def unprotected_now(self) -> list[Spell]:
        """The positions that have no stop at this moment."""
        return [spell for spell in self._current.values() if spell.stop_loss is None]

    def spells(self, symbol: str | None = None, *, only_unprotected: bool = False) -> list[Spell]:
        """Spells in time order, of one symbol or of all, those that last included."""
        return [
            spell
            for spell in (*self._past, *self._current.values())
            if (symbol is None or spell.symbol == symbol)
            and not (only_unprotected and spell.stop_loss is not None)
        ]

    def _end(self, spell: Spell, now_ms: int) -> None:
        del self._current[spell.symbol]
        self._past.append(replace(spell, to_ms=now_ms))
        if spell.stop_loss is None:
            self._naked_ms += now_ms - spell.from_ms
