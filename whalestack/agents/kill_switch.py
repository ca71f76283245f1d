"""The kill switch: one key in Redis, mirrored by a row, and on if either says so.

Whoever can reach one of the two can stop trading: the command line while every worker is dead,
anybody with redis-cli (``SET ws:kill 1``), and the row after Redis has restarted empty. To
release it both must be cleared, and that is done in an order in which a crash leaves it on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import redis
import structlog
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.db import agent_store
from whalestack.db.engine import Database
from whalestack.db.models import Switch
from whalestack.db.state_redis import state_client
from whalestack.errors import TryAgain

log = structlog.get_logger(__name__)

KILL_KEY = "ws:kill"
KILL = "kill"
CLOSE_ALL = "close_all"
_SOCKET_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class KillState:
    """The switch as it stands. `close_positions`: every position is to be closed as well."""

    is_on: bool
    close_positions: bool = False
    reason: str = ""
    set_by: str = ""
    set_at: datetime | None = None


OFF = KillState(is_on=False)
_ROWS = select(Switch.__table__).where(Switch.name.in_((KILL, CLOSE_ALL)))


class KillSwitch:
    """Reads and sets the switch.

    Args:
        db: holds the row.
        client: the state Redis.
        clock: market time.
    """

    def __init__(self, *, db: Database, client: redis.Redis, clock: Clock) -> None:
        self._db = db
        # The stubs of redis-py give every reply as "sync or async"; this client is sync.
        self._redis: Any = client
        self._clock = clock

    @classmethod
    def from_settings(cls, settings: Settings, db: Database, clock: Clock) -> Self:
        """The switch that the settings name; nothing connects until it is first used."""
        client = state_client(settings, timeout_s=_SOCKET_TIMEOUT_S)
        return cls(db=db, client=client, clock=clock)

    def state(self) -> KillState:
        """Whether trading is stopped, and by whom. Redis away: the row decides alone."""
        in_redis = self.in_redis()
        with self._db.alone() as connection:
            rows: Any = connection.execute(_ROWS)
            return either(of_rows({row.name: row for row in rows}), in_redis)

    def in_redis(self) -> KillState:
        """What the key says; OFF where Redis is away, because then the row decides alone."""
        try:
            return _parse(self._redis.get(KILL_KEY))
        except redis.RedisError as error:
            log.warning("kill_key_not_read", error=type(error).__name__)
            return OFF

    def engage(self, *, reason: str, set_by: str, close_positions: bool = False) -> None:
        """Stop all entries at once; orders and positions are then dealt with by `KillEnforcer`.

        One store is enough: where the other is away it is told later, by `mirror`.

        Raises:
            TryAgain: neither store could be reached, so nothing is stopped.
        """
        state = KillState(True, close_positions, reason, set_by, self._clock.now())
        failures: list[Exception] = []
        try:
            self._redis.set(KILL_KEY, _format(state))
        except redis.RedisError as error:
            failures.append(error)
        try:
            self._write_rows(state)
        except SQLAlchemyError as error:
            failures.append(error)
        if len(failures) == 2:
            raise TryAgain("the kill switch reached neither Redis nor the database") from failures[1]
        log.warning("kill_switch_on", reason=reason, set_by=set_by, close_positions=close_positions)

    def release(self, *, set_by: str) -> None:
        """Let entries be made again. The key goes first and the row last: half a release is none.

        Raises:
            TryAgain: Redis could not be reached; the switch stays on.
        """
        now = self._clock.now()
        with self._db.begin() as work:
            rows = [agent_store.locked_switch(work.session, name, now) for name in (CLOSE_ALL, KILL)]
            try:
                self._redis.delete(KILL_KEY)
            except redis.RedisError as error:
                raise TryAgain("Redis is away: the kill switch stays on") from error
            for row in rows:
                row.is_on, row.reason, row.set_by, row.set_at = False, "released", set_by, now
            agent_store.log_action(work.session, agent_name=set_by, action="kill_switch_off", now=now)
        log.warning("kill_switch_off", set_by=set_by)

    def mirror(self) -> None:
        """Write into the row what only Redis says, so that it survives a restart of Redis.

        The key is read while the row is locked: a release cannot slip in between.
        """
        now = self._clock.now()
        with suppress(redis.RedisError), self._db.begin() as work:
            rows = {name: agent_store.locked_switch(work.session, name, now) for name in (CLOSE_ALL, KILL)}
            state = _parse(self._redis.get(KILL_KEY))
            if state.is_on and not (rows[KILL].is_on and rows[CLOSE_ALL].is_on >= state.close_positions):
                self._set_rows(work.session, state, now)

    def closing_is_done(self) -> None:
        """Every position has been closed as asked; the switch itself stays on."""
        state = self.state()
        if not state.close_positions:
            return
        still_on = KillState(True, False, state.reason, state.set_by, state.set_at)
        with suppress(redis.RedisError):
            # Only where the key is there: a release meanwhile must not be undone.
            self._redis.set(KILL_KEY, _format(still_on), xx=True)
        now = self._clock.now()
        with self._db.begin() as work:
            row = agent_store.locked_switch(work.session, CLOSE_ALL, now)
            row.is_on, row.reason, row.set_at = False, "done", now

    def _write_rows(self, state: KillState) -> None:
        now = self._clock.now()
        with self._db.begin() as work:
            for name in (CLOSE_ALL, KILL):
                agent_store.locked_switch(work.session, name, now)
            self._set_rows(work.session, state, now)

    def _set_rows(self, session: Any, state: KillState, now: datetime) -> None:
        for name in (KILL, CLOSE_ALL) if state.close_positions else (KILL,):
            agent_store.set_switch(
                session, name, is_on=True, reason=state.reason, set_by=state.set_by, now=now
            )
        agent_store.log_action(
            session,
            agent_name=state.set_by or "unknown",
            action="kill_switch_on",
            details={"reason": state.reason, "close_positions": state.close_positions},
            now=now,
        )


def of_rows(switches: Mapping[str, Switch]) -> KillState:
    """What the rows say, of all switches by name."""
    kill, close_all = switches.get(KILL), switches.get(CLOSE_ALL)
    if kill is None or not kill.is_on:
        return OFF
    return KillState(True, bool(close_all and close_all.is_on), kill.reason, kill.set_by, kill.set_at)


def either(first: KillState, second: KillState) -> KillState:
    """On if one of the two is; the first one's words where both are."""
    named = first if first.is_on else second
    return KillState(
        first.is_on or second.is_on,
        first.close_positions or second.close_positions,
        named.reason,
        named.set_by,
        named.set_at,
    )


def _format(state: KillState) -> str:
    return json.dumps(
        {"close_positions": state.close_positions, "reason": state.reason, "set_by": state.set_by}
    )


def _parse(value: bytes | str | None) -> KillState:
    """The key as a state. Whatever stands there stops trading, even if it is no JSON of ours:
    somebody in a hurry may have written just ``1``."""
    if value is None:
        return OFF
    try:
        data = json.loads(value)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        return KillState(True, False, "set by hand in Redis", "redis")
    return KillState(
        True,
        data.get("close_positions") is True,
        str(data.get("reason", "")),
        str(data.get("set_by", "redis")),
    )
