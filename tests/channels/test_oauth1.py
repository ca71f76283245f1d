"""The simulator's check of signatures, against a published example and its own laws."""

from __future__ import annotations

import pytest

from whalestack.simulator.oauth1 import OAuthKeys, OAuthVerifier, parse_authorization, sign

EXAMPLE_KEYS = OAuthKeys(
    consumer_key="xvz1evFS4wEEPTGEFPHBog",
    consumer_secret="kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw",
    token="370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb",
    token_secret="LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE",
)
NOW_S = 1_318_622_958
URL = "https://api.twitter.com/1.1/statuses/update.json"
PARAMS = [
    ("status", "Hello Ladies + Gentlemen, a signed OAuth request!"),
    ("include_entities", "true"),
]
FIELDS = {
    "oauth_consumer_key": EXAMPLE_KEYS.consumer_key,
    "oauth_nonce": "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg",
    "oauth_signature_method": "HMAC-SHA1",
    "oauth_timestamp": str(NOW_S),
    "oauth_token": EXAMPLE_KEYS.token,
    "oauth_version": "1.0",
}
SIGNATURE = "hCtSmYh+iHYCEqBWrE7C7hYmtUk="


def header(**changed: str) -> str:
    fields = FIELDS | {"oauth_signature": "hCtSmYh%2BiHYCEqBWrE7C7hYmtUk%3D"} | changed
    return "OAuth " + ", ".join(f'{name}="{value}"' for name, value in fields.items())


def accepts(verifier: OAuthVerifier, authorization: str, now_s: float = NOW_S, url: str = URL) -> bool:
    return verifier.accepts(
        method="POST",
        urls=["http://127.0.0.1:1/1.1/statuses/update.json", url],
        params=PARAMS,
        authorization=authorization,
        now_s=now_s,
    )


def test_the_example_that_the_platform_published_is_signed_alike() -> None:
    """Keys, request and signature are those of X's guide "Creating a signature"."""
    assert SIGNATURE == sign("post", URL, [*PARAMS, *FIELDS.items()], EXAMPLE_KEYS)


def test_a_signed_request_is_taken_once() -> None:
    verifier = OAuthVerifier(EXAMPLE_KEYS)
    assert (True, False) == (accepts(verifier, header()), accepts(verifier, header()))


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer abc",
        header(oauth_signature="wrong"),
        header(oauth_consumer_key="other"),
        header(oauth_token="other"),
        header(oauth_timestamp="now"),
        header(oauth_nonce="other"),
    ],
)
def test_anything_changed_is_refused(authorization: str) -> None:
    assert not accepts(OAuthVerifier(EXAMPLE_KEYS), authorization)


def test_an_old_signature_and_another_address_are_refused() -> None:
    assert not accepts(OAuthVerifier(EXAMPLE_KEYS), header(), now_s=NOW_S + 301)
    assert not accepts(OAuthVerifier(EXAMPLE_KEYS), header(), url="https://api.twitter.com/2/tweets")


def test_an_account_without_keys_takes_nothing() -> None:
    """An empty key must not match a request that names an empty key."""
    assert not accepts(OAuthVerifier(OAuthKeys("", "")), header(oauth_consumer_key="", oauth_token=""))


def test_a_header_is_read_without_its_realm() -> None:
    assert {"oauth_nonce": "a b"} == parse_authorization('OAuth realm="x", oauth_nonce="a%20b"')
