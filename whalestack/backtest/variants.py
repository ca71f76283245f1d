"""The traders that are played side by side: those of the settings, or built-in ones.

conservative  aggressive  reversal       one entry order, stops follow the profit
...-ladder                               a scaled entry instead
...-fixed                                stops stay where they are
all                                      every combination of the above
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from whalestack.config import Settings
from whalestack.errors import StopAndTell

STRATEGIES = ("conservative", "aggressive", "reversal")
LADDER, FIXED = "ladder", "fixed"
BUILT_IN = tuple(
    "-".join((strategy, *(each for each in (ladder, fixed) if each)))
    for strategy, ladder, fixed in product(STRATEGIES, ("", LADDER), ("", FIXED))
)


def traders(names: Sequence[str], settings: Settings, symbols: Sequence[str]) -> tuple[Settings, ...]:
    """The settings of each trader that is named.

    A name of AUTOTRADERS means that trader; else a built-in name changes the settings' strategy, ladder
    and trailing steps. A ladder may then scale into every coin, as far as the capital allows it.

    Raises:
        StopAndTell: there is no such trader.
    """
    wanted = [name for each in names for name in (BUILT_IN if each == "all" else (each,))]
    known = {trader.autotrader_name: trader for trader in settings.of_traders()}
    unknown = [name for name in wanted if name not in known and name not in BUILT_IN]
    if unknown or not wanted:
        raise StopAndTell(
            f"no trader {', '.join(unknown)}; AUTOTRADERS names {', '.join(known)}, "
            f"built in are all, {', '.join(BUILT_IN)}"
        )
    return tuple(known[name] if name in known else _built_in(name, settings, symbols) for name in wanted)


def _built_in(name: str, settings: Settings, symbols: Sequence[str]) -> Settings:
    strategy, *options = name.split("-")
    changed: dict[str, object] = {
        "autotrader_name": _short(strategy, options),
        "autotrader_strategy": strategy.upper(),
        "autotrader_enabled": True,
        "ladder_rungs": 5 if LADDER in options else 1,
    }
    if LADDER in options:
        changed["ladder_coins"] = tuple(symbols)
    if FIXED in options:
        changed["trailing_steps_pct"] = ()
    return settings.model_copy(update=changed)


def _short(strategy: str, options: Sequence[str]) -> str:
    """An agent's name has sixteen letters at most: conservative-l-f."""
    return "-".join((strategy, *(each[0] for each in options)))


def name_of(team: Sequence[Settings]) -> str:
    """What an account is called: its traders, or the one trader in a few words."""
    return title(team[0]) if len(team) == 1 else "+".join(each.autotrader_name for each in team)


def title(settings: Settings) -> str:
    """What a trader is, in a few words."""
    entry = "one order" if settings.ladder_rungs == 1 else "ladder"
    stops = "trailing" if settings.trailing_steps_pct else "fixed stop"
    return f"{settings.autotrader_strategy}, {entry}, {stops}"
