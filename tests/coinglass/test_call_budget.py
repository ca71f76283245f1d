"""The call budget on a real Redis. The window is shortened; nothing else is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from whalestack.clients.coinglass.budget import Permit, RedisCallBudget
from whalestack.clients.coinglass.errors import BudgetExhausted, BudgetUnavailable

WINDOW_MS = 600

BudgetMaker = Callable[..., RedisCallBudget]


@pytest.fixture
def store(redis_state_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_state_url) as client:
        yield client


@pytest.fixture
def make_budget(store: redis.Redis) -> BudgetMaker:
    def make(
        per_window: int = 10,
        *,
        reserve_pct: float = 0.0,
        window_ms: int = WINDOW_MS,
        in_flight_s: float = 1.0,
    ) -> RedisCallBudget:
        return RedisCallBudget(
            store,
            configured_per_min=per_window,
            reserve_pct=reserve_pct,
            window_ms=window_ms,
            in_flight_s=in_flight_s,
        )

    return make


def call(
    budget: RedisCallBudget,
    *,
    urgent: bool = False,
    wait_s: float = 0.0,
    limit: int | None = None,
    used: int | None = 0,
    pause_s: float = 0.0,
) -> None:
    """One call that is answered at once."""
    with budget.call(urgent=urgent, wait_s=wait_s) as permit:
        answer(permit, limit=limit, used=used, pause_s=pause_s)


def answer(permit: Permit, *, limit: int | None = None, used: int | None = 0, pause_s: float = 0.0) -> None:
    """What an answer tells: the server's limit and use."""
    permit.answered, permit.limit_per_min, permit.used, permit.pause_s = True, limit, used, pause_s


def calls_granted(
    budget: RedisCallBudget, *, urgent: bool = False, most: int = 2000, used: int | None = 0
) -> int:
    """How many calls are given at once."""
    for granted in range(most):
        try:
            call(budget, urgent=urgent, used=used)
        except BudgetExhausted:
            return granted
    return most


def test_no_more_than_the_limit_in_a_window(make_budget: BudgetMaker) -> None:
    """10 calls, then none; the error says when to come again."""
    budget = make_budget(10, window_ms=60_000)
    assert 10 == calls_granted(budget)
    with pytest.raises(BudgetExhausted, match="no coinglass call was free within 0 s") as caught:
        call(budget)
    assert 55 < (caught.value.retry_after_s or 0) <= 60


def test_workers_share_one_budget(make_budget: BudgetMaker) -> None:
    """Two budgets on one Redis give 10 calls together."""
    first, second = make_budget(10, window_ms=60_000), make_budget(10, window_ms=60_000)
    call(first)
    assert 5 == sum(calls_granted(first, most=1) for _ in range(5))
    assert 4 == calls_granted(second)


def test_a_waiting_call_is_given_as_soon_as_one_leaves_the_window(make_budget: BudgetMaker) -> None:
    """The window is full; the next call waits for the oldest to leave it, not longer."""
    budget = make_budget(3)
    assert 3 == calls_granted(budget)
    began = time.monotonic()
    call(budget, wait_s=5.0)
    assert 0.3 < time.monotonic() - began < 2 * WINDOW_MS / 1000


def test_never_over_the_limit_when_many_start_at_once(make_budget: BudgetMaker) -> None:
    """16 threads for 3 windows: in no window do more than 20 calls arrive, and the budget is used."""
    budget = make_budget(20)
    arrivals: list[float] = []
    together = threading.Barrier(16)
    end = time.monotonic() + 2.5 * WINDOW_MS / 1000

    def work(_: int) -> None:
        together.wait(5)
        while (left := end - time.monotonic()) > 0:
            try:
                with budget.call(urgent=False, wait_s=left) as permit:
                    arrivals.append(time.monotonic())
                    answer(permit, used=None)
            except BudgetExhausted:
                return

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(16)))
    arrivals.sort()
    busiest = max(sum(start <= other < start + WINDOW_MS / 1000 for other in arrivals) for start in arrivals)
    assert busiest <= 20
    assert len(arrivals) >= 35


def test_the_reserve_is_kept_for_urgent_calls(make_budget: BudgetMaker) -> None:
    """Of 10 calls 30 % are reserved: 7 ordinary ones, then 3 urgent ones."""
    budget = make_budget(10, reserve_pct=30.0, window_ms=60_000)
    assert 7 == calls_granted(budget)
    assert 3 == calls_granted(budget, urgent=True)


