"""What a failed call means, decided in one place: by code and status, never by text.

The question is always the same: can the call have had its effect? Where Bybit did not
clearly say no, a call with an effect is of unknown outcome, whatever else it looks like.
"""

from __future__ import annotations

import requests
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError

from whalestack.clients.bybit.errors import (
    BybitClockSkew,
    BybitKeyRefused,
    BybitOutcomeUnknown,
    BybitRateLimited,
    BybitRefused,
    BybitUnavailable,
    DuplicateOrder,
    OrderNotFound,
)
from whalestack.errors import WhalestackError

RATE_LIMITED = frozenset({429, 10006, 10018, 10429})
KEY_REFUSED = frozenset({10003, 10004, 10005, 10010, 33004})
CLOCK_SKEW = frozenset({10002})
# Bybit's own trouble, or "this request was made before": it may have been carried out.
# The last three are the timeouts of its spot side.
UNCERTAIN = frozenset({10000, 10014, 10016, 110079, 170007, 170146, 170147})
# Every refusal that Bybit documents has five digits or more; below it is not its word.
LOWEST_REFUSAL = 10_000
DUPLICATE_ORDER = 110072
ORDER_NOT_FOUND = frozenset({110001, 110008, 110010, 170213})
STOPS_NOT_MODIFIED = 34040
LEVERAGE_NOT_MODIFIED = 110043
BAD_REQUEST = 10001

HTTP_RATE_LIMITED = frozenset({403, 429})
HTTP_REFUSED = frozenset({400, 404, 405})
IP_BAN_S = 600.0


def error_for_code(
    code: int, text: str, what: str, *, has_effect: bool, retry_after_s: float | None = None
) -> WhalestackError:
    """The error for a readable answer whose retCode is not 0.

    Args:
        code: Bybit's retCode, of the reply or of one member of a batch.
        text: Bybit's words, shown to people and never decided on.
        what: the call and the coin or order it was about.
        has_effect: whether the call would have changed something had it been carried out.
        retry_after_s: real seconds after which a rate limit is over, None if not told.
    """
    message = f"{what}: Bybit answered {code} {text!r}"
    if code in RATE_LIMITED:
        return BybitRateLimited(message, retry_after_s=retry_after_s)
    if code in CLOCK_SKEW:
        return BybitClockSkew(message)
    if code in KEY_REFUSED:
        return BybitKeyRefused(message)
    if code in UNCERTAIN or code < LOWEST_REFUSAL:
        return uncertain(message, has_effect=has_effect)
    return _refusal(message, code)


def error_for_status(
    status: int, what: str, *, has_effect: bool, retry_after_s: float | None = None
) -> WhalestackError:
    """The error for an HTTP status other than 200."""
    message = f"{what}: HTTP {status}"
    if status in HTTP_RATE_LIMITED:
        # 403 is the IP limit, which lasts ten minutes and grows if it is ignored.
        return BybitRateLimited(message, retry_after_s=IP_BAN_S if status == 403 else retry_after_s)
    if status == 401:
        return BybitKeyRefused(message)
    if status in HTTP_REFUSED:
        return BybitRefused(message, code=status)
    return uncertain(message, has_effect=has_effect)


def error_for_network(error: Exception, what: str, *, has_effect: bool) -> WhalestackError:
    """The error for a call that got no answer, or lost it on the way."""
    message = f"{what}: {type(error).__name__}"
    if was_never_sent(error):
        return BybitUnavailable(f"{message}, nothing was sent")
    return uncertain(message, has_effect=has_effect)


def uncertain(message: str, *, has_effect: bool) -> WhalestackError:
    """A read may be repeated; anything else must be asked about."""
    if has_effect:
        return BybitOutcomeUnknown(f"{message}; the outcome is unknown")
    return BybitUnavailable(message)


def was_never_sent(error: Exception) -> bool:
    """True only where no connection came about, so that not one byte can have left."""
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return True
    cause = error.args[0] if error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(
        cause.reason, NewConnectionError | ConnectTimeoutError
    )


def _refusal(message: str, code: int) -> BybitRefused:
    if code == DUPLICATE_ORDER:
        return DuplicateOrder(message, code=code)
    if code in ORDER_NOT_FOUND:
        return OrderNotFound(message, code=code)
    return BybitRefused(message, code=code)
