"""One budget for many processes: never over the limit, never idle, and what takes its memory away."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from statistics import median

import pytest
import redis

from whalestack.clients.coinglass.budget import RedisCallBudget
from whalestack.clients.coinglass.errors import BudgetExhausted

PROCESSES, THREADS = 4, 4
LIMIT, WINDOW_S, WINDOWS = 100, 1.0, 3


@pytest.fixture
def store(redis_state_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_state_url) as client:
        yield client


def a_budget(
    store: redis.Redis, limit: int = LIMIT, *, window_s: float = 60.0, reserve_pct: float = 0.0
) -> RedisCallBudget:
    return RedisCallBudget(
        store,
        configured_per_min=limit,
        reserve_pct=reserve_pct,
        in_flight_s=5.0,
        window_ms=round(window_s * 1000),
    )


def call(
    budget: RedisCallBudget,
    *,
    urgent: bool = False,
    wait_s: float = 0.0,
    used: int | None = None,
    limit: int | None = None,
    pause_s: float = 0.0,
) -> None:
    with budget.call(urgent=urgent, wait_s=wait_s) as permit:
        permit.answered, permit.used, permit.limit_per_min, permit.pause_s = True, used, limit, pause_s


def granted(budget: RedisCallBudget, *, urgent: bool = False, most: int = 2000) -> int:
    """How many calls are given at once; the server says nothing."""
    for count in range(most):
        try:
            call(budget, urgent=urgent)
        except BudgetExhausted:
            return count
    return most


def begun(budget: RedisCallBudget, most: int = 2000) -> int:
    """How many calls begin at once; none of them is answered."""
    for count in range(most):
        try:
            with budget.call(urgent=False, wait_s=0):
                pass
        except BudgetExhausted:
            return count
    return most


def work_of_one_process(url: str, start: Barrier, arrived: SimpleQueue[list[float]]) -> None:
    """Threads that call as often as they may; a call arrives somewhere between its grant and its answer."""
    with redis.Redis.from_url(url) as store:
        budget = a_budget(store, window_s=WINDOW_S)
        moments: list[float] = []
        start.wait(20)
        end = time.monotonic() + (WINDOWS - 0.5) * WINDOW_S

        def work(_: int) -> None:
            while (left_s := end - time.monotonic()) > 0:
                try:
                    with budget.call(urgent=False, wait_s=left_s) as permit:
                        moments.append(time.monotonic())
                        permit.answered, permit.used = True, 0
                except BudgetExhausted:
                    return

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(work, range(THREADS)))
        arrived.put(moments)


def test_many_processes_never_exceed_the_limit_and_leave_nothing_unused(redis_state_url: str) -> None:
    """4 processes of 4 threads start at once: 100 calls in any second, none more, and each call's place
    is taken again within a tenth of a second of falling free. That is what a busy machine needs to wake
    up; of a real window, a minute, it is 0.2 %."""
    context = multiprocessing.get_context("fork")
    start, arrived = context.Barrier(PROCESSES), context.SimpleQueue()
    workers = [
        context.Process(target=work_of_one_process, args=(redis_state_url, start, arrived))
        for _ in range(PROCESSES)
    ]
    for worker in workers:
        worker.start()
    moments = sorted(moment for _ in workers for moment in arrived.get())
    for worker in workers:
        worker.join(20)
    cycles = [later - earlier for earlier, later in zip(moments, moments[LIMIT:], strict=False)]
    assert min(cycles) >= WINDOW_S
    assert LIMIT < len(moments) <= WINDOWS * LIMIT
    assert median(cycles) <= WINDOW_S + 0.1


def test_the_reserve_stays_free_however_hungry_the_rounds_are(store: redis.Redis) -> None:
    """8 threads take whatever they get; the 30 % that are reserved are there at once, window after window."""
    budget = a_budget(store, 20, window_s=0.5, reserve_pct=30.0)
    call(budget, used=1)
    over = threading.Event()

    def hungry(_: int) -> None:
        while not over.is_set():
            try:
                call(budget, wait_s=0.2, used=0)
            except BudgetExhausted:
                continue

    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(hungry, n) for n in range(8)]
        try:
            for _ in range(2):
                for _ in range(6):
                    call(budget, urgent=True, used=0)
                with pytest.raises(BudgetExhausted):
                    [call(budget, urgent=True, used=0) for _ in range(20)]
                time.sleep(0.55)
        finally:
            over.set()
    assert not any(each.exception() for each in running)


def test_calls_of_others_are_not_taken_out_of_the_reserve(store: redis.Redis) -> None:
    """Others made 60 of 100 calls, 20 % are reserved: 20 ordinary ones are left, and then 20 urgent ones."""
    budget = a_budget(store, reserve_pct=20.0)
    call(budget, used=61)
    assert 19 == granted(budget)
    assert 20 == granted(budget, urgent=True)


def test_the_servers_word_is_followed_down_and_up(store: redis.Redis) -> None:
    """Its limit and what it counts, as the latest answer has them; the owner's limit stays the most."""
    budget = a_budget(store)
    call(budget, limit=40, used=1)
    assert 40 == budget.calls_per_min
    call(budget, limit=40, used=32)
    assert 8 == granted(budget)
    budget = a_budget(store)
    store.delete("ws:budget:coinglass:window")
    call(budget, limit=80, used=1)
    assert (80, 79) == (budget.calls_per_min, granted(budget))


