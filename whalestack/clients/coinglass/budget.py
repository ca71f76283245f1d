"""One budget of CoinGlass calls for all workers, kept in Redis, in real time.

Why a window of our own, and what each rule guards against: docs/decisions/0005.

- A call enters the window before it is sent, with the latest time until which the server
  can count it, and is moved to its true time when its answer is there. So at no moment
  can the server have counted more calls in a minute than the window holds.
- Ordinary calls leave the last `reserve_pct` of the limit to urgent ones (re-fetches).
- The server's headers win: a smaller limit is followed, and calls that the server counts
  and the window does not know (another program with the same key) are left room for, out of
  the ordinary calls' share first.
- After a 429 nobody calls for a while; then calls are free as the server's count says. Where it
  does not say, its window is taken for full: calls are free as our own of the last minute leave
  the window, and one call asks after each pause.
- Where the window is empty (nobody called for a minute), or Redis has forgotten (a caller
  knows of more calls than it does), calls are paced until the server has said how many it
  counts: neither a flush nor an older snapshot of Redis is ever a burst.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol, cast

import redis

from whalestack.clients.coinglass.errors import BudgetExhausted, BudgetUnavailable

WINDOW_MS = 60_000
# A waiter asks again this often even when it computed a later moment: calls that were
# counted as possibly still on their way may be back by then.
LONGEST_NAP_S = 1.0
STATE_TTL_MS = 86_400_000

# What a caller may know more than Redis does, at most: the calls under way when it forgot.
MOST_UNDER_WAY = 100_000

_NOW = """
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
"""

_ACQUIRE = (
    _NOW
    + """
local configured, reserve, window = tonumber(ARGV[2]), tonumber(ARGV[3]) / 100, tonumber(ARGV[4])
local in_flight, known_calls = tonumber(ARGV[5]), tonumber(ARGV[7])
local state = redis.call('HMGET', KEYS[2],
  'since', 'limit', 'foreign', 'foreign_until', 'paused_until', 'calls', 'probe_at')
local function number(index) return tonumber(state[index] or 0) end
local since, foreign_until, calls = number(1), number(4), number(6)
if calls < known_calls then
  calls = known_calls + tonumber(ARGV[8])
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[2], 'calls', calls)
  foreign_until = 0
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local used = redis.call('ZCARD', KEYS[1])
if used == 0 and foreign_until <= now then
  redis.call('HSET', KEYS[2], 'since', now)
  redis.call('HDEL', KEYS[2], 'foreign_until')
  since, foreign_until = now, 0
end
if number(5) > now then return {0, number(5) - now, calls} end
local limit = configured
if number(2) > 0 then limit = math.min(limit, number(2)) end
local foreign = foreign_until > now and number(3) or 0
local warm = limit
if foreign_until == 0 and now - since < window then
  warm = math.floor(limit * (now - since) / window) + math.max(1, math.floor(limit / 60))
end
local allowed = math.min(math.floor(limit * (1 - reserve)) - foreign, warm)
local probes = number(7) > 0 and number(7) <= now and used < limit
if probes then redis.call('HSET', KEYS[2], 'probe_at', now + in_flight) end
if used < allowed or (used == 0 and limit > foreign) or probes then
  redis.call('ZADD', KEYS[1], now + in_flight + window, ARGV[1])
  redis.call('PEXPIRE', KEYS[1], in_flight + window + 1)
  redis.call('HSET', KEYS[2], 'calls', calls + 1)
  redis.call('PEXPIRE', KEYS[2], tonumber(ARGV[6]))
  return {1, 0, calls + 1}
end
if warm < limit and used < limit then return {0, math.ceil(window / math.max(limit, 1)), calls} end
local leaves = redis.call('ZRANGE', KEYS[1], used - allowed, used - allowed, 'WITHSCORES')
return {0, leaves[2] and math.max(math.ceil(leaves[2] - now), 1) or window, calls}
"""
)

_FINISH = (
    _NOW
    + """
local window, limit, used, pause = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
-- The clock is cut to whole ms: one more, or a call could leave a fraction of one too early.
redis.call('ZADD', KEYS[1], 'XX', now + window + 1, ARGV[1])
if limit > 0 then redis.call('HSET', KEYS[2], 'limit', limit) end
if pause > 0 then
  local until_now = tonumber(redis.call('HGET', KEYS[2], 'paused_until') or 0)
  redis.call('HSET', KEYS[2], 'paused_until', math.max(until_now, now + pause))
end
if pause > 0 and used < 0 then
  used = math.min(tonumber(ARGV[6]), tonumber(redis.call('HGET', KEYS[2], 'limit') or ARGV[6]))
  redis.call('HSET', KEYS[2], 'probe_at', now + pause)
elseif redis.call('HDEL', KEYS[2], 'probe_at') == 1 and used < 0 then
  redis.call('HSET', KEYS[2], 'foreign', 0)
