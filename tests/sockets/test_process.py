"""The whole streams process: against the simulated exchange, and against a server that misbehaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
import redis
from pydantic import SecretStr
from sqlalchemy import text

from tests.simulator.bybit_loopback import KEY, SECRET, Loopback, loopback
from tests.sockets.coins import add_coin, delist
from tests.sockets.fake_market import FakeMarket
from tests.sockets.socket_server import SocketServer
from tests.sockets.waiting import wait_until
from whalestack.clients.bybit.client import BybitClient
from whalestack.clients.bybit.types import OrderRequest, Side
from whalestack.clock import ManualClock
from whalestack.config import Settings
from whalestack.db.engine import Database
from whalestack.db.live import LiveMarket, PriceWatch
from whalestack.dispatch import Job, RecordingDispatcher
from whalestack.math.triggers import MarketMove
from whalestack.simulator.faults import FaultKind, FaultRule
from whalestack.sockets import process as process_module
from whalestack.sockets.keeper import KeeperTimes
from whalestack.sockets.process import StreamsProcess
from whalestack.sockets.status import StreamsStatus

QUICK = KeeperTimes(look_every_s=0.02, ping_every_s=0.1, silent_after_s=1.0, pauses_s=(0.02, 0.05))
MINUTE = 60_000


@dataclass
class Running:
    """A streams process and everything around it."""

    process: StreamsProcess
    live: LiveMarket
    db: Database
    jobs: list[Job]
    clock: ManualClock

    def tasks(self, task: str) -> list[dict[str, Any]]:
        return [job.kwargs for job in self.jobs if job.task == task]

    def count(self, query: str) -> Any:
        with self.db.begin() as work:
            return work.session.scalar(text(query))


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds between two looks at the universe would be seconds of waiting here."""
    monkeypatch.setattr(process_module, "UNIVERSE_EVERY_S", 0.1)
    monkeypatch.setattr(process_module, "EMPTY_UNIVERSE_EVERY_S", 0.1)
    monkeypatch.setattr(process_module, "STORE_EVERY_S", 0.1)
    monkeypatch.setattr(process_module, "STATUS_EVERY_S", 0.05)


def at(settings: Settings, rest: str, sockets: str) -> Settings:
    return settings.model_copy(
        update={
            "bybit_rest_url": rest,
            "bybit_public_ws_url": sockets,
            "bybit_private_ws_url": sockets,
            "coinglass_ws_url": f"{sockets}/ws-api",
            "coinglass_api_key": SecretStr("simulator-coinglass-key"),
            "bybit_api_key": SecretStr(KEY),
            "bybit_api_secret": SecretStr(SECRET),
        }
    )


def running(
    settings: Settings,
    db: Database,
    jobs: RecordingDispatcher,
    redis_url: str,
    clock: ManualClock,
    **more: Any,
) -> Iterator[Running]:
    live = LiveMarket(redis.Redis.from_url(redis_url))
    process = StreamsProcess(
        settings=settings, db=db, live=live, dispatcher=jobs, clock=clock, times=QUICK, **more
    )
    process.start()
    yield Running(process, live, db, jobs.jobs, clock)
    process.stop()
    live.close()
    # A reader ends by itself once its socket is closed.
    wait_until(lambda: not threads_of_streams())


def threads_of_streams() -> set[str]:
    names = {thread.name for thread in threading.enumerate()}
    return {
        name
        for name in names
        if name.startswith(("stream-", "sender-", "minutes", "hours", "show", "coinglass"))
    }


@pytest.fixture
def exchange() -> Iterator[Loopback]:
    one = loopback()
    one.start()
    yield one
    one.stop()


@pytest.fixture
def streams(
    exchange: Loopback,
    settings: Settings,
    db: Database,
    dispatcher: RecordingDispatcher,
    redis_state_url: str,
) -> Iterator[Running]:
    """On the simulated exchange, with one coin followed and its history filled."""
    add_coin(db, "AAAUSDT")
    sockets = exchange.url.replace("http", "ws")
    for one in running(at(settings, exchange.url, sockets), db, dispatcher, redis_state_url, exchange.clock):
        wait_until(lambda one=one: one.live.get("AAAUSDT") and one.process.filler.filled)
        yield one


