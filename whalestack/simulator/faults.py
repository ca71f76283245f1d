"""Faults on request: what goes wrong between a client and the outside.

HTTP faults are applied by one middleware to every API of the simulator
(`whalestack.simulator.server`), so an API module has nothing to do for them. Sockets
pass each frame that they are about to send through `Faults.frames`.

An endpoint is written ``METHOD /path`` for HTTP (``POST /v5/order/create``) and
``WS /path`` for sockets (``WS /v5/private``); a rule names it by a shell pattern.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from whalestack.errors import GiveUp


class FaultKind(StrEnum):
    """What may go wrong."""

    LATENCY = "latency"  # answered, but late
    HTTP_500 = "http_500"  # refused before anything was done
    HTTP_500_AFTER = "http_500_after"  # done, and then an error is answered
    TIMEOUT_BEFORE = "timeout_before"  # nothing done, never answered
    TIMEOUT_AFTER = "timeout_after"  # done, never answered
    HTTP_429 = "http_429"  # refused: too many requests
    CODE = "code"  # HTTP 200 with an error code in the body, nothing done
    GARBLED = "garbled"  # done, and the answer is cut off
    DUPLICATE_REFUSAL = "duplicate_refusal"  # an order is accepted, 110072 is answered
    WS_DROP = "ws_drop"  # the socket is closed
    WS_SILENCE = "ws_silence"  # the socket stays open, the frame is lost
    WS_DUPLICATE = "ws_duplicate"  # the frame is sent twice
    WS_REORDER = "ws_reorder"  # the frame is sent after the next one


WS_KINDS = frozenset(kind for kind in FaultKind if kind.value.startswith("ws_"))
HTTP_KINDS = frozenset(FaultKind) - WS_KINDS


class SocketDropped(Exception):
    """A fault asks for this socket to be closed now, without a closing handshake."""


@dataclass
class FaultRule:
    """One fault to inject.

    Args:
        endpoint: shell pattern over ``METHOD /path``, for example ``* /v5/order/*``.
        kind: what goes wrong.
        times: how often at most; None for as long as the rule stands.
        probability: chance for each match, 0 to 1.
        seed: of this rule's own random numbers.
        delay_ms: real milliseconds: latency, or how long a timeout holds the connection.
        code: error code of kind ``code``.
        message: error text of kind ``code``.
        contains: for sockets: only frames that contain this text.
        lasts_s: real seconds for which the rule stands; None for as long as it is not cleared.
    """

    endpoint: str
    kind: FaultKind
    times: int | None = None
    probability: float = 1.0
    seed: int = 0
    delay_ms: float = 1000.0
    code: str = "500"
    message: str = "Server Error"
    contains: str = ""
    lasts_s: float | None = None
    injected: int = 0
    _made_s: float = field(default_factory=time.monotonic, init=False, repr=False)
    _random: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - repeatable faults, no secrets

    def strikes(self, endpoint: str, frame: str = "") -> bool:
        """Whether this rule hits now; counts the hit."""
        if self.is_over():
            return False
        if self.contains not in frame or not fnmatchcase(endpoint, self.endpoint):
            return False
        if self.probability < 1.0 and self._random.random() >= self.probability:
            return False
        self.injected += 1
        return True

    def is_over(self) -> bool:
        """Whether it has struck as often, or stood as long, as it may."""
        if self.times is not None and self.injected >= self.times:
            return True
        return self.lasts_s is not None and time.monotonic() - self._made_s > self.lasts_s

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form, with how often it has struck."""
        names = ("endpoint", "kind", "times", "probability", "seed", "delay_ms", "code", "message")
        return {name: getattr(self, name) for name in (*names, "contains", "lasts_s", "injected")}


def parse_rule(raw: dict[str, Any]) -> FaultRule:
    """A rule from JSON.

    Raises:
        GiveUp: an unknown kind or field, by name.
    """
    known = {"endpoint", "kind", "times", "probability", "seed", "delay_ms", "code", "message"}
    known |= {"contains", "lasts_s"}
    unknown = set(raw) - known
    if unknown or "endpoint" not in raw or raw.get("kind") not in set(FaultKind):
        raise GiveUp(
            f"fault rule: needs endpoint and a kind of {sorted(FaultKind)}; unknown {sorted(unknown)}"
        )
    return FaultRule(**{**raw, "kind": FaultKind(raw["kind"])})


class Faults:
    """The rules that stand, and what they have done."""

    def __init__(self) -> None:
        self.rules: list[FaultRule] = []
        self.injected: Counter[str] = Counter()
        self._held: dict[object, str] = {}

    def add(self, rule: FaultRule) -> None:
        """Let a rule stand from now on."""
        self.rules.append(rule)

    def clear(self) -> None:
        """Remove every rule; the counts stay."""
        self.rules.clear()

    def take(
        self, endpoint: str, kinds: Collection[FaultKind] = HTTP_KINDS, frame: str = ""
    ) -> FaultRule | None:
        """The first rule of one of `kinds` that strikes this endpoint now, counted; else None."""
        for rule in self.rules:
            if rule.kind in kinds and rule.strikes(endpoint, frame):
                self.injected[rule.kind.value] += 1
                return rule
        return None

    def frames(self, socket: object, endpoint: str, frame: str) -> tuple[str, ...]:
        """The frames to send now on `socket` instead of `frame`: none, one or more.

        Args:
            socket: any hashable that stands for the connection.
            endpoint: for example ``WS /v5/private``.
            frame: text about to be sent.

        Raises:
            SocketDropped: the connection is to be closed now.
        """
        if not self.rules and not self._held:
            return (frame,)
        rule = self.take(endpoint, WS_KINDS, frame)
        held = self._held.pop(socket, None)
        if rule is None:
            return (frame,) if held is None else (frame, held)
        if rule.kind is FaultKind.WS_DROP:
            raise SocketDropped(endpoint)
        if rule.kind is FaultKind.WS_REORDER and held is None:
            self._held[socket] = frame
            return ()
        kept = () if held is None else (held,)
        if rule.kind is FaultKind.WS_SILENCE:
            return kept
        return (frame, frame, *kept) if rule.kind is FaultKind.WS_DUPLICATE else (frame, *kept)

    def forget(self, socket: object) -> None:
        """A socket is gone: drop what was held back for it."""
        self._held.pop(socket, None)
