"""CoinGlass's REST API as the simulator speaks it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from tests.simulator.served_world import KEY, Served, served, small_world
from whalestack.config import Settings
from whalestack.simulator.coin_names import coin_of, coins_by_name
from whalestack.simulator.coinglass_api import CallBudget

HEATMAP = "/api/futures/liquidation/aggregated-heatmap/model2"


@pytest.fixture(scope="module")
def simulator() -> Iterator[Served]:
    """Twelve coins whose market stands still."""
    with served(small_world(Settings(_env_file=None), coins=14)) as running:
        yield running


def code(reply: requests.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["code"]


def test_a_heat_map_comes_in_the_envelope_with_the_limits_told(simulator: Served) -> None:
    reply = simulator.get(HEATMAP, symbol="BTC", range="24h")
    assert (200, "0") == code(reply)
    assert "1200" == reply.headers["API-KEY-MAX-LIMIT"]
    assert 1 <= int(reply.headers["API-KEY-USE-LIMIT"]) <= 1200
    assert 288 == len(reply.json()["data"]["price_candlesticks"])


def test_a_coin_of_thousands_is_served_under_its_own_name(simulator: Served) -> None:
    """PEPE, not 1000PEPE, and at a thousandth of the contract's price."""
    contract = simulator.world.market.ticker("1000PEPEUSDT").last
    last = simulator.get(HEATMAP, symbol="PEPE", range="12h").json()["data"]["price_candlesticks"][-1]
    assert contract / 1000 == pytest.approx(float(last[4]), rel=1e-6)
    assert (200, "400") == code(simulator.get(HEATMAP, symbol="1000PEPE", range="12h"))


def test_without_a_key_the_answer_is_30001(simulator: Served) -> None:
    reply = requests.get(f"{simulator.url}{HEATMAP}?symbol=BTC&range=24h", timeout=10)
    assert (200, {"code": "30001", "msg": "API key missing"}) == (reply.status_code, reply.json())


def test_a_wrong_key_is_refused(simulator: Served) -> None:
    reply = requests.get(f"{simulator.url}{HEATMAP}", headers={"CG-API-KEY": "no"}, timeout=10)
    assert {"code": "400", "msg": "Invalid API key provided"} == reply.json()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"symbol": "BTC"}, "Required String parameter 'range' is not present"),
        ({"range": "24h"}, "Required String parameter 'symbol' is not present"),
        ({"symbol": "BTC", "range": "14d"}, "The requested range is not supported"),
        (
            {"symbol": "NOSUCH", "range": "24h"},
            "The requested coin is not supported. Please check supported-coins.",
        ),
    ],
)
def test_a_bad_question_is_refused_by_name(simulator: Served, params: dict[str, str], message: str) -> None:
    reply = simulator.get(HEATMAP, **params)
    assert (200, "400") == code(reply)
    assert message == reply.json()["msg"]


def test_a_wrong_path_is_404_in_coinglass_words(simulator: Served) -> None:
    assert (404, "404") == code(simulator.get("/api/futures/no-such-thing"))


def test_a_pair_is_asked_by_exchange_and_its_own_symbol(simulator: Served) -> None:
    path = "/api/futures/liquidation/heatmap/model1"
    pair = simulator.get(path, exchange="Bybit", symbol="1000PEPEUSDT", range="24h")
    assert 127 == len(pair.json()["data"]["y_axis"])
    wrong = simulator.get(path, exchange="Nowhere", symbol="BTCUSDT", range="24h")
    assert "The requested pair does not exist" in wrong.json()["msg"]


def test_supported_coins_hold_every_coin_and_some_that_bybit_lacks(simulator: Served) -> None:
    names = simulator.get("/api/futures/supported-coins").json()["data"]
    assert {"BTC", "ETH", "PEPE", "XMR", "KAS"} <= set(names)
    assert len(names) == len(set(names))


def test_markets_come_in_pages(simulator: Served) -> None:
    pages = [
        simulator.get("/api/futures/coins-markets", per_page=5, page=page).json()["data"]
        for page in (1, 2, 3, 4)
    ]
    assert [5, 5, 4, 0] == [len(page) for page in pages]
    assert 14 == len({row["symbol"] for page in pages for row in page})
    assert {"open_interest_usd", "price_change_percent_5m", "open_interest_change_percent_24h"} <= set(
        pages[0][0]
    )