@pytest.fixture
def scripted(
    server: SocketServer,
    settings: Settings,
    db: Database,
    dispatcher: RecordingDispatcher,
    redis_state_url: str,
    clock: ManualClock,
) -> Iterator[Running]:
    """On a server that says what the test says, with one coin followed and its history filled."""
    add_coin(db, "AAAUSDT")
    chosen = at(settings, "http://127.0.0.1:1", server.url)
    for one in running(chosen, db, dispatcher, redis_state_url, clock, market=FakeMarket(clock)):
        wait_until(lambda: "allLiquidation.AAAUSDT" in server.topics and "order" in server.topics)
        wait_until(lambda one=one: one.process.filler.filled)
        yield one


def ticker(clock: ManualClock, symbol: str = "AAAUSDT", **fields: Any) -> dict[str, Any]:
    return {"topic": f"tickers.{symbol}", "type": "delta", "ts": clock.now_ms(), "data": fields}


class TestOnTheSimulatedExchange:
    def test_prices_and_history_are_there(self, streams: Running, exchange: Loopback) -> None:
        exchange.move("AAAUSDT", 100.5)

        wait_until(lambda: (tick := streams.live.get("AAAUSDT")) is not None and tick.last == 100.5)
        wait_until(lambda: streams.count("select count(*) from market_ticks"))
        wait_until(lambda: streams.count("select count(*) from candles where interval = '60'"))

        assert 150 < streams.count("select count(*) from candles where interval = '1'")
        tick = streams.live.get("AAAUSDT")
        assert tick is not None
        assert (100.49, 100.51, 50_000.0) == (tick.bid, tick.ask, tick.open_interest)

    def test_an_order_comes_back_as_events_for_the_trade_queue(
        self, streams: Running, exchange: Loopback, settings: Settings
    ) -> None:
        wait_until(lambda: streams.tasks("trade.poll"))
        client = BybitClient.from_settings(
            at(settings, exchange.url, exchange.url.replace("http", "ws")), streams.clock
        )

        client.place(
            OrderRequest("AAAUSDT", Side.BUY, Decimal("1.0"), "leg-1", Decimal(101), stop_loss=Decimal(95))
        )

        wait_until(
            lambda: (
                {"order", "execution"} <= {event["topic"] for event in streams.tasks("trade.private_event")}
            )
        )
        fills = [event for event in streams.tasks("trade.private_event") if event["topic"] == "execution"]
        assert "leg-1" == fills[0]["rows"][0]["orderLinkId"]
        assert streams.clock.now_ms() == fills[0]["received_ms"]

    def test_a_watched_price_calls_the_monitor_and_the_price_is_there_before_it(
        self, streams: Running, exchange: Loopback
    ) -> None:
        streams.live.set_watches({"AAAUSDT": PriceWatch(above=104.0)})
        wait_until(lambda: streams.process.watches.symbols)
        exchange.move("AAAUSDT", 103.0)
        assert [] == streams.tasks("trailing.check_symbol")

        exchange.move("AAAUSDT", 104.0)

        wait_until(lambda: streams.tasks("trailing.check_symbol"))
        assert 104.0 == streams.tasks("trailing.check_symbol")[0]["price_seen"]
        tick = streams.live.get("AAAUSDT")
        assert tick is not None
        assert 104.0 == tick.last

    def test_a_fast_price_has_the_coins_maps_fetched_once(self, streams: Running, exchange: Loopback) -> None:
        for price in (103.0, 104.0, 105.0):
            exchange.move("AAAUSDT", price)

        wait_until(lambda: streams.tasks("refetch.coin"))

        assert [{"symbol": "AAAUSDT", "reason": "mover"}] == streams.tasks("refetch.coin")

    @pytest.mark.parametrize("kind", [FaultKind.WS_DROP, FaultKind.WS_SILENCE])
    def test_a_lost_private_stream_comes_back_and_asks_for_what_it_missed(
        self, streams: Running, exchange: Loopback, kind: FaultKind
    ) -> None:
        wait_until(lambda: streams.tasks("trade.poll"))
        rule = FaultRule("WS /v5/private", kind)
        exchange.inside(lambda: exchange.world.faults.add(rule))
        wait_until(lambda: not streams.process.status().streams["private"])
        exchange.inside(exchange.world.faults.clear)

        wait_until(lambda: len(streams.tasks("trade.poll")) > 1)

        assert 1 <= streams.process.status().rebuilt

    def test_frames_told_twice_or_out_of_order_change_nothing(
        self, streams: Running, exchange: Loopback
    ) -> None:
        for kind in (FaultKind.WS_DUPLICATE, FaultKind.WS_REORDER):
            rule = FaultRule("WS /v5/public/*", kind, probability=0.5)
            exchange.inside(lambda rule=rule: exchange.world.faults.add(rule))
        for step in range(1, 20):
            exchange.move("AAAUSDT", 100.0 + step / 100)
        exchange.inside(exchange.world.faults.clear)
        exchange.move("AAAUSDT", 100.5)

        wait_until(lambda: (tick := streams.live.get("AAAUSDT")) is not None and tick.last == 100.5)


