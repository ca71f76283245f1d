"""X through the unmodified tweepy, with the v2 media upload that tweepy does not have.

`tweepy.Client` has its host written in, and gives its requests no timeout. Both are set
where it does offer a door: an adapter on its `requests.Session`. The OAuth signature is
made before the adapter and names the official host, whatever the address.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from html import unescape
from typing import Any

import requests
import tweepy
from requests.adapters import HTTPAdapter
from requests.utils import select_proxy

from whalestack.clients.channel import Doubt, Leaving, Receipt, nobody_asks
from whalestack.clients.x.departure import POOLS, tell, telling
from whalestack.clients.x.errors import from_connection, from_http, spent_windows, wait_s
from whalestack.config import Settings
from whalestack.errors import GiveUp, TryAgain, UnknownOutcome

OFFICIAL_URL = "https://api.twitter.com"
MEDIA_UPLOAD_ROUTE = "/2/media/upload"
POSTS_A_PAGE, MOST_PAGES = 100, 3
# Clocks differ by less.
CLOCKS_DIFFER = timedelta(minutes=2)
_PICTURE_LINK = re.compile(r"\s*https://t\.co/\S+\s*$")


class ForwardAdapter(HTTPAdapter):
    """Sends what is addressed to the official host to `base_url`, with a timeout.

    It never repeats a request: urllib3's retries stay at zero.

    Args:
        base_url: scheme and host that really get the request.
        timeout_s: real seconds for connecting and for each read.
    """

    def __init__(self, base_url: str, timeout_s: float) -> None:
        super().__init__(max_retries=0)
        self._base_url = base_url.rstrip("/")
        self._timeout_s = timeout_s

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Connections that tell when a request's body follows."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """As `HTTPAdapter.send`; only the address and the timeout differ."""
        if self._base_url != OFFICIAL_URL:
            request.url = (request.url or "").replace(OFFICIAL_URL, self._base_url, 1)
            # A proxy from the environment is for the internet, not for a server next door.
            proxies = {}
        if select_proxy(request.url or "", proxies):
            tell()  # a proxy has connections of its own, which do not tell
        return super().send(request, stream, timeout or self._timeout_s, verify, cert, proxies)


class XClient:
    """One account that posts.

    Args:
        consumer_key, consumer_secret: of the app.
        access_token, access_token_secret: of the account.
        base_url: scheme and host of the API.
        timeout_s: real seconds for connecting and for each read.
        real_now_s: real time in Unix seconds, against which rate-limit resets are read.
    """

    def __init__(
        self,
        *,
        consumer_key: str,
        consumer_secret: str,
        access_token: str,
        access_token_secret: str,
        base_url: str = OFFICIAL_URL,
        timeout_s: float = 10.0,
        real_now_s: Callable[[], float] = time.time,
    ) -> None:
        self._real_now_s = real_now_s
        self._client = tweepy.Client(
            consumer_key=consumer_key,
            consumer_secret=consumer_secret,
            access_token=access_token,
            access_token_secret=access_token_secret,
            return_type=requests.Response,
            wait_on_rate_limit=False,
        )
        self._client.session.mount(OFFICIAL_URL, ForwardAdapter(base_url, timeout_s))

    @classmethod
    def from_settings(cls, settings: Settings) -> XClient:
        """The account that the settings name."""
        return cls(
            consumer_key=settings.x_consumer_key.get_secret_value(),
            consumer_secret=settings.x_consumer_secret.get_secret_value(),
            access_token=settings.x_access_token.get_secret_value(),
            access_token_secret=settings.x_access_token_secret.get_secret_value(),
            base_url=settings.x_url,
            timeout_s=settings.broadcast_timeout_s,
        )

    def send(self, text: str, image: bytes | None, leaving: Leaving = nobody_asks) -> Receipt:
        """Post once; see `whalestack.clients.channel.Channel.send`.

        Args:
            text: plain, at most 280 weighted characters.
            image: uploaded first; an upload whose outcome is unknown has shown nothing to
                anybody, so it may be repeated.
            leaving: called after the upload, between the head of the post and its body.
        """
        media_ids = None if image is None else [self._upload(image)]
        with telling(leaving):
            response = self._call(
                "x post", lambda: self._client.create_tweet(text=text, media_ids=media_ids, user_auth=True)
            )
        return Receipt(
            external_id=_read_id(response, "x post"),
            quiet_s=_quiet_s(response.headers, self._real_now_s()),
        )

    def arrived(
        self, doubts: Sequence[Doubt], *, known: Collection[str], earlier: str | None
    ) -> Mapping[int, str | None]:
        """Look for the texts among the account's posts since the first of the doubts.

        See `whalestack.clients.channel.AskableChannel.arrived`; reading costs credits. X refuses
        the same text twice, so a post that its list does not show yet is still not doubled.
        """
        since = min(doubt.claimed_at for doubt in doubts) - CLOCKS_DIFFER
        account = _read_data(
            self._call("x account", lambda: self._client.get_me(user_auth=True)), "x account"
        )
        posts = {
            text: number
            for number, text in self._posts(str(account.get("id", "")), f"{since:%Y-%m-%dT%H:%M:%SZ}")
        }
        return {doubt.outbox_id: posts.get(doubt.text.strip()) for doubt in doubts}

    def _posts(self, account_id: str, start_time: str) -> Iterator[tuple[str, str]]:
        """Id and text of the account's posts, newest first."""
        token: str | None = None
        for _ in range(MOST_PAGES):
            response = self._call(
                "x posts",
                lambda token=token: self._client.get_users_tweets(  # type: ignore[misc]
                    account_id,
                    start_time=start_time,
                    max_results=POSTS_A_PAGE,
                    pagination_token=token,
                    user_auth=True,
                ),
            )
            body = _read_body(response, "x posts")
            for post in body.get("data", ()):
                yield str(post["id"]), _as_written(str(post["text"]))
            token = body.get("meta", {}).get("next_token")
            if token is None:
                return
        raise GiveUp(f"x posts: more than {POSTS_A_PAGE * MOST_PAGES} since {start_time}")

    def name(self) -> str:
        """The account's user name, asked from X: shows that address and keys are right.

        Raises:
            whalestack.errors.WhalestackError: as `send`.
        """
        response = self._call("x account", lambda: self._client.get_me(user_auth=True))
        return str(_read_data(response, "x account").get("username", ""))

    def close(self) -> None:
        """Give back the connections."""
        self._client.session.close()

    def _upload(self, image: bytes) -> str:
        try:
            response = self._call("x media upload", lambda: _raise_as_tweepy(self._post_media(image)))
            return _read_id(response, "x media upload")
        except UnknownOutcome as unknown:
            raise TryAgain(f"nothing was posted yet: {unknown}") from unknown

    def _post_media(self, image: bytes) -> requests.Response:
        client = self._client
        signer = tweepy.OAuth1UserHandler(
            client.consumer_key, client.consumer_secret, client.access_token, client.access_token_secret
        )
        response: requests.Response = client.session.post(
            OFFICIAL_URL + MEDIA_UPLOAD_ROUTE,
            files={"media": ("image", image, "application/octet-stream")},
            data={"media_category": "tweet_image"},
            auth=signer.apply_auth(),
        )
        return response

    def _call(self, what: str, call: Callable[[], requests.Response]) -> requests.Response:
        try:
            return call()
        except tweepy.HTTPException as error:
            raise from_http(error, what, self._real_now_s()) from error
        except requests.RequestException as error:
            raise from_connection(error, what) from error


