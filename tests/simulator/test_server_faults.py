"""Faults on request, over the wire, and the control paths."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import requests

from tests.simulator.served_world import Served, served, small_world
from whalestack.config import Settings
from whalestack.errors import GiveUp
from whalestack.simulator.faults import FaultKind, FaultRule, Faults, SocketDropped, parse_rule

COINS = "/api/futures/supported-coins"
RULE = f"GET {COINS}"


@pytest.fixture(scope="module")
def running() -> Iterator[Served]:
    with served(small_world(Settings(_env_file=None), coins=3)) as simulator:
        yield simulator


@pytest.fixture
def simulator(running: Served) -> Iterator[Served]:
    """The same server for each test, with no rule left over."""
    yield running
    requests.delete(f"{running.url}/sim/faults", timeout=10)


def inject(simulator: Served, kind: str, **more: object) -> None:
    rule = {"endpoint": RULE, "kind": kind, "times": 1, **more}
    assert 200 == simulator.post("/sim/faults", rule).status_code


def taken(simulator: Served) -> int:
    """Calls that reached CoinGlass's API."""
    return simulator.inside(lambda: sum(simulator.world.coinglass_counts.values()))


def test_latency_delays_and_answers(simulator: Served) -> None:
    inject(simulator, "latency", delay_ms=300)
    began = time.monotonic()
    assert "0" == simulator.get(COINS).json()["code"]
    assert time.monotonic() - began >= 0.3


def test_a_500_comes_before_anything_is_done_and_once(simulator: Served) -> None:
    inject(simulator, "http_500")
    before = taken(simulator)
    assert [500, 200] == [simulator.get(COINS).status_code for _ in range(2)]
    assert 1 == taken(simulator) - before


def test_a_500_after_comes_when_all_is_done(simulator: Served) -> None:
    inject(simulator, "http_500_after")
    before = taken(simulator)
    assert 500 == simulator.get(COINS).status_code
    assert 1 == taken(simulator) - before


@pytest.mark.parametrize(("kind", "done"), [("timeout_before", 0), ("timeout_after", 1)])
def test_a_timeout_never_answers_whether_done_or_not(simulator: Served, kind: str, done: int) -> None:
    inject(simulator, kind, delay_ms=30_000)
    before = taken(simulator)
    with pytest.raises(requests.Timeout):
        requests.get(f"{simulator.url}{COINS}", headers={"CG-API-KEY": "test-coinglass-key"}, timeout=0.5)
    assert done == taken(simulator) - before


def test_a_timeout_that_is_over_breaks_the_connection(simulator: Served) -> None:
    inject(simulator, "timeout_before", delay_ms=100)
    with pytest.raises(requests.ConnectionError):
        simulator.get(COINS)


def test_an_error_code_comes_with_http_200(simulator: Served) -> None:
    inject(simulator, "code", code="401", message="Upgrade plan")
    reply = simulator.get(COINS)
    assert (200, {"code": "401", "msg": "Upgrade plan"}) == (reply.status_code, reply.json())


def test_a_429_is_worded_as_each_api_words_it(simulator: Served) -> None:
    simulator.post("/sim/faults", {"endpoint": "* /*", "kind": "http_429", "times": 4})
    coinglass, bybit, telegram, x = (
        requests.get(f"{simulator.url}{path}", timeout=10)
        for path in (COINS, "/v5/market/time", "/bot1:x/getMe", "/2/users/me")
    )
    assert {429} == {reply.status_code for reply in (coinglass, bybit, telegram, x)}
    assert ("429", 429) == (coinglass.json()["code"], bybit.json()["retCode"])
    assert 1 == telegram.json()["parameters"]["retry_after"]
    assert "0" == x.headers["x-rate-limit-remaining"]


def test_a_garbled_answer_is_no_json(simulator: Served) -> None:
    inject(simulator, "garbled")
    with pytest.raises(requests.JSONDecodeError):
        simulator.get(COINS).json()


def test_what_was_injected_is_counted(simulator: Served) -> None:
    before = requests.get(f"{simulator.url}/sim/stats", timeout=10).json()["faults"].get("http_500", 0)
    inject(simulator, "http_500")
    simulator.get(COINS)
    assert before + 1 == requests.get(f"{simulator.url}/sim/stats", timeout=10).json()["faults"]["http_500"]


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "http_500"},
        {"endpoint": "*", "kind": "nonsense"},
        [],
        "x",
        {"endpoint": "*", "kind": "code", "odd": 1},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(simulator: Served, body: object) -> None:
    reply = simulator.post("/sim/faults", body)
    assert (400, False) == (reply.status_code, reply.json()["ok"])