class TestOnAScriptedServer:
    def test_a_trigger_is_told_with_its_measured_move_and_its_ticks_are_kept(
        self, scripted: Running, server: SocketServer
    ) -> None:
        """The price is in Redis before the job; the rows follow.

        4 % more open interest, twenty minutes' volume in one, 1.5 % in price."""
        clock = scripted.clock
        server.say(ticker(clock, lastPrice="100", openInterest="1000"))
        start = clock.now_ms() // MINUTE * MINUTE
        bar = {"start": start, "end": start + MINUTE - 1, "interval": "1", "open": "100", "high": "102",
               "low": "100", "close": "101.5", "volume": "10", "turnover": "1000", "confirm": False,
               "timestamp": start}  # fmt: skip
        server.say({"topic": "kline.1.AAAUSDT", "type": "snapshot", "ts": start, "data": [bar]})
        clock.advance(1)
        server.say(ticker(clock, lastPrice="101.5", openInterest="1040"))

        wait_until(lambda: scripted.tasks("trade.spike_seen"))

        (told,) = scripted.tasks("trade.spike_seen")
        assert ("AAAUSDT", clock.now_ms()) == (told["symbol"], told["seen_ms"])
        move = MarketMove(**told["move"])
        assert (101.5, 4.0) == (move.price, pytest.approx(move.oi_change_15m_pct))
        tick = scripted.live.get("AAAUSDT")
        assert tick is not None
        assert (101.5, 1040.0) == (tick.last, tick.open_interest)
        newest = "select price from market_ticks order by ts desc limit 1"
        wait_until(lambda: scripted.count(newest) == 101.5)
        most = "select max(turnover_usd) from candles where interval = '1'"
        wait_until(lambda: scripted.count(most) == 1000.0)

    def test_another_process_keeps_a_coin_from_being_fetched_again(
        self, scripted: Running, server: SocketServer
    ) -> None:
        assert scripted.live.claim("refetch", "AAAUSDT", hold_s=60)

        server.say(ticker(scripted.clock, lastPrice="110"))
        scripted.live.set_watches({"AAAUSDT": PriceWatch(above=110.0)})

        wait_until(lambda: scripted.tasks("trailing.check_symbol"))
        wait_until(lambda: scripted.process.spikes._waiting.empty())
        assert [] == scripted.tasks("refetch.coin")

    def test_coins_that_come_and_go_are_followed_on_the_open_stream(
        self, scripted: Running, server: SocketServer
    ) -> None:
        add_coin(scripted.db, "BBBUSDT")
        wait_until(lambda: "tickers.BBBUSDT" in server.topics)
        server.say(ticker(scripted.clock, "BBBUSDT", lastPrice="7"))
        wait_until(lambda: scripted.live.get("BBBUSDT"))

        delist(scripted.db, "BBBUSDT")

        wait_until(lambda: scripted.live.get("BBBUSDT") is None)
        wait_until(lambda: [one for one in server.heard if one.get("op") == "unsubscribe"])
        assert ["AAAUSDT"] == scripted.process.public.symbols
        assert 0 == scripted.process.status().rebuilt

    def test_liquidations_of_both_sources_are_stored(self, scripted: Running, server: SocketServer) -> None:
        own = {"T": 1_760_875_200_000, "s": "AAAUSDT", "S": "Buy", "v": "2", "p": "100"}
        other = {"baseAsset": "A", "exName": "Binance", "price": 0.1, "side": 2, "symbol": "AUSDT",
                 "time": 1_760_875_200_001, "volUsd": 50.0}  # fmt: skip
        server.say({"topic": "allLiquidation.AAAUSDT", "type": "snapshot", "ts": 1, "data": [own]})
        server.say({"channel": "liquidationOrders", "data": [other]})
        server.say({"channel": "liquidation_orders", "data": [other]})

        wait_until(lambda: scripted.count("select count(*) from liquidation_orders") == 2)

        with scripted.db.begin() as work:
            found = work.session.execute(
                text("select exchange, side, price, value_usd from liquidation_orders order by ts")
            )
            assert [("Bybit", "long", 100.0, 200.0), ("Binance", "short", 100.0, 50.0)] == [
                tuple(row) for row in found
            ]

    def test_a_broken_public_stream_comes_back_and_its_gap_is_filled(
        self, scripted: Running, server: SocketServer
    ) -> None:
        polls, filled = len(scripted.tasks("trade.poll")), scripted.process.filler.filled
        bars = scripted.count("select count(*) from candles where interval = '1'")
        scripted.clock.advance(2 * MINUTE / 1000)
        server.cut()

        wait_until(lambda: scripted.process.filler.filled > filled)
        # No stream told of these two minutes.
        assert bars + 2 == scripted.count("select count(*) from candles where interval = '1'")
        wait_until(lambda: len(scripted.tasks("trade.poll")) > polls)
        clock = scripted.clock
        clock.advance(1)
        server.say(ticker(clock, lastPrice="110"))

        wait_until(lambda: scripted.tasks("refetch.coin"))

    def test_the_status_tells_each_stream(self, scripted: Running) -> None:
        everything = {"public-1": True, "private": True, "coinglass": True}

        wait_until(lambda: (shown := StreamsStatus.get(scripted.live)) and everything == shown.streams)

        shown = StreamsStatus.get(scripted.live)
        assert shown is not None
        assert (1, 0) == (shown.coins, shown.jobs_dropped)


