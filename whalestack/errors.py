"""The errors of the system, ordered by what the caller has to do about them.

Clients map the codes of the outside to these once, in their own folder. Code that
catches an error branches on its class, never on the text of its message.
"""

from __future__ import annotations


class WhalestackError(Exception):
    """Base of every error this package raises on purpose."""


class TryAgain(WhalestackError):
    """The call had no effect, or may be repeated safely; repeat it later.

    Args:
        message: what failed and where.
        retry_after_s: real seconds to wait before the next attempt, None if not known.
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class GiveUp(WhalestackError):
    """The request was refused for good: the same request will be refused again."""


class UnknownOutcome(WhalestackError):
    """The request may or may not have had its effect: ask the other side, never resend blindly."""


class StopAndTell(WhalestackError):
    """Nothing will work until the owner changes something: a key, a plan, a setting."""
