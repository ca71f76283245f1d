"""The client over real HTTP: what it sends, how it reads, what it repeats, what it counts."""

from __future__ import annotations

import gzip
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.coinglass.conftest import KEY, Answer, ClientMaker, Loopback, OpenBudget
from tests.coinglass.replies import envelope, error_body, heatmap_body
from whalestack.clients.coinglass.client import CoinglassClient
from whalestack.clients.coinglass.errors import (
    CoinglassBadReply,
    CoinglassNoMap,
    CoinglassNotAllowed,
    CoinglassRateLimited,
    CoinglassRefused,
    CoinglassUnavailable,
    CoinglassUnreadable,
)
from whalestack.clients.coinglass.types import CoinMarket, EndpointUsage
from whalestack.errors import GiveUp, StopAndTell, TryAgain

HEATMAP_PATH = "/api/futures/liquidation/aggregated-heatmap/model2"


def test_a_map_is_asked_for_as_the_contract_says(coinglass: Loopback, client: CoinglassClient) -> None:
    """Path of the model, coin and range in the query, key in its header, compressed."""
    heatmap = client.heatmap("PEPE", "7d")
    (asked,) = coinglass.asked
    assert (HEATMAP_PATH, {"symbol": "PEPE", "range": "7d"}) == (asked.path, asked.query)
    assert (KEY, "gzip") == (asked.key, asked.encoding)
    assert ("PEPE", "7d", 100.0) == (heatmap.coin, heatmap.timeframe, heatmap.price)


def test_compressed_replies_are_read(coinglass: Loopback, client: CoinglassClient) -> None:
    """gzip is undone on the way."""
    coinglass.will_answer(Answer(gzip.compress(heatmap_body()), headers={"Content-Encoding": "gzip"}))
    assert 4 == client.heatmap("PEPE", "7d").values.size


def test_connections_are_kept(coinglass: Loopback, client: CoinglassClient) -> None:
    """Twenty calls of one thread use one connection."""
    for _ in range(20):
        client.heatmap("PEPE", "7d")
    assert 1 == coinglass.connections


def test_each_thread_has_its_own_connection(coinglass: Loopback, client: CoinglassClient) -> None:
    """Four threads at once, four connections, no mixed replies."""
    together = threading.Barrier(4)

    def fetch(_: int) -> int:
        together.wait(5)
        return [client.heatmap("PEPE", "7d").values.size for _ in range(5)].count(4)

    with ThreadPoolExecutor(4) as pool:
        assert [5, 5, 5, 5] == list(pool.map(fetch, range(4)))
    assert 4 == coinglass.connections


@pytest.mark.parametrize(
    ("answer", "expected", "attempts"),
    [
        (Answer(error_body("500", "Server Error")), CoinglassUnavailable, 3),
        (Answer(error_body("30001", "API key missing")), CoinglassUnavailable, 3),
        (Answer(error_body("429", "Too many")), CoinglassRateLimited, 3),
        (Answer(error_body("50001", "")), CoinglassRateLimited, 3),
        (Answer(b"", status=502), CoinglassUnavailable, 3),
        (Answer(b"busy", status=503), CoinglassUnavailable, 3),
        (Answer(b"", status=429), CoinglassRateLimited, 3),
        (Answer(heatmap_body()[:100]), CoinglassUnreadable, 3),
        (Answer(cut=True), CoinglassUnavailable, 3),
        (Answer(b"not gzip", headers={"Content-Encoding": "gzip"}), CoinglassUnavailable, 3),
        (Answer(error_body("401", "Upgrade plan")), CoinglassNotAllowed, 1),
        (Answer(error_body("403", "The requested interval is not available")), CoinglassNotAllowed, 1),
        (Answer(error_body("400", "Invalid API key provided")), CoinglassNotAllowed, 1),
        (Answer(error_body("40001", "Upgrade plan")), CoinglassNotAllowed, 1),
        (Answer(b"", status=401), CoinglassNotAllowed, 1),
        (Answer(error_body("400", "Required String parameter 'range'")), CoinglassRefused, 1),
        (Answer(error_body("404", "Endpoint not found"), status=404), CoinglassRefused, 1),
        (Answer(error_body("422", "")), CoinglassRefused, 1),
        (Answer(error_body("9999", "never seen")), CoinglassRefused, 1),
        (Answer(envelope(None)), CoinglassNoMap, 1),
        (Answer(heatmap_body(y_axis=["a"])), CoinglassBadReply, 1),
    ],
    ids=str,
)
def test_each_answer_is_an_error_by_what_to_do(
    coinglass: Loopback, client: CoinglassClient, answer: Answer, expected: type[Exception], attempts: int
) -> None:
    """Its class, whether it was tried again, and coin and range in its words."""
    coinglass.will_answer(answer)
    with pytest.raises(expected, match="heat map of PEPE 7d"):
        client.heatmap("PEPE", "7d")
    assert attempts == len(coinglass.asked)


