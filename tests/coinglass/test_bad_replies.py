"""Replies that are too large, too slow or nonsense: named, and bounded in time and memory."""

from __future__ import annotations

import gzip
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, repeat

import pytest
from pydantic import SecretStr

from tests.coinglass.conftest import Answer, ClientMaker, Loopback, OpenBudget
from tests.coinglass.replies import envelope, error_body, heatmap_body
from whalestack.clients.coinglass.client import CoinglassClient
from whalestack.clients.coinglass.errors import (
    BudgetExhausted,
    CoinglassBadReply,
    CoinglassNoMap,
    CoinglassNotAllowed,
    CoinglassNotInPlan,
    CoinglassRateLimited,
    CoinglassUnavailable,
    CoinglassUnreadable,
)
from whalestack.clients.coinglass.heatmap_reply import decode_heatmap
from whalestack.clients.coinglass.transport import Transport
from whalestack.errors import WhalestackError

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@contextmanager
def dripping(pieces: Callable[[], Iterator[bytes]], every_s: float) -> Iterator[str]:
    """A server that sends one piece after the other to whoever connects, slowly."""
    over = threading.Event()

    def serve(listening: socket.socket) -> None:
        while not over.is_set():
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                connection.recv(65_536)
                try:
                    for piece in pieces():
                        connection.sendall(piece)
                        if over.wait(every_s):
                            return
                except OSError:
                    continue

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            over.set()
            listening.shutdown(socket.SHUT_RDWR)
    thread.join(5)


DRIPS: dict[str, Callable[[], Iterator[bytes]]] = {
    "in its body": lambda: chain([HEAD + b"Content-Length: 1000000\r\n\r\n"], repeat(b" ")),
    "in its headers": lambda: chain([HEAD], repeat(b"X")),
    "header by header": lambda: chain([HEAD], (b"X-%d: 1\r\n" % n for n in range(90)), repeat(b"Y")),
    "before its first word": lambda: repeat(b"H"),
}


@pytest.mark.parametrize("way", DRIPS)
def test_a_reply_that_drips_for_ever_ends_at_its_deadline(way: str) -> None:
    """A byte each 20 ms keeps every read alive; the reply as a whole has 0.25 s."""
    with dripping(DRIPS[way], 0.02) as url:
        transport = Transport(url, SecretStr("key"), timeout_s=0.25, max_bytes=1_000_000)
        began = time.monotonic()
        with pytest.raises(CoinglassUnavailable, match="slow map: no whole reply within"):
            transport.get("/x", {}, "slow map")
        assert 0.2 < time.monotonic() - began < 1.0
        transport.close()


def bomb(size: int) -> bytes:
    """A gzip of that many spaces, a thousandth of their size."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    megabyte = b" " * 1_000_000
    return b"".join(squeeze.compress(megabyte) for _ in range(size // 1_000_000)) + squeeze.flush()


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b" " * 50_000_000, None),
        (bomb(100_000_000), "gzip"),
        (gzip.compress(bomb(100_000_000)), "gzip, gzip"),
    ],
    ids=["50 MB", "gzip bomb", "gzip bomb in gzip"],
)
def test_a_huge_reply_is_never_held(
    coinglass: Loopback, make_client: ClientMaker, body: bytes, encoding: str | None
) -> None:
    """Refused at the bound of 1 MB; a few MB are held at the most, the server's own among them."""
    coinglass.will_answer(Answer(body, headers={"Content-Encoding": encoding} if encoding else {}))
    client = make_client(max_bytes=1_000_000)
    tracemalloc.start()
    with pytest.raises(CoinglassBadReply, match="PEPE 7d: the reply is larger than 1000000 bytes"):
        client.heatmap("PEPE", "7d")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The server copies half of the plain body to send it.
    assert peak < 6_000_000 + (len(body) if encoding is None else 0)
    assert 1 == len(coinglass.asked)


def test_a_reply_that_swells_without_an_announcement_is_cut_off() -> None:
    """No Content-Length: it is cut at the bound, not at the end, which never comes."""
    pieces = lambda: chain([HEAD + b"Connection: close\r\n\r\n"], repeat(b" " * 100_000))  # noqa: E731
    with dripping(pieces, 0.0) as url:
        transport = Transport(url, SecretStr("key"), timeout_s=10, max_bytes=3_000_000)
        with pytest.raises(CoinglassBadReply, match="larger than 3000000"):
            transport.get("/x", {}, "endless map")
        transport.close()


def test_a_gzip_of_very_many_members_is_given_up(coinglass: Loopback, make_client: ClientMaker) -> None:
    """A few members are read; 200,000 empty ones in 4 MB would take minutes of copying."""
    headers = {"Content-Encoding": "gzip"}
    half = len(heatmap_body()) // 2
    pieces = gzip.compress(heatmap_body()[:half]) + gzip.compress(heatmap_body()[half:])
    coinglass.will_answer(
        Answer(pieces, headers=headers), Answer(gzip.compress(b"") * 200_000, headers=headers)
    )
    client = make_client()
    assert 4 == client.heatmap("PEPE", "7d").values.size
    with pytest.raises(CoinglassUnavailable, match="PEPE 7d"):
        client.heatmap("PEPE", "7d")


