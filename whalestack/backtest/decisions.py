"""What was decided, as canonical lines of text and their digest.

One line for each decision, in the order of time; those of one moment in the order of their text, because
who was heard first of several at once is chance:

    <market ms> signal <symbol> <LONG|SHORT> rank=<n>
    <market ms> order <agent> <symbol> <Buy|Sell> <leg> qty=<q> price=<p> stop=<p> target=<p>
    <market ms> fill <symbol> <Buy|Sell> <leg|stop|target|liquidation> qty=<q> price=<p>
    <market ms> stop <symbol> <old>><new>
    <market ms> close <agent> <symbol> <LONG|SHORT> <stop_loss|take_profit|liquidation> pnl=<usd>

Numbers are decimals without an exponent and without trailing zeros; `pnl` has two places. The digest is
the sha256 of the lines, each ended by a line feed, in UTF-8. Refusals, funding, cancelled orders and ids
are no part of it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from decimal import Decimal


def plain(value: Decimal | None) -> str:
    """A number without exponent and trailing zeros; a dash for none."""
    if value is None:
        return "-"
    return f"{value.normalize():f}" if value else "0"


@dataclass
class Decisions:
    """The lines so far."""

    lines: list[str] = field(default_factory=list)

    def signal(self, at_ms: int, symbol: str, direction: str, rank: int) -> None:
        """A trigger on a watched coin."""
        self.lines.append(f"{at_ms} signal {symbol} {direction} rank={rank}")

    def order(
        self,
        at_ms: int,
        agent: str,
        symbol: str,
        side: str,
        leg: str,
        *,
        qty: Decimal,
        price: Decimal,
        stop: Decimal,
        target: Decimal,
    ) -> None:
        """An entry order that the exchange took."""
        numbers = f"qty={plain(qty)} price={plain(price)} stop={plain(stop)} target={plain(target)}"
        self.lines.append(f"{at_ms} order {agent} {symbol} {side} {leg} {numbers}")

    def fill(self, at_ms: int, symbol: str, side: str, what: str, qty: Decimal, price: Decimal) -> None:
        """A fill; `what` is the leg of an entry, stop, target or liquidation."""
        self.lines.append(f"{at_ms} fill {symbol} {side} {what} qty={plain(qty)} price={plain(price)}")

    def stop(self, at_ms: int, symbol: str, old: Decimal | None, new: Decimal) -> None:
        """A stop that was moved."""
        self.lines.append(f"{at_ms} stop {symbol} {plain(old)}>{plain(new)}")

    def close(self, at_ms: int, agent: str, symbol: str, direction: str, reason: str, pnl: Decimal) -> None:
        """A trade that is over."""
        self.lines.append(f"{at_ms} close {agent} {symbol} {direction} {reason} pnl={pnl:.2f}")

    def text(self) -> str:
        """All lines in their order, each ended by a line feed."""
        return "".join(f"{line}\n" for line in self.ordered())

    def ordered(self) -> list[str]:
        """The lines by their moments, those of one moment by their text."""
        return sorted(self.lines, key=lambda line: (int(line.split(" ", 1)[0]), line))

    def digest(self) -> str:
        """sha256 of `text`."""
        return hashlib.sha256(self.text().encode()).hexdigest()

    def until(self, end_ms: int) -> list[str]:
        """The lines of moments before `end_ms`."""
        return [line for line in self.lines if int(line.split(" ", 1)[0]) < end_ms]
