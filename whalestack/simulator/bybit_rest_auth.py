"""Who is asking: signature and time window of a private request, as Bybit checks them.

The signature covers the raw query string or the raw body exactly as sent; nothing is decoded and
encoded again before it is checked.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from whalestack.simulator.exchange.refusals import (
    KEY_INVALID,
    OUTSIDE_TIME_WINDOW,
    PARAMETER_ERROR,
    SIGNATURE_WRONG,
    Refused,
)

DEFAULT_RECV_WINDOW_MS = 5000
FUTURE_TOLERANCE_MS = 1000


@dataclass(frozen=True)
class ApiKey:
    """The one key pair that the exchange knows. Its secret is never printed."""

    key: str
    secret: str

    def __repr__(self) -> str:
        return f"ApiKey({self.key!r})"

    def sign(self, text: str) -> str:
        """HMAC-SHA256 of the text under the secret, hex."""
        return hmac.new(self.secret.encode(), text.encode(), hashlib.sha256).hexdigest()

    def signed(self, text: str, signature: str) -> bool:
        """Whether a signature is this key's, compared in constant time."""
        return hmac.compare_digest(self.sign(text), signature.lower())


def check_request(known: ApiKey, headers: Mapping[str, str], payload: str, real_ms: int) -> None:
    """Check the headers of a private request.

    Args:
        known: the exchange's key pair.
        headers: of the request, found without regard to case.
        payload: raw query string of a GET, raw body of a POST.
        real_ms: the wall clock; timestamps are real time even when the market runs faster.

    Raises:
        Refused: 10001 headers missing, 10003 key, 10002 time window, 10004 signature.
    """
    key, stamp = headers.get("X-BAPI-API-KEY", ""), headers.get("X-BAPI-TIMESTAMP", "")
    signature = headers.get("X-BAPI-SIGN", "")
    if not (key and stamp and signature):
        raise Refused(PARAMETER_ERROR, "empty value: apiTimestamp[] apiKey[] apiSignature[]")
    if not hmac.compare_digest(key.encode(), known.key.encode()):
        raise Refused(KEY_INVALID, "API key is invalid.")
    window = headers.get("X-BAPI-RECV-WINDOW", "") or str(DEFAULT_RECV_WINDOW_MS)
    _check_window(stamp, window, real_ms)
    if not known.signed(f"{stamp}{key}{window}{payload}", signature):
        raise Refused(SIGNATURE_WRONG, "error sign! please check your signature generation algorithm.")


def check_socket(known: ApiKey, arguments: list[object], real_ms: int) -> bool:
    """Whether the arguments of a socket's auth operation, [key, expires_ms, signature], are right."""
    if len(arguments) != 3:
        return False
    key, expires, signature = (str(argument) for argument in arguments)
    if not expires.isdigit() or int(expires) <= real_ms:
        return False
    same_key = hmac.compare_digest(key.encode(), known.key.encode())
    return same_key and known.signed(f"GET/realtime{expires}", signature)


def _check_window(stamp: str, window: str, real_ms: int) -> None:
    text = "invalid request, please check your server timestamp or recv_window param. "
    text += f"req_timestamp[{stamp}],server_timestamp[{real_ms}],recv_window[{window}]"
    if not (stamp.isdigit() and window.isdigit()):
        raise Refused(OUTSIDE_TIME_WINDOW, text)
    if not real_ms - int(window) <= int(stamp) < real_ms + FUTURE_TOLERANCE_MS:
        raise Refused(OUTSIDE_TIME_WINDOW, text)