def _raise_as_tweepy(response: requests.Response) -> requests.Response:
    """The same error classes for the one call that tweepy does not make itself."""
    if response.ok:
        return response
    by_status = {
        400: tweepy.BadRequest,
        401: tweepy.Unauthorized,
        403: tweepy.Forbidden,
        404: tweepy.NotFound,
        429: tweepy.TooManyRequests,
    }
    fallback = tweepy.TwitterServerError if response.status_code >= 500 else tweepy.HTTPException
    raise by_status.get(response.status_code, fallback)(response)


def _as_written(text: str) -> str:
    """A post's text as it was sent: X gives it back with entities, and with a link for its picture."""
    return unescape(_PICTURE_LINK.sub("", text)).strip()


def _read_body(response: requests.Response, what: str) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError as error:
        raise UnknownOutcome(f"{what}: the answer {response.status_code} cannot be read") from error
    if not isinstance(body, dict):
        raise UnknownOutcome(f"{what}: the answer {response.status_code} holds no object")
    return body


def _read_data(response: requests.Response, what: str) -> dict[str, Any]:
    data = _read_body(response, what).get("data")
    if not isinstance(data, dict):
        raise UnknownOutcome(f"{what}: the answer {response.status_code} holds no object")
    return data


def _read_id(response: requests.Response, what: str) -> str:
    found = _read_data(response, what).get("id")
    if not found:
        raise UnknownOutcome(f"{what}: the answer {response.status_code} names no id")
    return str(found)


def _quiet_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """How long to post nothing: to the end of the window when this was its last post."""
    return wait_s(headers, now_s) if spent_windows(headers) else None
