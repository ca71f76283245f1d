"""The ids our orders carry on the exchange: whose they are and what they belong to.

An id is a pure function of the agent, the occasion and the leg, so a second attempt at the
same order has the same id and Bybit refuses it (110072). It reads

    conservative-1_1234_t4k2x9_e0     entry leg 0 of signal 1234, by conservative-1
    kill-switch_x12_t4k2x9_x0         exit leg 0 of trade 12, by the kill switch
    kill-switch_y3f0a1_t4k2x9_x0      exit leg 0 of a position that has no trade

The third part is the second of the occasion in base 36. It is there because numbers start
again at 1 when somebody creates the database anew while Bybit remembers every id it has
seen: without it, an old order could be taken for the new one.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime

from whalestack.clock import to_ms

MAX_LENGTH = 36
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_SHAPE = re.compile(
    r"^(?P<agent>[a-z0-9-]{1,16})_(?P<subject>[0-9]+|x[0-9]+|y[0-9a-z]+)_[0-9a-z]+_(?P<leg>[ex][0-9]{1,2})$"
)


@dataclass(frozen=True)
class LinkId:
    """What an id says. `subject` is a signal's number, or x and a trade's, or y and a digest."""

    agent_name: str
    subject: str
    leg: str


def entry_link_id(agent_name: str, signal_id: int, triggered_at: datetime, leg: str) -> str:
    """The id of one entry leg of one agent for one signal.

    Args:
        agent_name: at most 16 of ``a-z0-9-``.
        signal_id: of the row in `signals`.
        triggered_at: of the same row.
        leg: e0, e1, ... for the rungs.

    Raises:
        ValueError: the result would not be an id that Bybit takes.
    """
    return _compose(agent_name, str(signal_id), triggered_at, leg)


def exit_link_id(agent_name: str, trade_id: int, entry_time: datetime, leg: str) -> str:
    """The id of one exit leg of a trade; arguments and errors as `entry_link_id`."""
    return _compose(agent_name, f"x{trade_id}", entry_time, leg)


def stray_exit_link_id(agent_name: str, position_key: str, opened_at: datetime, leg: str) -> str:
    """The id of one exit leg of a position that no trade of ours knows.

    Args:
        agent_name: who closes it.
        position_key: what tells this position from others, such as symbol and side.
        opened_at: when the exchange says it was opened.
        leg: x0, x1, ...
    """
    digest = int.from_bytes(hashlib.sha256(position_key.encode()).digest()[:4], "big")
    return _compose(agent_name, f"y{_base36(digest)}", opened_at, leg)


def parse_link_id(order_link_id: str) -> LinkId | None:
    """Read an id of ours; None where somebody else made it."""
    match = _SHAPE.match(order_link_id)
    return None if match is None else LinkId(match["agent"], match["subject"], match["leg"])


def _compose(agent_name: str, subject: str, moment: datetime, leg: str) -> str:
    link_id = f"{agent_name}_{subject}_{_base36(to_ms(moment) // 1000)}_{leg}"
    if len(link_id) > MAX_LENGTH or parse_link_id(link_id) is None:
        raise ValueError(f"{link_id} is no id that Bybit takes (at most {MAX_LENGTH} of 0-9a-z_-)")
    return link_id


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = _DIGITS[rest] + digits
    return digits or "0"