def test_connections_are_reused_whatever_was_answered(coinglass: Loopback, make_client: ClientMaker) -> None:
    """200 calls of 4 threads, among them refusals, empty maps and compressed ones: 4 connections."""
    good = Answer(gzip.compress(heatmap_body()), headers={"Content-Encoding": "gzip"})
    kinds = [
        good,
        Answer(error_body("400", "The requested coin is not supported")),
        Answer(error_body("404", "Endpoint not found"), status=404),
        Answer(envelope(None)),
        good,
    ]
    coinglass.will_answer(*(kinds * 40), good)
    client = make_client()
    together = threading.Barrier(4)
    refused: list[str] = []

    def fetch(_: int) -> None:
        together.wait(5)
        for _ in range(50):
            try:
                client.heatmap("PEPE", "7d")
            except WhalestackError as error:
                refused.append(type(error).__name__)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fetch, range(4)))
    assert {"CoinglassRefused", "CoinglassNoMap"} == set(refused)
    assert 200 == len(coinglass.asked)
    assert 4 == coinglass.connections


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(error_body("401", "Upgrade plan")), CoinglassNotInPlan),
        (Answer(error_body("403", "not available for your current API plan.")), CoinglassNotInPlan),
        (Answer(error_body("40001", "Upgrade plan")), CoinglassNotInPlan),
        (Answer(error_body("401", "Invalid")), CoinglassNotAllowed),
        (Answer(error_body("400", "Invalid API key provided")), CoinglassNotAllowed),
    ],
    ids=str,
)
def test_a_small_plan_is_not_taken_for_a_wrong_key(
    coinglass: Loopback, client: CoinglassClient, answer: Answer, expected: type[Exception]
) -> None:
    """One concerns a range, the other one everything."""
    coinglass.will_answer(answer)
    with pytest.raises(CoinglassNotAllowed) as caught:
        client.heatmap("PEPE", "1y")
    assert expected is type(caught.value)


@pytest.mark.parametrize("code", ["429", "50001"])
def test_a_rate_limit_in_the_body_of_a_200_pauses_everybody(
    coinglass: Loopback, client: CoinglassClient, budget: OpenBudget, code: str
) -> None:
    """As one in the status does."""
    coinglass.will_answer(Answer(error_body(code, "Too many")), Answer())
    client.heatmap("PEPE", "7d")
    assert [5.0, 0.0] == [permit.pause_s for permit in budget.permits]


def test_no_attempt_begins_after_the_callers_time(coinglass: Loopback, make_client: ClientMaker) -> None:
    """The first attempt uses the time up; the second would have succeeded and is not made."""
    coinglass.will_answer(Answer(drip_s=0.2), Answer())
    with pytest.raises(CoinglassUnavailable):
        make_client(timeout_s=0.15).heatmap("PEPE", "7d", within_s=0.1)
    assert 1 == len(coinglass.asked)


def test_the_budget_is_asked_to_wait_no_longer_than_the_caller_has(make_client: ClientMaker) -> None:
    """A client may wait a second; this caller has a tenth of one."""
    waited: list[float] = []

    class NoCalls(OpenBudget):
        @contextmanager
        def call(self, *, urgent: bool, wait_s: float) -> Iterator[None]:  # type: ignore[override]
            waited.append(wait_s)
            raise BudgetExhausted("none")
            yield

    client = make_client()
    client._budget = NoCalls()
    with pytest.raises(BudgetExhausted):
        client.heatmap("PEPE", "7d", within_s=0.1)
    with pytest.raises(BudgetExhausted):
        client.heatmap("PEPE", "7d")
    assert waited[0] <= 0.1
    assert 1.0 == waited[1]


def decode(**changes: object) -> object:
    return decode_heatmap(heatmap_body(**changes), "PEPE", "7d")


def test_levels_that_coincide_are_kept() -> None:
    """Of a coin at 0.000007 two levels may be the same figure after rounding: no reason to lose the map."""
    heatmap = decode_heatmap(heatmap_body(y_axis=[98.0, 99.0, 99.0, 101.0, 102.0]), "PEPE", "7d")
    assert [98.0, 99.0, 99.0, 101.0, 102.0] == heatmap.y_axis.tolist()
    assert [3001.0, 3002.0, 3003.0, 3004.0] == heatmap.values.tolist()


def test_levels_in_disorder_keep_their_values() -> None:
    """98 comes third there and holds what the third level holds."""
    heatmap = decode_heatmap(heatmap_body(y_axis=[100.0, 102.0, 98.0, 101.0, 99.0]), "PEPE", "7d")
    at = dict(zip(heatmap.y_axis[heatmap.ys].tolist(), heatmap.values.tolist(), strict=True))
    assert {102.0: 3001.0, 98.0: 3002.0, 101.0: 3003.0, 99.0: 3004.0} == at


@pytest.mark.parametrize("figure", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"0x10", b"1_000"])
@pytest.mark.parametrize("all_columns", [False, True])
def test_figures_that_are_no_numbers_are_named(figure: bytes, all_columns: bool) -> None:
    """In the levels and in the cells, whichever way they are read."""
    for sound in (b"99.0", b"3002.0"):
        body = heatmap_body().replace(sound, figure)
        assert figure in body
        with pytest.raises((CoinglassBadReply, CoinglassUnreadable), match="PEPE 7d"):
            decode_heatmap(body, "PEPE", "7d", all_columns=all_columns)


def test_an_empty_map_and_an_unknown_coin_are_told_apart_from_a_broken_one() -> None:
    """No map is a fact about a coin, a broken one about a reply."""
    with pytest.raises(CoinglassNoMap):
        decode(liquidation_leverage_data=[])
    with pytest.raises(CoinglassBadReply):
        decode(liquidation_leverage_data="")
    with pytest.raises(CoinglassBadReply, match="columns stop short"):
        decode(liquidation_leverage_data=[[1, 1, 5.0]])


def test_rate_limited_calls_are_told_from_refused_ones(coinglass: Loopback, client: CoinglassClient) -> None:
    """Three times the same answer: the error says so, and the round's other maps go on after the pause."""
    coinglass.will_answer(Answer(error_body("50001", "")))
    with pytest.raises(CoinglassRateLimited):
        client.heatmap("PEPE", "7d")
