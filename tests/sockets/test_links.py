"""A stream comes back whatever happens to it, and no message can end it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sockets.socket_server import SocketServer
from tests.sockets.waiting import wait_until
from whalestack.sockets.frames import BadFrame, Frame
from whalestack.sockets.keeper import KeeperTimes, StreamKeeper
from whalestack.sockets.links import (
    MOST_ARGUMENT_CHARACTERS,
    PRIVATE_TOPICS,
    TOPICS_A_MESSAGE,
    BybitLink,
    LinkLost,
    chunked,
    topics_of,
)

QUICK = KeeperTimes(look_every_s=0.02, ping_every_s=0.1, silent_after_s=0.6, pauses_s=(0.02, 0.05))
TICKER = {"topic": "tickers.AIAUSDT", "type": "snapshot", "ts": 1, "data": {"lastPrice": "1"}}


class Stream:
    """A kept link that remembers what it got."""

    def __init__(
        self, server: SocketServer, *, private: bool = False, topics: Any = ("tickers.AIAUSDT",)
    ) -> None:
        self.frames: list[Frame] = []
        self.missed: list[float | None] = []
        self.links: list[BybitLink] = []
        self._server, self._private, self._topics = server, private, topics
        self.keeper = StreamKeeper("test", self.link, after_open=self.missed.append, times=QUICK)

    def link(self) -> BybitLink:
        path = "/v5/private" if self._private else "/v5/public/linear"
        keys = ("key", "secret") if self._private else None
        self.links.append(
            BybitLink(
                "test",
                self._server.url + path,
                lambda: self._topics,
                self.frames.append,
                keys=keys,
                pongs_count=self._private,
            )
        )
        return self.links[-1]

    def __enter__(self) -> Stream:
        self.keeper.start()
        wait_until(lambda: self.missed)
        return self

    def __exit__(self, *_: object) -> None:
        self.keeper.stop()


@pytest.fixture
def stream(server: SocketServer) -> Iterator[Stream]:
    with Stream(server) as one:
        wait_until(lambda: server.topics)
        yield one


def test_a_message_with_a_topic_arrives(server: SocketServer, stream: Stream) -> None:
    server.say(TICKER)

    wait_until(lambda: stream.frames)

    assert "tickers.AIAUSDT" == stream.frames[0].topic
    assert [None] == stream.missed


@pytest.mark.parametrize("how", ["drop", "cut"])
def test_a_broken_stream_is_made_anew_and_says_how_long_it_was_away(
    server: SocketServer, stream: Stream, how: str
) -> None:
    server.topics.clear()
    getattr(server, how)()

    wait_until(lambda: server.topics)
    server.say(TICKER)
    wait_until(lambda: stream.frames)

    assert (2, 1) == (server.opened, stream.keeper.rebuilt)
    assert stream.missed[1] is not None
    assert 0 <= stream.missed[1] < 5


def test_a_stream_that_falls_silent_without_closing_is_made_anew(
    server: SocketServer, stream: Stream
) -> None:
    server.is_mute = True
    wait_until(lambda: server.opened > 1)
    server.is_mute = False
    server.topics.clear()

    wait_until(lambda: server.topics)
    server.say(TICKER)

    wait_until(lambda: stream.frames)


def test_a_quiet_private_stream_lives_by_its_pongs(server: SocketServer) -> None:
    with Stream(server, private=True, topics=PRIVATE_TOPICS) as stream:
        started = time.monotonic()
        wait_until(lambda: time.monotonic() - started > 2 * QUICK.silent_after_s)

        assert (1, 0) == (server.opened, stream.keeper.rebuilt)
        assert list(PRIVATE_TOPICS) == server.topics


def test_a_refused_sign_in_is_no_open_stream(server: SocketServer) -> None:
    server.refuses_sign_in = True
    link = Stream(server, private=True).link()

    with pytest.raises(LinkLost):
        link.open()

    assert not link.is_connected()
    assert [] == server.topics


@pytest.mark.parametrize(
    "message",
    [
        "not json",
        "[]",
        "null",
        '{"topic": 7}',
        '{"topic": "tickers.AIAUSDT", "data": {"lastPrice": "one"}, "ts": "x"}',
        '{"success": false, "op": "subscribe", "req_id": "unknown"}',
        '{"success": false, "ret_msg": "error:handler not found"}',
        "[" * 5000,
    ],
)
def test_no_message_ends_the_stream(server: SocketServer, stream: Stream, message: str) -> None:
    """pybit itself closes the socket at each of these, and never opens it again."""
    server.say(message)
    server.say(TICKER)

    wait_until(lambda: stream.frames)

    assert 1 == server.opened


@pytest.mark.parametrize("error", [BadFrame("bad"), ZeroDivisionError(), RuntimeError("bug")])
def test_no_error_in_a_handler_ends_the_stream(server: SocketServer, error: Exception) -> None:
    seen: list[Frame] = []

    def failing(frame: Frame) -> None:
        seen.append(frame)
        raise error

    link = BybitLink("test", server.url + "/v5/public/linear", lambda: ["tickers.AIAUSDT"], failing)
    link.open()
    server.say(TICKER)
    server.say(TICKER)

    wait_until(lambda: len(seen) == 2)

    assert (True, 2) == (link.is_connected(), link.bad_frames)
    link.close()


def test_one_unknown_topic_does_not_take_the_others_with_it(server: SocketServer) -> None:
    topics = [f"tickers.C{number}USDT" for number in range(250)]
    server.unknown = {topics[137]}

    with Stream(server, topics=topics):
        wait_until(lambda: len(server.topics) >= 249)

    assert set(topics) - server.unknown == set(server.topics)
    assert all(len(one["args"]) <= TOPICS_A_MESSAGE for one in server.heard if one.get("op") == "subscribe")


def test_a_server_that_is_away_is_tried_until_it_is_back(server: SocketServer) -> None:
    class Late(Stream):
        def link(self) -> BybitLink:
            if len(self.links) < 3:
                self._server, real = _Nowhere(), self._server
                try:
                    return super().link()
                finally:
                    self._server = real
            return super().link()

    with Late(server) as stream:
        wait_until(lambda: server.topics)

    assert 4 == len(stream.links)


class _Nowhere:
    url = "ws://127.0.0.1:1"


def test_a_closed_link_refuses_to_be_used(server: SocketServer) -> None:
    link = Stream(server).link()
    link.open()
    link.close()
    link.close()

    with pytest.raises(LinkLost):
        link.ping()
    assert not link.is_connected()


@given(st.lists(st.from_regex(r"[A-Z0-9]{1,20}USDT", fullmatch=True), unique=True, max_size=700))
def test_every_coin_is_on_one_connection_and_none_says_too_much(symbols: list[str]) -> None:
    chunks = chunked(symbols)

    assert symbols == [symbol for chunk in chunks for symbol in chunk]
    for chunk in chunks:
        arguments = [topic for symbol in chunk for topic in topics_of(symbol)]
        assert sum(len(topic) + 4 for topic in arguments) <= MOST_ARGUMENT_CHARACTERS


def test_six_hundred_coins_need_three_connections() -> None:
    assert 3 == len(chunked([f"COIN{number}USDT" for number in range(600)]))


def test_a_silent_stream_is_open_again_within_ten_seconds_with_the_times_that_are_used() -> None:
    """Noticed, the first pause made, and a host that answers at once; two seconds are left for it."""
    times = KeeperTimes()

    assert times.silent_after_s + times.look_every_s + times.pauses_s[1] <= 8.0
    # A private stream, which may be quiet for hours, must have been asked for a sign by then.
    assert 2 * times.ping_every_s < times.silent_after_s
