"""Faults of the outside's answers and of the private stream: many, quick, and never one at a time."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import requests

from fault_runs import signs
from fault_runs.recovery import RecoveryWatch
from fault_runs.system import System

CREATE = "POST /v5/order/create"
CREATE_BATCH = "POST /v5/order/create-batch"
CANCEL = "POST /v5/order/cancel"
CANCEL_BATCH = "POST /v5/order/cancel-batch"
STOPS = "POST /v5/position/trading-stop"
LEVERAGE = "POST /v5/position/set-leverage"
READS = (
    "GET /v5/order/realtime",
    "GET /v5/execution/list",
    "GET /v5/position/list",
    "GET /v5/account/wallet-balance",
    "GET /v5/market/tickers",
)
TELEGRAM = "POST /bot*/sendMessage"
X_POSTS = "POST /2/tweets"
PRIVATE = "WS /v5/private"
PUBLIC = "WS /v5/public/linear"

LONGEST_WAIT_S = 8.0
AT_ONCE = 4
LOOK_EVERY_S = 0.3


@dataclass(frozen=True)
class ApiFault:
    """One fault rule that strikes once.

    Args:
        kind: under which it is counted.
        endpoint: what it strikes.
        rule: the rest of the rule, as the simulator takes it.
        weight: how often it is chosen.
    """

    kind: str
    endpoint: str
    rule: dict[str, object]
    weight: float = 1.0


def _each(name: str, endpoint: str, kinds: Sequence[str], weight: float) -> list[ApiFault]:
    return [ApiFault(f"{name}_{kind}", endpoint, _rule(kind), weight) for kind in kinds]


def _rule(kind: str) -> dict[str, object]:
    if kind == "error_code":
        # 10016: "server error, please retry": nobody can say whether it was carried out.
        return {"kind": "code", "code": "10016", "message": "Server error"}
    # A timeout holds longer than the client waits; a latency stays below that.
    delay_ms = {"timeout_before": 4000, "timeout_after": 4000, "latency": 1200}.get(kind, 0)
    return {"kind": kind, "delay_ms": delay_ms}


BEFORE = ("http_500", "timeout_before", "http_429", "error_code")
MESSAGES = ("http_429", "http_500", "http_500_after", "timeout_before", "timeout_after")
AFTER = ("http_500_after", "timeout_after", "garbled")

API_FAULTS: tuple[ApiFault, ...] = (
    *_each("order", CREATE, (*BEFORE, *AFTER, "duplicate_refusal", "latency"), 3.0),
    *_each("ladder", CREATE_BATCH, (*BEFORE, *AFTER, "latency"), 2.0),
    *_each("stop", STOPS, (*BEFORE, *AFTER, "latency"), 1.5),
    *_each("cancel", CANCEL, ("http_500", "http_500_after", "timeout_after", "http_429"), 0.7),
    *_each("ladder_cancel", CANCEL_BATCH, ("http_500", "http_500_after", "timeout_after", "http_429"), 0.7),
    *_each("leverage", LEVERAGE, ("http_500", "timeout_after", "http_429"), 1.0),
    *(
        fault
        for read in READS
        for fault in _each("read", read, ("http_500", "timeout_before", "http_429", "garbled"), 0.5)
    ),
    *_each("telegram", TELEGRAM, (*MESSAGES, "latency"), 0.8),
    *_each("x", X_POSTS, MESSAGES, 0.5),
    ApiFault("private_stream_duplicate", PRIVATE, {"kind": "ws_duplicate", "contains": "topic"}, 6.0),
    ApiFault("private_stream_reorder", PRIVATE, {"kind": "ws_reorder", "contains": "topic"}, 6.0),
    ApiFault("private_stream_lost_message", PRIVATE, {"kind": "ws_silence", "contains": "topic"}, 4.0),
    ApiFault("private_stream_drop", PRIVATE, {"kind": "ws_drop", "contains": "topic"}, 2.0),
    ApiFault("public_stream_drop", PUBLIC, {"kind": "ws_drop", "contains": "topic"}, 0.5),
)


# Taken once each before all others, so that a short run has them.
CORE = frozenset(
    {
        "order_http_500", "order_timeout_before", "order_timeout_after", "order_http_429", "order_garbled",
        "order_duplicate_refusal", "stop_http_500", "stop_timeout_after", "read_http_500", "read_http_429",
        "ladder_timeout_after", "ladder_http_500", "telegram_http_429", "private_stream_duplicate",
        "private_stream_reorder", "private_stream_lost_message", "private_stream_drop", "order_error_code",
    }
)  # fmt: skip


def every_kind_once(rng: random.Random) -> list[ApiFault]:
    """Every fault, in a seeded order, the core of them first."""
    return sorted(API_FAULTS, key=lambda fault: (fault.kind not in CORE, rng.random()))


@dataclass
class ApiFaultLane:
    """Keeps a few rules standing until enough of them have struck.

    Args:
        system: which is hurt.
        watch: times the recoveries.
        rng: which faults.
        wanted: how many are to strike.
        every_s: real seconds between two strikes, at least.
    """

    system: System
    watch: RecoveryWatch
    rng: random.Random
    wanted: int
    every_s: float = 0.5
    struck: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    _standing: dict[int, tuple[ApiFault, float]] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Until all have struck, or `stop` is called."""
        order = every_kind_once(self.rng)
        next_s = 0.0
        while self.struck.total() < self.wanted and not self._stop.wait(LOOK_EVERY_S):
            self._collect()
            room = min(AT_ONCE - len(self._standing), self.wanted - self.struck.total() - len(self._standing))
            if room > 0 and time.monotonic() >= next_s:
                next_s = time.monotonic() + self.every_s
                self._add(order.pop(0) if order else self._choose())

    def stop(self) -> None:
        """End now."""
        self._stop.set()

    def _choose(self) -> ApiFault:
        return self.rng.choices(API_FAULTS, [fault.weight for fault in API_FAULTS])[0]

    def _add(self, fault: ApiFault) -> None:
        number = next(self._numbers)
        self.system.record.add_rule(
            endpoint=fault.endpoint, times=1, lasts_s=LONGEST_WAIT_S, seed=number, **fault.rule
        )
        self._standing[number] = (fault, time.monotonic())

    def _collect(self) -> None:
        """Count the rules that have struck; forget those that had nothing to strike."""
        try:
            injected = {rule["seed"]: rule["injected"] for rule in self.system.record.rules()}
        except requests.RequestException:
            return
        for number, (fault, began_s) in list(self._standing.items()):
            if injected.get(number):
                del self._standing[number]
                self.struck[fault.kind] += 1
                self.watch.begin(fault.kind, time.monotonic(), _signs(self.system, fault))
            elif time.monotonic() - began_s > LONGEST_WAIT_S + 1.0:
                del self._standing[number]
                self.missed[fault.kind] += 1


def _signs(system: System, fault: ApiFault) -> list[Callable[[], bool]]:
    return [signs.streams_listen(system)] if fault.kind.endswith("_drop") else []
