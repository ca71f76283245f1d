"""What every message channel looks like to those who send: one shape for all of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

Leaving = Callable[[], None]


def nobody_asks() -> None:
    """For callers who need not know when a message leaves."""


@dataclass(frozen=True)
class Receipt:
    """A message that the other side has accepted.

    Args:
        external_id: the other side's id of the message.
        quiet_s: real seconds in which the channel wants nothing more, None for no wish.
    """

    external_id: str
    quiet_s: float | None = None


class Channel(Protocol):
    """One way to reach people."""

    def send(self, text: str, image: bytes | None, leaving: Leaving = nobody_asks) -> Receipt:
        """Send one message, once; blocks for at most a few timeouts.

        Args:
            text: in the channel's own format.
            image: PNG or JPEG shown with it, None for text alone.
            leaving: called at the last moment at which nothing can have reached the other side;
                if it raises, nothing is sent and its error comes back as it is.

        Raises:
            whalestack.errors.TryAgain: nothing was sent. With `retry_after_s` the channel
                asked for silence, and nothing else should be sent to it before.
            whalestack.errors.GiveUp: this message is refused for good.
            whalestack.errors.StopAndTell: nothing will be accepted before the owner
                changes a key, a permission or the plan.
            whalestack.errors.UnknownOutcome: it may or may not have been sent.
        """

    def close(self) -> None:
        """Give back connections and threads; a later `send` may open them again."""


@dataclass(frozen=True)
class Doubt:
    """A message that left, or was about to, and that nobody saw answered.

    Args:
        outbox_id: of its row.
        text: as it was sent.
        claimed_at: real time; it cannot have left before.
    """

    outbox_id: int
    text: str
    claimed_at: datetime


@runtime_checkable
class AskableChannel(Channel, Protocol):
    """A channel that can be asked afterwards what has arrived."""

    def arrived(
        self, doubts: Sequence[Doubt], *, known: Collection[str], earlier: str | None
    ) -> Mapping[int, str | None]:
        """Which of these messages are there. Nothing may be on its way while this is asked.

        Args:
            doubts: every message of the channel that is in doubt.
            known: ids of messages of ours that were answered.
            earlier: the id of one that was answered before any of the doubts left, None if unknown.

        Returns:
            For each `outbox_id` the message's id, or None: it did not arrive.

        Raises:
            whalestack.errors.WhalestackError: the channel cannot say.
        """
