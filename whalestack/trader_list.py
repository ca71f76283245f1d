"""The automatic traders as one line of `.env`: who they are and what each may do.

    AUTOTRADERS=careful:CONSERVATIVE,bold:AGGRESSIVE:risk=0.5:open=2,fader:REVERSAL:off

Entries are separated by commas, the parts of an entry by colons: its name, its strategy, and any
of `on`, `off`, `risk=` (per cent of equity lost at the stop), `open=` (positions at once) and
`ladder=` (`on`, `off` or a number of rungs). What an entry does not say, the general settings say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal, get_args

Strategy = Literal["CONSERVATIVE", "AGGRESSIVE", "REVERSAL"]

NAME = re.compile(r"[a-z0-9-]{1,16}")
# These agents act under names of their own; a trader that bore one would take its trades for its own.
TAKEN_NAMES = frozenset(
    {"broadcaster", "kill-switch", "manual", "position-monitor", "reconciler", "stop-watchdog"}
)
MOST_RUNGS = 20
NO_LADDER = 1
CAPITAL_DECIDES = 0
_OPTIONS = "on, off, risk=, open= and ladder="


@dataclass(frozen=True)
class TraderSpec:
    """One automatic trader as it was written down; None leaves it to the general setting.

    Args:
        name: its `agent_name`, part of every order's id.
        strategy: how it enters.
        enabled: whether it acts.
        risk_pct: per cent of the equity that one trade may lose.
        open_positions: how many positions it may have at once.
        ladder_rungs: 0 capital decides, 1 off, else how many.
    """

    name: str
    strategy: Strategy
    enabled: bool = True
    risk_pct: float | None = None
    open_positions: int | None = None
    ladder_rungs: int | None = None


def parse_traders(text: str) -> tuple[TraderSpec, ...]:
    """Read the line.

    Raises:
        ValueError: a bad entry, by the trader's name, or by its place where the name is the
            trouble; the text itself is not repeated, for it may have been put on the wrong line.
    """
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    specs = tuple(_parse_entry(place, entry) for place, entry in enumerate(entries, start=1))
    names = [spec.name for spec in specs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} is there twice")
    return specs


def _parse_entry(place: int, entry: str) -> TraderSpec:
    name, *parts = (part.strip() for part in entry.split(":"))
    if not NAME.fullmatch(name):
        raise ValueError(f"the name of entry {place} must be 1 to 16 of a-z, 0-9 and -")
    if name in TAKEN_NAMES:
        raise ValueError(f"{name} is the name of another agent")
    strategy = parts[0].upper() if parts else ""
    for known in get_args(Strategy):
        if strategy == known:
            return _with_options(TraderSpec(name, known), parts[1:])
    raise ValueError(f"{name} needs a strategy, one of {', '.join(get_args(Strategy))}")


def _with_options(spec: TraderSpec, options: list[str]) -> TraderSpec:
    seen: set[str] = set()
    for place, option in enumerate(options, start=1):
        key, _, value = option.lower().partition("=")
        kind = "switch" if key in ("on", "off") else key
        if kind in seen:
            raise ValueError(f"{spec.name} has {kind} twice")
        seen.add(kind)
        spec = _with_option(spec, place, key.strip(), value.strip())
    return spec


def _with_option(spec: TraderSpec, place: int, key: str, value: str) -> TraderSpec:
    match key:
        case "on" | "off" if not value:
            return replace(spec, enabled=key == "on")
        case "risk":
            return replace(spec, risk_pct=_risk_pct(spec.name, value))
        case "open":
            return replace(spec, open_positions=_whole(spec.name, "open", value, least=1, most=1000))
        case "ladder":
            return replace(spec, ladder_rungs=_rungs(spec.name, value))
    raise ValueError(f"option {place} of {spec.name} is none of {_OPTIONS}")


def _risk_pct(name: str, value: str) -> float:
    try:
        risk_pct = float(value)
    except ValueError:
        risk_pct = 0.0
    if not 0 < risk_pct <= 100:
        raise ValueError(f"risk of {name} must be above 0 and at most 100 per cent")
    return risk_pct


def _rungs(name: str, value: str) -> int:
    if value in ("on", "off"):
        return CAPITAL_DECIDES if value == "on" else NO_LADDER
    return _whole(name, "ladder", value, least=CAPITAL_DECIDES, most=MOST_RUNGS)


def _whole(name: str, what: str, value: str, *, least: int, most: int) -> int:
    number = int(value) if value.isascii() and value.isdigit() and len(value) <= 9 else -1
    if not least <= number <= most:
        raise ValueError(f"{what} of {name} must be a whole number from {least} to {most}")
    return number