def test_errors_stand_where_the_system_looks_for_them() -> None:
    """What may be repeated, what may not, what the owner must change."""
    assert issubclass(CoinglassRateLimited, TryAgain)
    assert issubclass(CoinglassNoMap, GiveUp)
    assert issubclass(CoinglassNotAllowed, StopAndTell)


def test_a_passing_fault_is_not_seen(coinglass: Loopback, client: CoinglassClient) -> None:
    """30001 comes sporadically with a right key."""
    coinglass.will_answer(
        Answer(error_body("30001", "API key missing")), Answer(b"", status=500), Answer(heatmap_body())
    )
    assert 4 == client.heatmap("PEPE", "7d").values.size


def test_a_reply_that_drips_is_cut_off(coinglass: Loopback, make_client: ClientMaker) -> None:
    """The deadline is for the whole reply: each half comes in time, both together do not."""
    coinglass.will_answer(Answer(drip_s=0.15))
    with pytest.raises(CoinglassUnavailable, match=r"PEPE 7d: no whole reply within 0\.2 s"):
        make_client(timeout_s=0.2).heatmap("PEPE", "7d")


def test_a_silent_server_is_left(coinglass: Loopback, make_client: ClientMaker) -> None:
    """Nothing within the time-out."""
    coinglass.will_answer(Answer(drip_s=0.5))
    with pytest.raises(CoinglassUnavailable, match="PEPE 7d"):
        make_client(timeout_s=0.05).heatmap("PEPE", "7d")


@pytest.mark.parametrize("compressed", [False, True])
def test_a_huge_reply_is_refused(coinglass: Loopback, make_client: ClientMaker, compressed: bool) -> None:
    """50 MB against a bound of 1 MB, plain and as a small file that swells: named, not repeated."""
    body = b" " * 50_000_000
    headers = {"Content-Encoding": "gzip"} if compressed else {}
    coinglass.will_answer(Answer(gzip.compress(body, 1) if compressed else body, headers=headers))
    with pytest.raises(CoinglassBadReply, match="PEPE 7d: the reply is larger than 1000000 bytes"):
        make_client(max_bytes=1_000_000).heatmap("PEPE", "7d")
    assert 1 == len(coinglass.asked)


def test_the_next_call_after_a_huge_reply_is_clean(coinglass: Loopback, make_client: ClientMaker) -> None:
    """The rest of the huge reply is not taken for the next one."""
    coinglass.will_answer(Answer(b" " * 2_000_000), Answer(heatmap_body()))
    client = make_client(max_bytes=1_000_000)
    with pytest.raises(CoinglassBadReply):
        client.heatmap("PEPE", "7d")
    assert 4 == client.heatmap("PEPE", "7d").values.size


def test_without_a_key_nothing_is_sent(coinglass: Loopback, make_client: ClientMaker) -> None:
    """The owner is told which setting is missing."""
    with pytest.raises(CoinglassNotAllowed, match="COINGLASS_API_KEY is not set"):
        make_client(key="").heatmap("PEPE", "7d")
    assert [] == coinglass.asked


def test_the_key_is_in_no_error(coinglass: Loopback, client: CoinglassClient) -> None:
    """Secrets never reach a log."""
    coinglass.will_answer(Answer(error_body("400", "Invalid API key provided")))
    with pytest.raises(CoinglassNotAllowed) as caught:
        client.heatmap("PEPE", "7d")
    assert KEY not in str(caught.value)


def test_the_budget_is_told_what_the_server_counts(
    coinglass: Loopback, client: CoinglassClient, budget: OpenBudget
) -> None:
    """Limit and use come from the headers; nonsense in them is not believed."""
    coinglass.will_answer(
        Answer(headers={"API-KEY-MAX-LIMIT": "300", "API-KEY-USE-LIMIT": "7"}),
        Answer(headers={"API-KEY-MAX-LIMIT": "many", "API-KEY-USE-LIMIT": "-1"}),
    )
    client.heatmap("PEPE", "7d")
    client.heatmap("PEPE", "7d", urgent=True)
    assert [(True, 300, 7), (True, None, None)] == [
        (permit.answered, permit.limit_per_min, permit.used) for permit in budget.permits
    ]
    assert [False, True] == budget.urgent


