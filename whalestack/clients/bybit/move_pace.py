"""One pace for all moves of stops of the account, kept in Redis, in real time.

Bybit lets an account move ten stops in any second; more are refused, and each refusal is a moment
lost to a stop that could have been moved. So whoever moves a stop takes a turn right before the call.

- A turn counts from when it is given until a second after its answer came. Bybit counts the call
  somewhere between, so at no moment has it counted more calls in a second than turns are out.
- Moves that follow the profit leave a tenth of the limit to those that protect a position, and give
  no more turns while one of those waits. So protecting never waits behind following.
- The limit is what Bybit's headers say, before the first answer the documented ten.
- Without Redis every turn is given at once: then Bybit's own refusals are the pace.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol, cast

import redis
import structlog

from whalestack.clients.bybit.errors import BybitRateLimited
from whalestack.clients.bybit.rate_budget import EndpointBudget, wall_clock_ms
from whalestack.errors import GiveUp, StopAndTell, TryAgain

log = structlog.get_logger(__name__)

ENDPOINT = "set_trading_stop"
DOCUMENTED_LIMIT = 10
WINDOW_MS = 1000
# A call without an answer is over by then: pybit's timeout to connect and to read.
IN_FLIGHT_MS = 10_000
# Real seconds: one who waits holds the position's lock. He lets go of it for those that must act, and
# comes again.
PATIENCE_S = 1.5
URGENT_PATIENCE_S = 2.0
# Turns whose answer is on its way come back sooner than they seem to.
LONGEST_NAP_S = 0.05
LONGEST_PAUSE_MS, LEAST_PAUSE_MS = 1000, 50

_TAKE = """
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local limit, kept, urgent = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'
local paused = redis.call('PTTL', KEYS[3])
if paused > 0 then return {0, paused} end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local out = redis.call('ZCARD', KEYS[1])
if not urgent and redis.call('EXISTS', KEYS[2]) == 1 then return {0, 1000} end
if not urgent then limit = limit - kept end
if out < limit then
  redis.call('ZADD', KEYS[1], now + tonumber(ARGV[5]), ARGV[1])
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
  if urgent then redis.call('DEL', KEYS[2]) end
  return {1, 0}
end
if urgent then redis.call('SET', KEYS[2], 1, 'PX', ARGV[6]) end
local frees = redis.call('ZRANGE', KEYS[1], out - limit, out - limit, 'WITHSCORES')
return {0, math.max(1, math.ceil(frees[2] - now))}
"""

# The clock is cut to whole ms: one more, or a call could leave a fraction of one too early.
_ANSWERED = """
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
if tonumber(ARGV[3]) > 0 then redis.call('SET', KEYS[2], 1, 'PX', ARGV[3]) end
return redis.call('ZADD', KEYS[1], 'XX', now + tonumber(ARGV[2]) + 1, ARGV[1])
"""


class MoveNotFree(TryAgain):
    """No turn came in time; nothing was sent."""


class MovePace(Protocol):
    """Gives out turns."""

    def turn(self, *, urgent: bool = False) -> AbstractContextManager[None]:
        """Wait for a turn, and hold it while the block makes its call.

        Args:
            urgent: protects a position; passes all that are not.

        Raises:
            MoveNotFree: there is none within `PATIENCE_S`. Never where it is urgent.
        """


@dataclass
class RedisMovePace:
    """The pace of every worker with the same Redis.

    Args:
        client: of the state database.
        known: what the account's headers said last of the endpoint, None before the first answer.
        window_ms: real ms in which Bybit counts.
        patience_s: real seconds until a turn that is not urgent is given up.
        sleep: waits real seconds.
        now_s: monotonic real seconds.
    """

    client: redis.Redis
    known: Callable[[], EndpointBudget | None] = lambda: None
    window_ms: int = WINDOW_MS
    patience_s: float = PATIENCE_S
    sleep: Callable[[float], None] = time.sleep
    now_s: Callable[[], float] = time.monotonic
    # One of a process asks at a time; the others of it stand behind.
    _line: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        self._turns, self._waiting, self._pause = (
            f"ws:pace:stops:{name}" for name in ("turns", "urgent", "pause")
        )
        self._take = self.client.register_script(_TAKE)
        self._answered = self.client.register_script(_ANSWERED)

    @contextmanager
    def turn(self, *, urgent: bool = False) -> Iterator[None]:
        """See `MovePace.turn`."""
        token = self._wait_urgent() if urgent else self._wait()
        try:
            yield
        except BybitRateLimited:
            self._settle(token, pause_ms=self._pause_ms())
            raise
        except (TryAgain, GiveUp, StopAndTell):
            self._settle(token)
            raise
        # Of unknown outcome it may still be on its way: then the turn keeps its late time.
        self._settle(token)

    def _wait(self) -> str | None:
        deadline_s = self.now_s() + self.patience_s
        if not self._line.acquire(timeout=self.patience_s):
            raise self._none_free()
        try:
            return self._ask_until(deadline_s, urgent=False)
        finally:
            self._line.release()

    def _wait_urgent(self) -> str | None:
        try:
            return self._ask_until(self.now_s() + URGENT_PATIENCE_S, urgent=True)
        except MoveNotFree:
            # Better refused by Bybit than never asked.
            return None

    def _ask_until(self, deadline_s: float, *, urgent: bool) -> str | None:
        """The token of a turn, None where nobody counts."""
        token = uuid.uuid4().hex
        while True:
            try:
                pause_s = self._ask(token, urgent)
            except redis.RedisError as error:
                log.warning("moves_not_paced", error=type(error).__name__)
                return None
            if pause_s <= 0:
                return token
            left_s = deadline_s - self.now_s()
            if left_s <= 0:
                raise self._none_free()
            self.sleep(min(pause_s, left_s, LONGEST_NAP_S))

    def _none_free(self) -> MoveNotFree:
        return MoveNotFree(f"no move of a stop was free within {self.patience_s:g} s")

    def _ask(self, token: str, urgent: bool) -> float:
        """Take a turn and return 0, or the real seconds until one may be free."""
        told = self.known()
        limit = told.limit if told is not None and told.limit > 0 else DOCUMENTED_LIMIT
        kept = min(limit - 1, -(-limit // 10))
        arguments: list[str | int | float] = [
            token,
            limit,
            kept,
            int(urgent),
            self.window_ms + IN_FLIGHT_MS,
            self.window_ms,
        ]
        keys = [self._turns, self._waiting, self._pause]
        given, wait_ms = cast("list[int]", self._take(keys, arguments))
        return 0.0 if given else wait_ms / 1000

    def _settle(self, token: str | None, pause_ms: int = 0) -> None:
        """Count the turn from its answer on; after a refusal all pause."""
        if token is None:
            return
        try:
            self._answered([self._turns, self._pause], [token, self.window_ms, pause_ms])
        except redis.RedisError:
            # It counts a little longer than it needs to, which errs on the safe side.
            return

    def _pause_ms(self) -> int:
        """Until Bybit's headers say that the limit is over."""
        told = self.known()
        left_ms = told.reset_ms - wall_clock_ms() if told is not None else 0
        return min(max(left_ms, LEAST_PAUSE_MS), LONGEST_PAUSE_MS)
