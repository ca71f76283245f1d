"""Jobs leave in order, wait for a broker that is away, and none ends the sender."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy.exc import OperationalError

from tests.sockets.waiting import wait_until
from whalestack.db.live import LiveTick
from whalestack.dispatch import Job
from whalestack.errors import TryAgain
from whalestack.sockets.book import MarketBook
from whalestack.sockets.frames import TickerFields
from whalestack.sockets.recorder import Recorder
from whalestack.sockets.sender import JobSender


class Broker:
    """A dispatcher that is away for the first few jobs."""

    def __init__(self) -> None:
        self.tasks: list[str] = []
        self.away = 0
        self.broken: set[str] = set()

    def send(self, job: Job) -> None:
        if job.task in self.broken:
            raise ZeroDivisionError
        if self.away > 0:
            self.away -= 1
            raise TryAgain("away")
        self.tasks.append(job.task)


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def sender(broker: Broker) -> Iterator[JobSender]:
    one = JobSender("test", broker, patience_s=5.0)
    one.start()
    yield one
    one.stop()


def test_jobs_leave_in_order_after_a_broker_came_back(sender: JobSender, broker: Broker) -> None:
    broker.away = 2
    for task in ("a", "b", "c"):
        sender.post(Job(task))

    wait_until(lambda: len(broker.tasks) == 3)

    assert (["a", "b", "c"], 3, 0) == (broker.tasks, sender.sent, sender.dropped)


def test_what_must_be_done_first_is_done_first_and_may_say_no(sender: JobSender, broker: Broker) -> None:
    done: list[list[str]] = []
    sender.post(Job("refused"), first=lambda: False)
    sender.post(Job("wanted"), first=lambda: done.append(list(broker.tasks)) is None)

    wait_until(lambda: broker.tasks)

    assert ([[]], ["wanted"]) == (done, broker.tasks)


def test_a_job_that_cannot_be_sent_does_not_take_the_next_with_it(sender: JobSender, broker: Broker) -> None:
    broker.broken = {"bad"}
    sender.post(Job("bad"))
    sender.post(Job("good"))

    wait_until(lambda: broker.tasks)

    assert (["good"], 1) == (broker.tasks, sender.dropped)


def test_a_stopped_sender_has_sent_what_waited(broker: Broker) -> None:
    sender = JobSender("test", broker)
    for number in range(50):
        sender.post(Job(str(number)))
    sender.start()

    sender.stop()

    assert [str(number) for number in range(50)] == broker.tasks


class Shelf:
    """Redis and the database in one, away on request."""

    def __init__(self) -> None:
        self.is_away = True
        self.shown: list[LiveTick] = []
        self.ticks: list[LiveTick] = []

    def put_many(self, ticks: list[LiveTick]) -> int:
        if self.is_away:
            raise TryAgain("away")
        self.shown += ticks
        return len(ticks)

    def put_ticks(self, ticks: list[LiveTick]) -> None:
        if self.is_away:
            raise OperationalError("insert", {}, Exception("away"))
        self.ticks += ticks

    def put_bars(self, bars: object) -> None: ...

    def put_liquidations(self, rows: object) -> None: ...


def test_nothing_is_lost_while_redis_and_the_database_are_away() -> None:
    shelf, book = Shelf(), MarketBook()
    recorder = Recorder(book, shelf, shelf)  # type: ignore[arg-type]
    book.apply_ticker("AIAUSDT", 1_000_000, TickerFields(last="1"))

    assert not recorder.store_due()
    with pytest.raises(TryAgain):
        recorder.show_changes()
    shelf.is_away = False
    assert recorder.store_due()
    assert 1 == recorder.show_changes()

    assert ["AIAUSDT"] == [tick.symbol for tick in shelf.ticks] == [tick.symbol for tick in shelf.shown]
    assert (1, 1) == (recorder.rows_written, recorder.failures)
