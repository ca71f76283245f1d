"""A real round over coins of which each has another problem: the others' maps come, and each is named."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator

import pytest
import redis
from pydantic import SecretStr
from sqlalchemy import select

from tests.coinglass.conftest import KEY, Answer, Asked, Loopback
from tests.coinglass.replies import FIRST_S, envelope, error_body, heatmap_body, heatmap_data
from tests.scanners.heatmap_parts import add_coins
from whalestack.clients.coinglass.budget import RedisCallBudget
from whalestack.clients.coinglass.client import CoinglassClient
from whalestack.clients.coinglass.transport import Transport
from whalestack.clock import ManualClock
from whalestack.config import Settings
from whalestack.db.engine import Database
from whalestack.db.map_failures import map_failures
from whalestack.db.map_heads import map_ages
from whalestack.db.models import RefreshRound
from whalestack.dispatch import RecordingDispatcher
from whalestack.math.timeframes import SERVED_TIMEFRAMES, TIMEFRAMES
from whalestack.scanners.heatmap import HeatmapScanner

NOW_MS = (FIRST_S + 1200) * 1000
MOST_BYTES = 200_000
THREADS = 16
GOOD = ("ALPHA", "OMEGA")
DATA = heatmap_data()
SHORT = [cell for cell in DATA["liquidation_leverage_data"] if cell[0] < 2]
DAY_S = 86_400

# By coin: what CoinGlass answers for it, and what must be said of it.
PROBLEMS: dict[str, tuple[Answer, str]] = {
    "UNKNOWN": (Answer(error_body("400", "The requested coin is not supported")), "answered 400"),
    "EMPTY": (Answer(envelope(None)), "no such map"),
    "HOLLOW": (Answer(heatmap_body(liquidation_leverage_data=[])), "no such map"),
    "SHORT": (Answer(heatmap_body(liquidation_leverage_data=SHORT)), "columns stop short at 2 of 4"),
    "STALE": (
        Answer(
            heatmap_body(
                price_candlesticks=[[row[0] - DAY_S, *row[1:]] for row in DATA["price_candlesticks"]]
            )
        ),
        "it is not the present",
    ),
    "FROZEN": (Answer(heatmap_body(update_time=NOW_MS - DAY_S * 1000)), "CoinGlass computed it"),
    "KILO": (Answer(heatmap_body(y_axis=[1000 * level for level in DATA["y_axis"]])), "two units"),
    "HUGE": (Answer(b" " * 2_000_000), "larger than"),
    "BOMB": (
        Answer(gzip.compress(b" " * 20_000_000), headers={"Content-Encoding": "gzip"}),
        "larger than",
    ),
    "SLOW": (Answer(drip_s=0.35), "no whole reply within"),
    "GARBAGE": (Answer(b"<html>busy</html>"), "unreadable"),
    "CUT": (Answer(cut=True), "on the way to CoinGlass"),
    "TYPES": (Answer(heatmap_body(y_axis={"98": 1})), "no number"),
    "BELOW": (Answer(heatmap_body(y_axis=[-1.0, 1.0, 2.0, 3.0, 4.0])), "not above zero"),
    "NAN": (Answer(json.dumps({"code": "0", "data": DATA | {"y_axis": [float("nan")]}}).encode()), "NAN"),
    "BROKE": (Answer(b"", status=500), "answered 500"),
}


def answer(asked: Asked) -> Answer:
    """A sound map for sound coins."""
    coin = asked.query["symbol"]
    return PROBLEMS[coin][0] if coin in PROBLEMS else Answer()


@pytest.fixture
def scanner(
    coinglass: Loopback, db: Database, service_settings: Settings, redis_state_url: str
) -> Iterator[HeatmapScanner]:
    """The real client, budget and scanner, with a short patience."""
    coinglass.will_answer_by(answer)
    transport = Transport(coinglass.url, SecretStr(KEY), timeout_s=0.5, max_bytes=MOST_BYTES)
    with redis.Redis.from_url(redis_state_url) as store:
        budget = RedisCallBudget(store, configured_per_min=100_000, reserve_pct=10, in_flight_s=1)
        client = CoinglassClient(transport, budget, model="model2", wait_s=5.0)
        settings = service_settings.model_copy(update={"heatmap_batch": 40, "heatmap_concurrency": THREADS})
        scanner = HeatmapScanner(db=db, coinglass=client, settings=settings, clock=ManualClock(NOW_MS))
        yield scanner
        scanner.close()
        client.close()


def test_a_problem_coin_harms_no_other(
    scanner: HeatmapScanner, db: Database, dispatcher: RecordingDispatcher, coinglass: Loopback
) -> None:
    """16 coins with a problem each among 2 sound ones, 8 ranges of each: the round ends, the sound coins'
    18 maps are there, and every one of the 128 others is counted and says what is wrong with it."""
    symbols = [f"{coin}USDT" for coin in (*PROBLEMS, *GOOD)]
    add_coins(db, ManualClock(NOW_MS).now(), *symbols)
    report = scanner.start_round()
    for job in dispatcher.jobs:
        if job.task == "heatmap.fetch_batch":
            scanner.fetch_batch(**job.kwargs)  # type: ignore[arg-type]
    with db.begin() as work:
        (round_,) = work.session.scalars(select(RefreshRound))
        ages, failures = map_ages(work.session), map_failures(work.session)
    assert ("finished", 8 * 18) == (round_.status, report.maps)
    assert (len(TIMEFRAMES) * len(GOOD), 8 * len(PROBLEMS)) == (round_.maps_stored, round_.maps_failed)
    assert {f"{coin}USDT" for coin in GOOD} == {age.symbol for age in ages if age.fetched_at is not None}
    for coin, (_, words) in PROBLEMS.items():
        for timeframe in SERVED_TIMEFRAMES:
            problem = failures[f"{coin}USDT", timeframe].problem
            assert problem.startswith(f"{coin}USDT {timeframe}: ")
            assert words in problem


def test_connections_outlive_their_batch(scanner: HeatmapScanner, db: Database, coinglass: Loopback) -> None:
    """Three times 8 maps on 16 threads that live as long as the process: at most one connection a thread."""
    add_coins(db, ManualClock(NOW_MS).now(), "ALPHAUSDT", "OMEGAUSDT")
    for symbol in ("ALPHAUSDT", "OMEGAUSDT", "ALPHAUSDT"):
        assert scanner.refetch(symbol, "test").is_complete
    assert 24 == len(coinglass.asked)
    assert coinglass.connections <= THREADS