def test_price_changes_are_those_of_the_candles(simulator: Served) -> None:
    rows = {row["symbol"]: row for row in simulator.get("/api/futures/coins-price-change").json()["data"]}
    market = simulator.world.market
    closes = market.candles("BTCUSDT", 300, end_ms=market.now_ms, limit=13).close
    expected = (closes[-1] / closes[-13] - 1) * 100
    assert rows["BTC"]["price_change_percent_1h"] == pytest.approx(expected, abs=0.006)


def test_max_pain_lies_on_its_side_of_the_price(simulator: Served) -> None:
    rows = simulator.get("/api/futures/liquidation/max-pain", range="24h").json()["data"]
    assert 14 == len(rows)
    for row in rows:
        assert row["long_max_pain_liq_price"] < row["price"] < row["short_max_pain_liq_price"]


def test_the_liquidation_map_has_the_recorded_shape(simulator: Served) -> None:
    """One entry for each exchange; `[price, usd, null, null]` under the price's text."""
    data = simulator.get("/api/futures/liquidation/aggregated-map", symbol="BTC", range="1d").json()["data"]
    assert ["Binance", "Bybit", "OKX"] == [entry["instrument"]["exName"] for entry in data["data"]]
    text, rows = next(iter(data["data"][0]["liqMapV2"].items()))
    assert float(text) == rows[0][0]
    assert [None, None] == rows[0][2:]


def test_histories_are_candles_with_numbers_as_strings(simulator: Served) -> None:
    interest = simulator.get(
        "/api/futures/open-interest/aggregated-history", symbol="BTC", interval="1h", limit=3
    ).json()["data"]
    assert 3 == len(interest)
    assert all(isinstance(interest[0][name], str) for name in ("open", "high", "low", "close"))
    price = simulator.get(
        "/api/futures/price/history", exchange="Bybit", symbol="BTCUSDT", interval="5m", limit=2
    ).json()["data"]
    assert simulator.world.market.ticker("BTCUSDT").last == float(price[-1]["close"])


def test_the_plan_is_professional(simulator: Served) -> None:
    data = simulator.get("/api/user/account/subscription").json()["data"]
    assert ("PROFESSIONAL", False) == (data["level"], data["expired"])


def test_the_minute_slides_in_real_time() -> None:
    """Three calls a minute: the fourth waits until the first is sixty seconds old."""
    moment = [0.0]
    budget = CallBudget(3, lambda: moment[0])
    assert [True, True, True, False] == [budget.take() for _ in range(4)]
    assert {"API-KEY-MAX-LIMIT": "3", "API-KEY-USE-LIMIT": "3"} == budget.headers()
    moment[0] = 59.9
    assert not budget.take()
    moment[0] = 60.0
    assert budget.take()


def test_too_many_calls_are_429_with_the_headers(settings: Settings) -> None:
    world = small_world(settings, coins=2, simulator_coinglass_calls_per_min=3)
    with served(world) as running:
        replies = [running.get("/api/futures/supported-coins") for _ in range(5)]
        assert [200, 200, 200, 429, 429] == [reply.status_code for reply in replies]
        assert "429" == replies[-1].json()["code"]
        assert ("3", "3") == tuple(
            replies[-1].headers[name] for name in ("API-KEY-MAX-LIMIT", "API-KEY-USE-LIMIT")
        )
        counts = requests.get(f"{running.url}/sim/stats", timeout=10).json()["coinglass"]
        assert {"ok": 3, "code_429": 2} == counts
        assert KEY not in str(counts)


@pytest.mark.parametrize(
    ("symbol", "name", "size"),
    [
        ("BTCUSDT", "BTC", 1),
        ("1000PEPEUSDT", "PEPE", 1000),
        ("10000SATSUSDT", "SATS", 10_000),
        ("1000000MOGUSDT", "MOG", 1_000_000),
        ("SHIB1000USDT", "SHIB", 1000),
        ("1INCHUSDT", "1INCH", 1),
    ],
)
def test_contracts_of_many_coins_are_known_by_their_name(symbol: str, name: str, size: float) -> None:
    coin = coin_of(symbol)
    assert (name, size) == (coin.name, coin.contract_size)


def test_of_two_contracts_of_one_coin_the_first_stands() -> None:
    assert "BTCUSDT" == coins_by_name(["BTCUSDT", "1000BTCUSDT"])["BTC"].symbol
