"""tweepy, unmodified, against the simulated X API, through our client."""

from __future__ import annotations

import pytest

from tests.channels.conftest import x_client
from tests.channels.loopback import Channels, Fault
from whalestack.clients.x.client import XClient
from whalestack.clients.x.errors import UNTOLD_WAIT_S, wait_s
from whalestack.errors import GiveUp, StopAndTell, TryAgain, UnknownOutcome


def test_a_post_is_signed_and_arrives_once(channels: Channels, x: XClient) -> None:
    receipt = x.send("Closed: AIAUSDT LONG +4.2 % ☕ & more", None)
    (post,) = channels.x.posts
    assert (post.id, "Closed: AIAUSDT LONG +4.2 % ☕ & more") == (receipt.external_id, post.text)
    assert receipt.quiet_s is None


def test_a_picture_is_uploaded_first_and_named_in_the_post(
    channels: Channels, x: XClient, png: bytes
) -> None:
    x.send("with a chart", png)
    (post,) = channels.x.posts
    assert {post.media_ids[0]: len(png)} == channels.x.media
    assert ["POST /2/media/upload", "POST /2/tweets"] == channels.paths


def test_the_name_of_the_account_is_asked(x: XClient) -> None:
    assert "whalestack_demo" == x.name()


@pytest.mark.parametrize("wrong", ["consumer_key", "consumer_secret", "access_token", "access_token_secret"])
def test_any_wrong_key_stops_and_tells_without_the_key(channels: Channels, wrong: str, png: bytes) -> None:
    client = x_client(channels.url, **{wrong: "not-the-key"})
    for image in (None, png):
        with pytest.raises(StopAndTell) as raised:
            client.send("hello", image)
        assert "not-the-key" not in str(raised.value)
    assert [] == channels.x.posts


def test_the_same_text_twice_is_refused_for_good(channels: Channels, x: XClient) -> None:
    x.send("same", None)
    with pytest.raises(GiveUp):
        x.send("same", None)
    assert {"messages": 1, "repeats": 0, "media": 0, "refused": {"403": 1}} == channels.x.stats()


@pytest.mark.parametrize("text", ["a" * 281, "鲸" * 141, ""])
def test_a_text_x_cannot_take_is_refused_for_good(channels: Channels, x: XClient, text: str) -> None:
    with pytest.raises(GiveUp):
        x.send(text, None)
    assert [] == channels.x.posts


@pytest.mark.parametrize(
    "text", ["a" * 280, "鲸" * 140, "https://example.org/" + "a" * 500 + " " + "b" * 256]
)
def test_a_text_of_280_weighted_characters_is_taken(channels: Channels, x: XClient, text: str) -> None:
    x.send(text, None)
    assert [text] == [post.text for post in channels.x.posts]


def test_the_last_post_of_a_window_asks_for_silence_and_the_next_is_told_how_long(
    channels: Channels, x: XClient
) -> None:
    receipts = [x.send(f"post {number}", None) for number in range(3)]
    assert [None, None] == [receipt.quiet_s for receipt in receipts[:2]]
    assert receipts[2].quiet_s is not None
    assert 800 < receipts[2].quiet_s <= 901
    with pytest.raises(TryAgain) as raised:
        x.send("one too many", None)
    assert raised.value.retry_after_s is not None
    assert 800 < raised.value.retry_after_s <= 901


def test_used_up_credits_stop_and_tell(channels: Channels, x: XClient) -> None:
    channels.x.credits = 0
    with pytest.raises(StopAndTell):
        x.send("hello", None)


@pytest.mark.parametrize(
    "fault", [Fault.HANG_BEFORE, Fault.HANG_AFTER, Fault.ERROR_AFTER, Fault.GARBLED, Fault.DROP_AFTER]
)
def test_no_usable_answer_to_a_post_is_an_unknown_outcome(
    channels: Channels, x: XClient, fault: Fault
) -> None:
    channels.faults.append(fault)
    with pytest.raises(UnknownOutcome):
        x.send("hello", None)
    assert (0 if fault is Fault.HANG_BEFORE else 1) == len(channels.x.posts)


@pytest.mark.parametrize("fault", [Fault.HANG_AFTER, Fault.ERROR_AFTER, Fault.GARBLED, Fault.DROP_AFTER])
def test_an_upload_without_an_answer_may_be_tried_again(
    channels: Channels, x: XClient, png: bytes, fault: Fault
) -> None:
    """An uploaded picture that no post names is shown to nobody."""
    channels.faults.append(fault)
    with pytest.raises(TryAgain):
        x.send("hello", png)
    assert [] == channels.x.posts


def test_what_is_no_picture_is_refused_for_good(channels: Channels, x: XClient) -> None:
    with pytest.raises(GiveUp):
        x.send("hello", b"no picture")
    assert [] == channels.x.posts


def test_a_server_that_is_not_there_may_be_tried_again() -> None:
    with pytest.raises(TryAgain) as raised:
        x_client("http://127.0.0.1:9").send("hello", None)
    assert raised.value.retry_after_s is None


def test_the_wait_is_to_the_end_of_the_last_window_that_is_used_up() -> None:
    """At Unix second 1000 the short window ends in 100 s and the day's in 5000 s."""
    day = {"x-user-limit-24hour-remaining": "0", "x-user-limit-24hour-reset": "6000"}
    short = {"x-rate-limit-remaining": "4", "x-rate-limit-reset": "1100"}
    assert 5000 == wait_s(day | short, 1000)
    assert 100 == wait_s(short, 1000)
    assert 1 == wait_s(short, 2000)
    assert UNTOLD_WAIT_S == wait_s({}, 1000)


def test_it_says_when_a_post_leaves_and_nothing_leaves_without_that(
    channels: Channels, x: XClient, png: bytes
) -> None:
    """What is told has not been taken yet; the upload of a picture shows nothing to anybody."""
    seen: list[int] = []
    x.send("one", None, lambda: seen.append(len(channels.x.posts)))
    x.send("two", png, lambda: seen.append(len(channels.x.posts)))
    assert [0, 1] == seen

    def forbid() -> None:
        raise KeyError("not now")

    with pytest.raises(KeyError):
        x.send("three", None, forbid)
    x.send("four", None)
    assert ["one", "two", "four"] == [post.text for post in channels.x.posts]
