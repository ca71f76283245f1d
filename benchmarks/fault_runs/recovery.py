"""How long the system takes to be whole again after each fault, measured from outside.

A fault is over when

* every process runs, and whoever was hit works again (its own sign, see `signs.py`),
* every order that was on its way when it struck has an answer in the database, and
* every symbol has since been seen alike on the exchange and in the database.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from statistics import quantiles

import redis
import requests
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from fault_runs.system import System
from whalestack.errors import TryAgain

LOOK_EVERY_S = 0.4
GIVES_UP_S = 120.0
SLOW_S = 20.0
Sign = Callable[[], bool]

ON_THEIR_WAY = text("select order_link_id from orders where status in ('intent', 'sent', 'unknown')")
TAKEN = text("select symbol from trade_plans where status in ('checking', 'entering', 'open')")
OPEN_TRADES = text(
    "select symbol, case side when 'LONG' then open_qty else -open_qty end from trades where status = 'open'"
)


@dataclass(frozen=True)
class BothSides:
    """The exchange and the database at nearly one moment: signed sizes, orders without an
    answer, and symbols with a plan that is not over."""

    exchange: dict[str, Decimal]
    database: dict[str, Decimal]
    on_their_way: frozenset[str]
    taken: frozenset[str]

    def differing(self) -> frozenset[str]:
        """Symbols whose size is not the same on both sides."""
        symbols = self.exchange.keys() | self.database.keys()
        return frozenset(each for each in symbols if self.exchange.get(each) != self.database.get(each))


def look(system: System) -> BothSides:
    """Look at both sides.

    Raises:
        SQLAlchemyError: the database is away.
    """
    system.record.follow()
    with system.runtime.db.begin() as work:
        taken = frozenset(work.session.scalars(TAKEN))
        on_their_way = frozenset(work.session.scalars(ON_THEIR_WAY))
        trades = {symbol: Decimal(qty) for symbol, qty in work.session.execute(OPEN_TRADES)}
    return BothSides(system.record.held(), trades, on_their_way, taken)


@dataclass
class Recovery:
    """One fault that is not over yet."""

    kind: str
    began_s: float
    signs: list[Sign]
    orders: frozenset[str] | None = None
    symbols: set[str] = field(default_factory=set)
    last: str = ""

    def goes_on(self, seen: BothSides) -> bool:
        """Take a look into account; False when the fault is over."""
        if self.orders is None:
            self.orders, self.symbols = seen.on_their_way, set(seen.exchange) | set(seen.database)
        self.orders &= seen.on_their_way
        self.symbols &= seen.differing()
        self.signs = [sign for sign in self.signs if not _is_shown(sign)]
        if self.orders or self.symbols or self.signs:
            signs = [sign.__qualname__.partition(".")[0] for sign in self.signs]
            self.last = f"orders {sorted(self.orders)} symbols {sorted(self.symbols)} signs {signs}"
        return bool(self.orders or self.symbols or self.signs)


def _is_shown(sign: Sign) -> bool:
    try:
        return sign()
    except (SQLAlchemyError, redis.RedisError, TryAgain, requests.RequestException):
        return False


class RecoveryWatch:
    """Looks at both sides a few times a second and times every fault's end.

    Args:
        system: which is looked at.
    """

    def __init__(self, system: System) -> None:
        self._system = system
        self._open: list[Recovery] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recovery")
        self.taken: frozenset[str] = frozenset()
        self.took_s: list[tuple[str, float]] = []
        self.never: list[str] = []
        self.slow: list[str] = []

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """End; what is still open never recovered."""
        self._stop.set()
        self._thread.join()
        self.never += [recovery.kind for recovery in self._open]

    def begin(self, kind: str, began_s: float, signs: Sequence[Sign] = ()) -> None:
        """A fault has struck at a monotonic moment."""
        with self._lock:
            self._open.append(Recovery(kind, began_s, [self._system.is_whole, *signs]))

    @property
    def unfinished(self) -> list[str]:
        """The kinds of the faults that are not over yet."""
        with self._lock:
            return [recovery.kind for recovery in self._open]

    def _run(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            try:
                seen = look(self._system)
            except (SQLAlchemyError, requests.RequestException):
                continue
            self.taken = seen.taken
            self._judge(seen)

    def _judge(self, seen: BothSides) -> None:
        now_s = time.monotonic()
        with self._lock:
            waiting, self._open = self._open, []
        for recovery in waiting:
            if not recovery.goes_on(seen):
                self.took_s.append((recovery.kind, now_s - recovery.began_s))
                if now_s - recovery.began_s > SLOW_S:
                    self.slow.append(f"{recovery.kind} {now_s - recovery.began_s:.0f} s: {recovery.last}")
            elif now_s - recovery.began_s > GIVES_UP_S:
                self.never.append(recovery.kind)
            else:
                with self._lock:
                    self._open.append(recovery)


def spread(seconds: list[float]) -> dict[str, float]:
    """Median, 99th percentile and greatest, in seconds; empty for none."""
    if not seconds:
        return {}
    cuts = quantiles(seconds, n=100, method="inclusive") if len(seconds) > 1 else seconds * 99
    return {"p50": round(cuts[49], 2), "p99": round(cuts[98], 2), "max": round(max(seconds), 2)}