def test_after_a_429_the_window_says_when_to_go_on(store: redis.Redis) -> None:
    """The 429 says nothing of a count: nobody calls in its pause, and after it one asks and no other,
    until calls of our own have left the window; one for one, no rush."""
    budget = a_budget(store, 10, window_s=0.6)
    for _ in range(3):
        call(budget, used=1)
    time.sleep(0.3)
    call(budget, pause_s=0.05)
    assert 0 == granted(a_budget(store, 10, window_s=0.6), urgent=True)
    time.sleep(0.06)
    with budget.call(urgent=False, wait_s=0):
        assert 0 == granted(a_budget(store, 10, window_s=0.6), urgent=True)
        time.sleep(0.29)
        assert 2 == begun(budget)


def test_what_the_asking_call_is_told_after_a_429_holds(store: redis.Redis) -> None:
    """Again a 429: a pause again. A count of 8: two are left. An answer without a count: all that is left."""
    budget = a_budget(store, 10)
    call(budget, pause_s=0.02)
    for told, left in (({"pause_s": 0.02}, 0), ({"used": 8}, 2)):
        time.sleep(0.03)
        call(budget, **told)
        assert left == granted(budget)
    store.flushdb()
    call(budget, used=1)
    call(budget, pause_s=0.02)
    time.sleep(0.03)
    assert 8 == granted(budget)


def test_a_429_that_tells_the_count_is_believed(store: redis.Redis) -> None:
    """The server counts 7 of 10: refused for some other reason, so after the pause 3 are left."""
    budget = a_budget(store, 10)
    call(budget, used=1)
    call(budget, used=7, pause_s=0.03)
    assert 0 == granted(budget)
    time.sleep(0.05)
    assert 3 == granted(budget)


def test_a_redis_that_went_back_in_time_is_noticed(store: redis.Redis) -> None:
    """Redis comes up with a snapshot that lacks 60 of 90 calls: not 70 are given at once but a second's
    worth, and once the server has told its count, no more than are left."""
    budget = a_budget(store, 120)
    for n in range(30):
        call(budget, used=n)
    keys = [f"ws:budget:coinglass:{part}" for part in ("window", "state")]
    snapshot = {key: store.dump(key) for key in keys}
    for n in range(60):
        call(budget, used=30 + n)
    for key, value in snapshot.items():
        assert value is not None
        store.restore(key, 60_000, value, replace=True)
    assert 1 <= granted(budget) <= 4
    call(budget, wait_s=5.0, used=94)
    assert 20 <= granted(budget) <= 26


def test_workers_that_know_more_than_redis_pace_together(store: redis.Redis) -> None:
    """Each of 5 workers knows another number of calls; after a flush they get a second's worth together."""
    budgets = [a_budget(store, 600) for _ in range(5)]
    for n, budget in enumerate(budgets):
        for _ in range(10 * (n + 1)):
            call(budget, used=0)
    store.flushdb()
    assert 10 <= sum(granted(budget) for budget in budgets) <= 25
