"""What every message channel looks like to those who send: one shape for all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

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