end
if used >= 0 then
  local foreign = math.max(0, used - redis.call('ZCARD', KEYS[1]))
  redis.call('HSET', KEYS[2], 'foreign', foreign, 'foreign_until', now + window)
end
return 1
"""
)


@dataclass
class Permit:
    """The right to one call, and what its answer told of the server's counting.

    Args:
        token: of this call in the window.
        answered: an answer came; without one the call may still arrive at the server.
        limit_per_min: the server's API-KEY-MAX-LIMIT.
        used: the server's API-KEY-USE-LIMIT.
        pause_s: real seconds in which nobody should call (after a 429).
    """

    token: str
    answered: bool = False
    limit_per_min: int | None = None
    used: int | None = None
    pause_s: float = 0.0


class CallBudget(Protocol):
    """Gives out calls."""

    @property
    def calls_per_min(self) -> int:
        """The limit that holds now."""

    def call(self, *, urgent: bool, wait_s: float) -> AbstractContextManager[Permit]:
        """Wait for a call, hold it while the block runs, settle it after.

        Args:
            urgent: may use the reserve.
            wait_s: real seconds to wait at most.

        Raises:
            BudgetExhausted: there is no call to give within `wait_s`.
            BudgetUnavailable: the store of the budget does not answer.
        """


@dataclass
class RedisCallBudget:
    """The budget of every worker with the same Redis and `name`.

    Args:
        client: of the state database.
        name: of the venue; part of the keys.
        configured_per_min: the owner's limit; the server may lower it, not raise it.
        reserve_pct: share of the limit that only urgent calls may use.
        in_flight_s: real seconds after which a call without an answer cannot arrive any more.
        window_ms: real ms in which the server counts.
        sleep: waits real seconds.
        monotonic: real seconds from any origin.
    """

    client: redis.Redis
    configured_per_min: int
    reserve_pct: float
    in_flight_s: float
    name: str = "coinglass"
    window_ms: int = WINDOW_MS
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    _keys: list[str] = field(init=False, repr=False)
    # How many calls Redis had given when it last answered: fewer at the next time, and it forgot.
    _known_calls: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        self._keys = [f"ws:budget:{self.name}:window", f"ws:budget:{self.name}:state"]
        self._acquire = self.client.register_script(_ACQUIRE)
        self._finish = self.client.register_script(_FINISH)

    @property
    def calls_per_min(self) -> int:
        """The owner's limit, or the server's where that is smaller."""
        try:
            stated = self.client.hget(self._keys[1], "limit")
        except redis.RedisError as error:
            raise BudgetUnavailable(f"the call budget's Redis does not answer: {error}") from error
        return self.configured_per_min if stated is None else min(self.configured_per_min, int(stated))

    @contextmanager
    def call(self, *, urgent: bool, wait_s: float) -> Iterator[Permit]:
        """See `CallBudget.call`."""
        permit = Permit(uuid.uuid4().hex)
        self._wait(permit.token, urgent, wait_s)
        try:
            yield permit
        finally:
            # An unanswered call keeps its late time: it may still be on its way.
            if permit.answered:
                self._settle(permit)

    def _wait(self, token: str, urgent: bool, wait_s: float) -> None:
        deadline = self.monotonic() + wait_s
        while (pause_s := self._ask(token, urgent)) > 0:
            left_s = deadline - self.monotonic()
            if left_s <= 0:
                raise BudgetExhausted(
                    f"no {self.name} call was free within {wait_s:g} s", retry_after_s=pause_s
                )
            self.sleep(min(pause_s, left_s, LONGEST_NAP_S))

    def _ask(self, token: str, urgent: bool) -> float:
        """Take a call and return 0, or the real seconds until one may be free."""
        arguments: list[str | int | float] = [
            token,
            self.configured_per_min,
            0 if urgent else self.reserve_pct,
            self.window_ms,
            round(self.in_flight_s * 1000),
            STATE_TTL_MS,
            self._known_calls,
            MOST_UNDER_WAY,
        ]
        try:
            granted, wait_ms, calls = cast("list[int]", self._acquire(self._keys, arguments))
        except redis.RedisError as error:
            raise BudgetUnavailable(f"the call budget's Redis does not answer: {error}") from error
        # Two threads may cross here; the smaller figure only makes forgetting a little harder to see.
        self._known_calls = max(self._known_calls, calls)
        return 0.0 if granted else max(wait_ms, 1) / 1000

    def _settle(self, permit: Permit) -> None:
        arguments: list[str | int | float] = [
            permit.token,
            self.window_ms,
            permit.limit_per_min or 0,
            -1 if permit.used is None else permit.used,
            round(permit.pause_s * 1000),
            self.configured_per_min,
        ]
        try:
            self._finish(keys=self._keys, args=arguments)
        except redis.RedisError:
            # The answer is here and worth keeping; the window counts the call a little
            # longer than it needs to, which errs on the safe side.
            return
