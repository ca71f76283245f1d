"""What each error of tweepy and requests means for the caller: mapped here and nowhere else.

X has no key that makes a repeated post harmless. So an error counts as "nothing was sent"
only where its class proves it; everything else after sending is an unknown outcome.
"""

from __future__ import annotations

from collections.abc import Mapping

import requests
import tweepy
from urllib3.exceptions import MaxRetryError, NewConnectionError

from whalestack.errors import GiveUp, StopAndTell, TryAgain, UnknownOutcome, WhalestackError

CREDITS_USED_UP = 402
MIN_WAIT_S = 1.0
WINDOWS = ("x-rate-limit", "x-app-limit-24hour", "x-user-limit-24hour")
UNTOLD_WAIT_S = 900.0
"""X counts in windows of 15 minutes, and sends no Retry-After."""


def from_http(error: tweepy.HTTPException, what: str, now_s: float) -> WhalestackError:
    """The error of ours for an answer that X did give.

    Args:
        error: as tweepy raised it.
        what: the call, for the message.
        now_s: real time, Unix seconds, against which the window's reset is read.
    """
    if isinstance(error, tweepy.TooManyRequests):
        return TryAgain(f"{what}: too many posts", retry_after_s=wait_s(error.response.headers, now_s))
    if isinstance(error, tweepy.Unauthorized):
        return StopAndTell(f"{what}: the keys are refused; check the four X_ keys")
    if error.response.status_code == CREDITS_USED_UP:
        return StopAndTell(f"{what}: the prepaid credits are used up")
    if isinstance(error, tweepy.TwitterServerError):
        return UnknownOutcome(f"{what}: X answered {error.response.status_code}")
    return GiveUp(f"{what}: {error}")


def from_connection(error: requests.RequestException, what: str) -> WhalestackError:
    """The error of ours for a call that brought no usable answer."""
    if isinstance(error, requests.ConnectTimeout) or _never_connected(error):
        return TryAgain(f"{what}: not reached ({type(error).__name__})")
    return UnknownOutcome(f"{what}: no usable answer ({type(error).__name__})")


def wait_s(headers: Mapping[str, str], now_s: float) -> float:
    """Real seconds until every window that is used up is over, at least one.

    Where the headers show none that is used up, the window of 15 minutes counts.
    """
    resets = spent_windows(headers) or [headers.get("x-rate-limit-reset", "")]
    known = [int(reset) - now_s for reset in resets if reset.isdigit()]
    return max(MIN_WAIT_S, *known) if known else UNTOLD_WAIT_S


def spent_windows(headers: Mapping[str, str]) -> list[str]:
    """The reset (Unix seconds as text) of each window of which nothing remains."""
    return [
        headers.get(f"{window}-reset", "") for window in WINDOWS if headers.get(f"{window}-remaining") == "0"
    ]


def _never_connected(error: requests.RequestException) -> bool:
    cause = error.args[0] if error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)
