"""Bybit's codes, mapped once to what the caller has to do. Branch on the class or `code`."""

from __future__ import annotations

from whalestack.errors import GiveUp, StopAndTell, TryAgain, UnknownOutcome


class BybitRefused(GiveUp):
    """Bybit answered and refused; nothing happened there.

    Args:
        message: what was refused and where.
        code: Bybit's retCode.
    """

    def __init__(self, message: str, *, code: int) -> None:
        super().__init__(message)
        self.code = code


class DuplicateOrder(BybitRefused):
    """110072: an order with this order_link_id is there already; ask for it."""


class OrderNotFound(BybitRefused):
    """110001, 110008, 110010, 170213: there is no such live order."""


class BybitRateLimited(TryAgain):
    """10006, 429 or 403: refused before it had an effect, because of too many calls."""


class BybitUnavailable(TryAgain):
    """A read failed on the way: network, 5xx, unreadable. Reads have no effect: repeat."""


class BybitClockSkew(TryAgain):
    """10002: our timestamp lies outside Bybit's window."""


class BybitOutcomeUnknown(UnknownOutcome):
    """An order or a stop was sent and no readable answer came back."""


class BybitKeyRefused(StopAndTell):
    """10003, 10004, 10005, 10010: key, signature, permission or address is wrong."""