def test_every_attempt_takes_its_own_call(
    coinglass: Loopback, client: CoinglassClient, budget: OpenBudget
) -> None:
    """Two failures and a success are three calls of the budget; a 429 pauses everyone."""
    coinglass.will_answer(
        Answer(b"", status=429, headers={"Retry-After": "7"}), Answer(b"", status=500), Answer()
    )
    client.heatmap("PEPE", "7d")
    assert [7.0, 0.0, 0.0] == [permit.pause_s for permit in budget.permits]


def test_a_broken_connection_leaves_its_call_unanswered(
    coinglass: Loopback, make_client: ClientMaker, budget: OpenBudget
) -> None:
    """Such a call may still arrive at the server, so the budget must keep counting it."""
    coinglass.will_answer(Answer(drip_s=0.5))
    with pytest.raises(CoinglassUnavailable):
        make_client(timeout_s=0.05).heatmap("PEPE", "7d")
    assert [False, False, False] == [permit.answered for permit in budget.permits]


def test_calls_are_counted_for_each_endpoint(coinglass: Loopback, client: CoinglassClient) -> None:
    """Calls, errors and 429s since the last time they were taken."""
    coinglass.will_answer(Answer(b"", status=429), Answer(headers={"API-KEY-MAX-LIMIT": "80"}))
    client.heatmap("PEPE", "7d")
    assert [EndpointUsage(HEATMAP_PATH, 2, 1, 1, 80)] == client.take_usage()
    assert [] == client.take_usage()


def test_supported_coins_are_read(coinglass: Loopback, client: CoinglassClient) -> None:
    """Names in upper case; an empty list is not believed."""
    coinglass.will_answer(Answer(envelope(["BTC", "Pepe", "1INCH"])), Answer(envelope([])))
    assert {"BTC", "PEPE", "1INCH"} == client.supported_coins()
    with pytest.raises(CoinglassBadReply, match="supported coins: the list is empty"):
        client.supported_coins()


def test_coin_markets_are_read_page_by_page(coinglass: Loopback, client: CoinglassClient) -> None:
    """Until a page brings nothing new; numbers may be strings or missing."""
    first = [{"symbol": "BTC", "current_price": "96460.1", "market_cap_usd": 2e12}, {"symbol": "ETH"}]
    coinglass.will_answer(
        Answer(envelope(first)), Answer(envelope([{"symbol": "SOL"}])), Answer(envelope(None))
    )
    rows = client.coin_markets()
    assert ["BTC", "ETH", "SOL"] == [row.coin for row in rows]
    assert CoinMarket("BTC", 96460.1, 2e12, None, None, None) == rows[0]
    assert ["1", "2", "3"] == [asked.query["page"] for asked in coinglass.asked]


def test_a_server_that_ignores_the_page_is_left(coinglass: Loopback, client: CoinglassClient) -> None:
    """The same page again and again ends after the second."""
    coinglass.will_answer(Answer(envelope([{"symbol": "BTC"}])))
    assert 1 == len(client.coin_markets())
    assert 2 == len(coinglass.asked)


def test_max_pain_is_read(coinglass: Loopback, client: CoinglassClient) -> None:
    """The recorded row of BTC."""
    row = {
        "symbol": "BTC",
        "price": 76729.6,
        "long_max_pain_liq_level": 40574087.23,
        "long_max_pain_liq_price": 76311.34,
        "short_max_pain_liq_level": "64345225.77",
        "short_max_pain_liq_price": 78618.97,
    }
    coinglass.will_answer(Answer(envelope([row])))
    (pain,) = client.max_pain("24h")
    assert (76311.34, 64345225.77) == (pain.long_price, pain.short_usd)


def test_subscription_is_read(coinglass: Loopback, client: CoinglassClient) -> None:
    """The documented reply."""
    coinglass.will_answer(
        Answer(envelope({"level": "PROFESSIONAL", "expire_time": 1805943491000, "expired": False}))
    )
    found = client.subscription()
    assert ("PROFESSIONAL", 2027, False) == (
        found.level,
        found.expires_at and found.expires_at.year,
        found.expired,
    )
