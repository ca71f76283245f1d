"""What holds for a message whatever the workers, the queue and the channel do to it."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import hypothesis
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from tests.channels.outbox_rows import both_channels, change, row, tell
from tests.channels.test_broadcaster import LONG_AGO, FakeChannel
from whalestack.agents.broadcaster import Broadcaster
from whalestack.clients.channel import Receipt
from whalestack.clock import ManualClock
from whalestack.config import Settings
from whalestack.db.engine import Database
from whalestack.errors import GiveUp, StopAndTell, TryAgain, UnknownOutcome, WhalestackError

ANSWERS: list[Callable[[], WhalestackError | Receipt]] = [
    lambda: Receipt("1"),
    lambda: UnknownOutcome("no answer"),
    lambda: TryAgain("not reached"),
    lambda: TryAgain("too many", retry_after_s=5),
    lambda: GiveUp("refused"),
    lambda: StopAndTell("no key"),
]
FINAL = {"sent", "unknown", "failed", "dropped"}
_numbers = itertools.count()

steps = st.lists(
    st.one_of(
        st.sampled_from(["deliver", "sweep", "worker_dies"]),
        st.integers(min_value=1, max_value=400),
    ),
    min_size=1,
    max_size=12,
)


class Run:
    """One message under a sequence of steps."""

    def __init__(self, db: Database, base: Settings, kind: str, answers: list[int]) -> None:
        number = next(_numbers)
        # Examples share one database: each begins after all that the others left in it is over.
        self.clock = ManualClock(1_760_875_200_000 + number * 10_000_000_000)
        self.db, self.channel = db, FakeChannel()
        self.channel.next.extend(ANSWERS[index]() for index in answers)
        config = both_channels(base)
        self.broadcaster = Broadcaster(
            db=db, settings=config, clock=self.clock, channels={"telegram": self.channel}
        )
        self.id = tell(db, config, self.clock, key=f"law:{number}", kind=kind)[0]  # type: ignore[arg-type]

    def step(self, step: str | int) -> None:
        if isinstance(step, int):
            self.clock.advance(step)
        elif step == "deliver":
            self.broadcaster.deliver(self.id)
        elif step == "sweep":
            self.broadcaster.sweep()
        elif self.status == "due":
            # Claimed, and gone before the send: to those who come after, a lost answer.
            change(self.db, self.id, status="sending", claimed_at=LONG_AGO, attempts=1)

    @property
    def status(self) -> str:
        return row(self.db, self.id).status


law = hypothesis.settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@law
@given(steps=steps, answers=st.lists(st.integers(0, len(ANSWERS) - 1), max_size=6))
def test_whatever_happens_a_message_is_accepted_at_most_once(
    db: Database, settings: Settings, steps: list[str | int], answers: list[int]
) -> None:
    run = Run(db, settings, "entry", answers)
    for step in steps:
        run.step(step)
        assert len(run.channel.sent) <= 1


@law
@given(
    kind=st.sampled_from(["entry", "alert"]),
    steps=steps,
    answers=st.lists(st.integers(0, len(ANSWERS) - 1), max_size=6),
)
def test_whatever_happens_every_message_comes_to_an_end_with_its_reason(
    db: Database, settings: Settings, kind: str, steps: list[str | int], answers: list[int]
) -> None:
    """After its time is over a sweep leaves nothing due; what is not sent says why."""
    run = Run(db, settings, kind, answers)
    for step in [*steps, "sweep", 100_000, "sweep", "sweep"]:
        run.step(step)
    ended = row(db, run.id)
    assert ended.status in FINAL
    assert (ended.status == "sent") == (ended.error is None)


@law
@given(answers=st.lists(st.sampled_from([2, 3]), max_size=4))
def test_a_message_that_can_be_sent_in_its_time_is_sent(
    db: Database, settings: Settings, answers: list[int]
) -> None:
    """Refusals for the moment delay it; they do not lose it."""
    run = Run(db, settings, "alert", answers)
    for _ in range(len(answers) + 1):
        run.step("deliver")
        run.step(60)
    assert (1, "sent") == (len(run.channel.sent), run.status)
