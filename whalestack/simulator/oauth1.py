"""Checking an OAuth 1.0a signature, as a server does (RFC 5849, section 3)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

MAX_SKEW_S = 300.0
_PAIR = re.compile(r'\s*([A-Za-z_]+)="([^"]*)"\s*')


@dataclass(frozen=True)
class OAuthKeys:
    """What a client must hold to sign: the app's pair and the account's pair."""

    consumer_key: str
    consumer_secret: str = field(repr=False)
    token: str = field(default="", repr=False)
    token_secret: str = field(default="", repr=False)


@dataclass
class OAuthVerifier:
    """Checks signatures of one account, each nonce once.

    Args:
        keys: the only ones that are taken.
    """

    keys: OAuthKeys
    _nonces: set[tuple[str, str]] = field(default_factory=set)

    def accepts(
        self,
        *,
        method: str,
        urls: Iterable[str],
        params: Iterable[tuple[str, str]],
        authorization: str,
        now_s: float,
    ) -> bool:
        """Whether a request is signed by the keys, now, and for the first time.

        Args:
            method: HTTP method.
            urls: the addresses, without query, that the client may have signed: a client
                that is led here by an adapter signs the official one.
            params: of the query, and of the body where it is a form.
            authorization: the header.
            now_s: real time, Unix seconds.
        """
        given = parse_authorization(authorization)
        if given.get("oauth_consumer_key") != self.keys.consumer_key or not self.keys.consumer_key:
            return False
        if given.get("oauth_token") != self.keys.token or not self._is_fresh(given, now_s):
            return False
        signed = [*params, *((name, value) for name, value in given.items() if name != "oauth_signature")]
        signature = given.get("oauth_signature", "")
        if not any(hmac.compare_digest(signature, sign(method, url, signed, self.keys)) for url in urls):
            return False
        self._nonces.add((given["oauth_timestamp"], given.get("oauth_nonce", "")))
        return True

    def _is_fresh(self, given: Mapping[str, str], now_s: float) -> bool:
        timestamp = given.get("oauth_timestamp", "")
        is_now = timestamp.isdigit() and abs(int(timestamp) - now_s) <= MAX_SKEW_S
        return is_now and (timestamp, given.get("oauth_nonce", "")) not in self._nonces


def parse_authorization(header: str) -> dict[str, str]:
    """The `oauth_` fields of an Authorization header, decoded; empty for another scheme."""
    scheme, _, rest = header.partition(" ")
    if scheme.lower() != "oauth":
        return {}
    pairs = (_PAIR.fullmatch(part) for part in rest.split(","))
    return {pair.group(1): unquote(pair.group(2)) for pair in pairs if pair and pair.group(1) != "realm"}


def sign(method: str, url: str, params: Iterable[tuple[str, str]], keys: OAuthKeys) -> str:
    """The HMAC-SHA1 signature, base64: RFC 5849, 3.4.1 for the base string, 3.4.2 for the key."""
    pairs = sorted((_encode(name), _encode(value)) for name, value in params)
    joined = "&".join(f"{name}={value}" for name, value in pairs)
    base = "&".join(_encode(part) for part in (method.upper(), url, joined))
    key = f"{_encode(keys.consumer_secret)}&{_encode(keys.token_secret)}"
    digest = hmac.new(key.encode(), base.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def _encode(text: str) -> str:
    return quote(text, safe="-._~")