def test_control_paths_are_never_hit(simulator: Served) -> None:
    simulator.post("/sim/faults", {"endpoint": "*", "kind": "http_500"})
    assert 200 == requests.get(f"{simulator.url}/sim/health", timeout=10).status_code


def test_a_pushed_price_is_the_price(simulator: Served) -> None:
    target = simulator.world.market.ticker("BTCUSDT").last * 1.05
    reply = simulator.post("/sim/price", {"symbol": "BTCUSDT", "price": target})
    assert target == pytest.approx(reply.json()["price"], rel=1e-5)
    assert reply.json()["price"] == simulator.world.market.ticker("BTCUSDT").last
    assert 400 == simulator.post("/sim/price", {"symbol": "NOSUCH", "price": 1}).status_code


def test_bybit_s_clock_can_be_put_ahead(simulator: Served) -> None:
    """What a client sees whose own clock has jumped: the server's time is off by that much."""

    def server_ahead_ms() -> float:
        told = requests.get(f"{simulator.url}/v5/market/time", timeout=10).json()["result"]["timeNano"]
        return int(told) / 1e6 - time.time() * 1000

    assert {"bybit_real_ms"} == set(simulator.post("/sim/clock", {"ahead_ms": 60_000}).json())
    assert server_ahead_ms() == pytest.approx(60_000, abs=2000)
    simulator.post("/sim/clock", {"ahead_ms": 0})
    assert server_ahead_ms() == pytest.approx(0, abs=2000)
    assert 400 == simulator.post("/sim/clock", {}).status_code


def test_what_was_said_can_be_read(simulator: Served) -> None:
    said = requests.get(f"{simulator.url}/sim/messages", timeout=10).json()
    assert {"telegram": [], "x": []} == said


def test_health_says_what_is_played(simulator: Served) -> None:
    health = requests.get(f"{simulator.url}/sim/health", timeout=10).json()
    assert (True, 3, False) == (health["ok"], health["coins"], health["ended"])
    assert "open_interest" in health["derived_data"]


def test_events_can_be_asked_for(simulator: Served) -> None:
    assert (
        []
        == requests.get(f"{simulator.url}/sim/events", params={"kind": "fill"}, timeout=10).json()["events"]
    )


# --- the rules themselves -----------------------------------------------------------------


def test_the_same_seed_strikes_the_same_calls() -> None:
    def run() -> list[bool]:
        rule = FaultRule("GET /a", FaultKind.HTTP_500, probability=0.5, seed=4)
        return [rule.strikes("GET /a") for _ in range(50)]

    assert run() == run()
    assert 10 < sum(run()) < 40


def test_a_rule_hits_only_its_endpoint_and_only_so_often() -> None:
    rule = FaultRule("* /v5/order/*", FaultKind.HTTP_500, times=2)
    struck = [rule.strikes(path) for path in ("GET /v5/market/time", *["POST /v5/order/create"] * 3)]
    assert [False, True, True, False] == struck


def test_a_rule_ends_with_its_time() -> None:
    rule = parse_rule({"endpoint": "GET /a", "kind": "http_500", "lasts_s": 0})
    assert not rule.strikes("GET /a")


def frames_through(kind: str, frames: list[str], **more: object) -> list[str]:
    faults = Faults()
    faults.add(parse_rule({"endpoint": "WS /p", "kind": kind, "times": 1, **more}))
    return [sent for text in frames for sent in faults.frames("socket", "WS /p", text)]


def test_frames_are_lost_doubled_or_reordered() -> None:
    assert ["2", "3"] == frames_through("ws_silence", ["1", "2", "3"])
    assert ["1", "1", "2"] == frames_through("ws_duplicate", ["1", "2"])
    assert ["2", "1", "3"] == frames_through("ws_reorder", ["1", "2", "3"])
    assert ["pong", "2"] == frames_through("ws_silence", ["pong", "order", "2"], contains="order")


def test_a_drop_is_an_exception_for_the_socket() -> None:
    with pytest.raises(SocketDropped):
        frames_through("ws_drop", ["1"])


def test_a_held_frame_of_a_gone_socket_is_forgotten() -> None:
    faults = Faults()
    faults.add(FaultRule("*", FaultKind.WS_REORDER, times=1))
    assert () == faults.frames("a", "WS /p", "1")
    faults.forget("a")
    assert ("2",) == faults.frames("a", "WS /p", "2")


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(GiveUp, match="http_500"):
        parse_rule({"endpoint": "*", "kind": "meteor"})
