"""Moves of stops keep to the account's limit over all workers, and those that protect go first."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator

import pytest
import redis
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pydantic import SecretStr

from whalestack.clients.bybit.errors import (
    BybitOutcomeUnknown,
    BybitRateLimited,
    BybitRefused,
    BybitUnavailable,
)
from whalestack.clients.bybit.move_pace import DOCUMENTED_LIMIT, MoveNotFree, RedisMovePace
from whalestack.clients.bybit.rate_budget import EndpointBudget, wall_clock_ms
from whalestack.config import Settings
from whalestack.db.state_redis import state_client

LONG_MS = 60_000


@pytest.fixture
def client(redis_state_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_state_url) as client:
        yield client


def pace(client: redis.Redis, *, limit: int = 10, window_ms: int = LONG_MS, **more: float) -> RedisMovePace:
    """One worker's view of the shared pace; in a long window nothing becomes free by waiting."""
    told = EndpointBudget(limit, limit, 0)
    return RedisMovePace(client, known=lambda: told, window_ms=window_ms, **more)  # type: ignore[arg-type]


def take(of: RedisMovePace, *, urgent: bool = False) -> bool:
    """Take a turn and use it at once; True, or it raises."""
    with of.turn(urgent=urgent):
        return True


@examples(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limit=st.integers(2, 6), workers=st.integers(2, 4), seed=st.integers(0, 99))
def test_no_sliding_window_holds_more_calls_than_the_limit(
    client: redis.Redis, limit: int, workers: int, seed: int
) -> None:
    """However long each call is under way, and whenever within it the exchange counts it."""
    client.flushdb()
    window_ms, counted, lock = 80, list[float](), threading.Lock()

    def exchange(rng: random.Random) -> None:
        time.sleep(rng.uniform(0.0, 0.02))
        with lock:
            counted.append(time.monotonic())
        time.sleep(rng.uniform(0.0, 0.02))

    def work(number: int) -> None:
        rng, mine = random.Random(seed * 10 + number), pace(client, limit=limit, window_ms=window_ms)
        for _ in range(5):
            with mine.turn(urgent=rng.random() < 0.3):
                exchange(rng)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counted) == 5 * workers
    for began_s in counted:
        within = [each for each in counted if began_s <= each < began_s + window_ms / 1000]
        assert len(within) <= limit


def test_following_leaves_room_for_protecting(client: redis.Redis) -> None:
    """Nine of ten turns are for moves that follow the profit; the last is there at once."""
    one, other = pace(client, patience_s=0.0), pace(client)
    assert [take(one) for _ in range(9)] == [True] * 9
    with pytest.raises(MoveNotFree), one.turn():
        pass
    assert take(other, urgent=True)


def test_while_a_protecting_move_waits_no_following_one_gets_a_turn(client: redis.Redis) -> None:
    """Not even where a turn becomes free meanwhile."""
    follows, protects = pace(client, patience_s=0.0), pace(client)
    assert all(take(protects, urgent=True) for _ in range(10))
    assert protects._ask("waits", True) > 0
    client.delete(protects._turns)
    with pytest.raises(MoveNotFree), follows.turn():
        pass
    assert protects._ask("waits", True) == 0
    assert take(follows)


@pytest.mark.parametrize(
    ("error", "is_over"),
    [
        (BybitRefused("no", code=10001), True),
        (BybitUnavailable("nothing was sent"), True),
        (BybitOutcomeUnknown("no answer"), False),
        (ZeroDivisionError(), False),
    ],
)
def test_a_call_without_an_answer_keeps_its_turn(
    client: redis.Redis, error: Exception, is_over: bool
) -> None:
    """It may still arrive; one that was answered counts for a second from then on."""
    one = pace(client, limit=2, window_ms=1, patience_s=0.05)
    with pytest.raises(type(error)), one.turn():
        raise error
    if is_over:
        assert take(one)
    else:
        with pytest.raises(MoveNotFree), one.turn():
            pass


def test_after_a_refusal_everybody_pauses_as_long_as_bybit_says(client: redis.Redis) -> None:
    told = EndpointBudget(10, 0, wall_clock_ms() + 700)
    one, other = RedisMovePace(client, known=lambda: told), pace(client, patience_s=0.0)
    with pytest.raises(BybitRateLimited), one.turn():
        raise BybitRateLimited("10006")
    with pytest.raises(MoveNotFree), other.turn():
        pass
    assert 0.4 < other._ask("next", False) <= 0.7


def test_the_limit_is_the_one_that_bybit_tells(client: redis.Redis) -> None:
    """Before its first answer the documented one."""
    unknown = RedisMovePace(client, window_ms=LONG_MS, patience_s=0.0)
    assert sum(take(unknown) for _ in range(DOCUMENTED_LIMIT - 1)) == DOCUMENTED_LIMIT - 1
    with pytest.raises(MoveNotFree), unknown.turn():
        pass
    assert take(pace(client, limit=20, patience_s=0.0))


def test_without_redis_every_turn_is_given_at_once(settings: Settings) -> None:
    """Bybit's own refusals are the pace then."""
    away = settings.model_copy(update={"redis_state_url": SecretStr("redis://127.0.0.1:1/0")})
    alone = RedisMovePace(state_client(away, timeout_s=0.5))
    began_s = time.monotonic()
    for urgent in (False, True):
        with alone.turn(urgent=urgent):
            pass
    assert time.monotonic() - began_s < 1.0


def test_where_none_is_free_a_protecting_move_goes_all_the_same(client: redis.Redis) -> None:
    """After two seconds of waiting: better refused than never asked."""
    now_s = [0.0]

    def sleep(wait_s: float) -> None:
        now_s[0] += wait_s

    told = EndpointBudget(1, 0, 0)
    one = RedisMovePace(client, lambda: told, LONG_MS, sleep=sleep, now_s=lambda: now_s[0])
    assert take(one, urgent=True)
    assert now_s[0] == 0.0
    assert take(one, urgent=True)
    assert client.zcard(one._turns) == 1
    assert now_s[0] == pytest.approx(2.0, abs=0.1)
