"""CoinGlass's answers, mapped once to what the caller has to do. Branch on the class or `code`."""

from __future__ import annotations

from whalestack.errors import GiveUp, StopAndTell, TryAgain, WhalestackError


class CoinglassUnavailable(TryAgain):
    """The network, a 5xx, code "500", or the sporadic 30001: the same call may succeed now."""


class CoinglassUnreadable(TryAgain):
    """The reply is cut off or is no JSON: what a broken transfer leaves."""


class CoinglassRateLimited(TryAgain):
    """429: the key has used its calls of the minute."""


class BudgetExhausted(TryAgain):
    """Our own budget has no call to give before the deadline; nothing was sent."""


class BudgetUnavailable(TryAgain):
    """The budget's Redis does not answer. Without it no call is made: fail closed."""


class CoinglassRefused(GiveUp):
    """CoinGlass answered and refused this request; it will refuse it again.

    Args:
        message: what was asked for, and why it was refused.
        code: CoinGlass's code, a string there.
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class CoinglassBadReply(GiveUp):
    """The reply is whole but not what the contract says: mistyped, out of range, too large."""


class CoinglassNoMap(GiveUp):
    """There is no heat map for this coin and range: the reply is empty."""


class CoinglassNotAllowed(StopAndTell):
    """The key is missing, wrong, or its plan does not serve this endpoint."""


class CoinglassNotInPlan(CoinglassNotAllowed):
    """The key is right, but its plan does not serve this endpoint, or not this range of it."""


_NOT_ALLOWED = frozenset({"401", "40003"})
_NOT_IN_PLAN = frozenset({"403", "40001"})
_TRANSIENT = frozenset({"500", "502", "503", "504", "408", "30001"})
_RATE_LIMITED = frozenset({"429", "50001"})
_OK = frozenset({"0"})
# Without a Retry-After (none is documented) the server's window is given this long to move on.
PAUSE_AFTER_429_S = 5.0


def is_ok(code: str) -> bool:
    """Whether a code in a reply's body says success."""
    return code in _OK


def error_of(what: str, code: str, message: str, *, retry_after_s: float | None = None) -> WhalestackError:
    """The error that a code stands for.

    CoinGlass sends its codes with HTTP 200 as well as as HTTP statuses; both come here.

    Args:
        what: what was asked for ("heat map of PEPE 7d"); begins the error's text.
        code: of the body, or the HTTP status where the body has none.
        message: CoinGlass's own words.
        retry_after_s: real seconds, where the reply says so.
    """
    text = f"{what}: CoinGlass answered {code}" + (f" ({message})" if message else "")
    if code in _RATE_LIMITED:
        return CoinglassRateLimited(text, retry_after_s=retry_after_s or PAUSE_AFTER_429_S)
    if code in _TRANSIENT:
        return CoinglassUnavailable(text, retry_after_s=retry_after_s)
    if code in _NOT_IN_PLAN or _means_plan(code, message):
        return CoinglassNotInPlan(f"{text}: the key's plan does not serve it")
    if code in _NOT_ALLOWED or _means_key(code, message):
        return CoinglassNotAllowed(f"{text}; check COINGLASS_API_KEY and its plan")
    return CoinglassRefused(text, code=code)


# The two places that look at words, because CoinGlass's codes do not tell these apart.


def _means_key(code: str, message: str) -> bool:
    # A wrong key arrives as code 400, the code of any wrong parameter. Taking it for a wrong
    # parameter would send the whole round to be refused call by call.
    return code == "400" and "api key" in message.lower()


def _means_plan(code: str, message: str) -> bool:
    # 401 is documented as a wrong key, and sent with "Upgrade plan" for a plan that is too low.
    return code in _NOT_ALLOWED and "plan" in message.lower()


def means_rate_limit(code: str) -> bool:
    """Whether a code in a reply's body says that the key has used its calls."""
    return code in _RATE_LIMITED


def is_retryable(error: Exception) -> bool:
    """Whether the client's own retries may repeat the call at once.

    An exhausted budget is not: its deadline has passed already.
    """
    return isinstance(error, TryAgain) and not isinstance(error, (BudgetExhausted, BudgetUnavailable))


def backoff(error: Exception) -> bool | float:
    """For stamina: False not to retry, True for the usual wait, or real seconds to wait."""
    if not is_retryable(error):
        return False
    retry_after_s = getattr(error, "retry_after_s", None)
    return True if retry_after_s is None else float(retry_after_s)