def test_even_the_smallest_limit_gives_a_call(make_budget: BudgetMaker) -> None:
    """A reserve must not swallow the only call."""
    budget = make_budget(1, reserve_pct=50.0, window_ms=60_000)
    assert 1 == calls_granted(budget)


def test_the_servers_smaller_limit_is_followed(make_budget: BudgetMaker) -> None:
    """Configured 10, the server says 4: 3 calls are left after the one that brought the news."""
    budget = make_budget(10, window_ms=60_000)
    call(budget, limit=4)
    assert 3 == calls_granted(budget)
    assert 4 == budget.calls_per_min


def test_the_servers_larger_limit_does_not_raise_the_owners(make_budget: BudgetMaker) -> None:
    """Configured 5, the server says 1200."""
    budget = make_budget(5, window_ms=60_000)
    call(budget, limit=1200)
    assert 4 == calls_granted(budget)
    assert 5 == budget.calls_per_min


def test_calls_of_others_with_the_same_key_are_left_room_for(make_budget: BudgetMaker) -> None:
    """The server counts 7, the window knows 1 of them: 10 - 6 others - 1 = 3 are left."""
    budget = make_budget(10, window_ms=60_000)
    call(budget, used=7)
    for _ in range(3):
        call(budget, used=None)
    with pytest.raises(BudgetExhausted):
        call(budget)


def test_after_a_429_everyone_pauses(make_budget: BudgetMaker) -> None:
    """As long as the answer says."""
    budget = make_budget(10, window_ms=60_000)
    call(budget, pause_s=30.0)
    with pytest.raises(BudgetExhausted) as caught:
        call(make_budget(10, window_ms=60_000), urgent=True)
    assert 25 < (caught.value.retry_after_s or 0) <= 30


def test_an_unanswered_call_is_counted_until_it_cannot_arrive_any_more(make_budget: BudgetMaker) -> None:
    """Window 0.2 s, in flight at most 5 s: the call without an answer still counts after the window."""
    budget = make_budget(2, window_ms=200, in_flight_s=5.0)
    call(budget)
    with budget.call(urgent=False, wait_s=0):
        pass
    call(budget, wait_s=2.0)
    with pytest.raises(BudgetExhausted):
        call(budget)


def test_a_call_under_way_counts(make_budget: BudgetMaker) -> None:
    """It may arrive at the server at any moment."""
    budget = make_budget(1, window_ms=60_000)
    with budget.call(urgent=False, wait_s=0), pytest.raises(BudgetExhausted):
        call(budget)


def test_a_forgetful_redis_does_not_make_a_burst(make_budget: BudgetMaker, store: redis.Redis) -> None:
    """After a restart without memory calls are paced: of 1200 a minute one second's worth, no more."""
    budget = make_budget(1200, window_ms=60_000)
    for _ in range(50):
        call(budget)
    store.flushdb()
    granted = calls_granted(budget, used=None)
    assert 20 <= granted <= 40


def test_what_the_server_says_ends_the_pacing(make_budget: BudgetMaker, store: redis.Redis) -> None:
    """It counts 1150 of 1200 calls after a restart: 50 are left, and they are given at once."""
    budget = make_budget(1200, window_ms=60_000)
    store.flushdb()
    call(budget, used=1150)
    granted = calls_granted(budget, used=None)
    assert 50 == granted


def test_without_redis_no_call_is_made(store: redis.Redis) -> None:
    """Fail closed: a budget nobody can read is no budget."""
    unreachable = redis.Redis(
        host="127.0.0.1", port=1, socket_connect_timeout=0.2, retry=Retry(NoBackoff(), 0)
    )
    budget = RedisCallBudget(unreachable, configured_per_min=10, reserve_pct=0, in_flight_s=1)
    with pytest.raises(BudgetUnavailable):
        call(budget)
    with pytest.raises(BudgetUnavailable):
        _ = budget.calls_per_min


def test_an_answer_survives_a_redis_that_went_away(make_budget: BudgetMaker, store: redis.Redis) -> None:
    """The reply is worth keeping even when its call cannot be settled."""
    budget = make_budget(10)
    with budget.call(urgent=False, wait_s=0) as permit:
        answer(permit)
        budget._finish = unreachable_script()  # type: ignore[assignment]
    assert permit.answered


def unreachable_script() -> Callable[..., object]:
    def run(**_: object) -> object:
        raise redis.ConnectionError

    return run