RUN = """
import sys
from whalestack.config import Settings
from whalestack.db.engine import Database, make_engine
from whalestack.db.live import LiveMarket
from whalestack.dispatch import RecordingDispatcher
from whalestack.sockets.process import StreamsProcess

rest, sockets, database, state = sys.argv[1:]
settings = Settings(_env_file=None, bybit_rest_url=rest, bybit_public_ws_url=sockets,
                    bybit_private_ws_url=sockets, coinglass_url="http://127.0.0.1:1",
                    coinglass_ws_url=sockets + "/ws-api", coinglass_api_key="k", redis_state_url=state)
jobs = RecordingDispatcher()
StreamsProcess(settings=settings, db=Database(make_engine(database), jobs),
               live=LiveMarket.from_settings(settings), dispatcher=jobs, clock=settings.clock()).run()
"""


def test_the_process_ends_cleanly_on_sigterm(
    server: SocketServer, db: Database, database_url: str, redis_state_url: str
) -> None:
    add_coin(db, "AAAUSDT")
    arguments = ["http://127.0.0.1:1", server.url, database_url, redis_state_url]
    child = subprocess.Popen([sys.executable, "-c", RUN, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: "tickers.AAAUSDT" in server.topics, seconds=20)
        os.kill(child.pid, signal.SIGTERM)
        output, _ = child.communicate(timeout=15)
    finally:
        child.kill()

    assert 0 == child.returncode
    assert "streams_stopped" in output
