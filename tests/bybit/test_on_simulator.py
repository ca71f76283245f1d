"""The client on the simulated exchange: a trade from its order to its profit, and lost answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pytest

from tests.simulator.bybit_loopback import KEY, SECRET, Loopback, loopback
from whalestack.clients.bybit.client import BybitClient
from whalestack.clients.bybit.errors import (
    BybitKeyRefused,
    BybitOutcomeUnknown,
    BybitRefused,
    BybitUnavailable,
    DuplicateOrder,
    OrderNotFound,
)
from whalestack.clients.bybit.transport import BybitTransport
from whalestack.clients.bybit.types import OrderAck, OrderRequest, Side
from whalestack.simulator.faults import FaultKind, FaultRule

SYMBOL = "AAAUSDT"
ENTRY = OrderRequest(
    SYMBOL, Side.BUY, Decimal("2.0"), "leg-1", Decimal(101), stop_loss=Decimal(95), take_profit=Decimal(110)
)
WAITING = replace(ENTRY, order_link_id="leg-2", price=Decimal(98))
CREATE = "POST /v5/order/create"


@pytest.fixture
def exchange() -> Iterator[Loopback]:
    one = loopback()
    one.start()
    yield one
    one.stop()


def client_of(exchange: Loopback, secret: str = SECRET) -> BybitClient:
    transport = BybitTransport(rest_url=exchange.url, api_key=KEY, api_secret=secret, timeout_s=1.0)
    return BybitClient(transport, exchange.clock)


@pytest.fixture
def client(exchange: Loopback) -> BybitClient:
    return client_of(exchange)


def test_a_trade_from_its_order_to_its_profit(client: BybitClient, exchange: Loopback) -> None:
    client.set_leverage(SYMBOL, Decimal(5))
    client.set_leverage(SYMBOL, Decimal(5))
    ack = client.place(ENTRY)

    order = client.find_order(SYMBOL, "leg-1")
    assert order is not None
    assert ("Filled", Decimal("2.0"), ack.exchange_order_id) == (
        order.status,
        order.filled_qty,
        order.exchange_order_id,
    )
    position = client.position(SYMBOL)
    assert [position] == client.positions()
    assert position is not None
    assert (Side.BUY, Decimal(2), Decimal(95), Decimal(110), Decimal(5)) == (
        position.side,
        position.size,
        position.stop_loss,
        position.take_profit,
        position.leverage,
    )

    exchange.move(SYMBOL, 106.0)
    client.set_stops(SYMBOL, stop_loss=Decimal(101), take_profit=None)
    client.set_stops(SYMBOL, stop_loss=Decimal(101), take_profit=None)
    with pytest.raises(BybitRefused):
        client.set_stops(SYMBOL, stop_loss=Decimal(120), take_profit=None)
    moved = client.position(SYMBOL)
    assert moved is not None
    assert (Decimal(101), Decimal(110)) == (moved.stop_loss, moved.take_profit)

    close = OrderRequest(SYMBOL, Side.SELL, Decimal("2.0"), "leg-1-close", reduce_only=True)
    client.place(close)

    assert client.position(SYMBOL) is None
    opened, closed = client.executions(SYMBOL)
    assert (Decimal(0), Decimal(2)) == (opened.closed_qty, closed.closed_qty)
    assert [closed] == client.executions(SYMBOL, order_link_id="leg-1-close")
    (pnl,) = client.closed_pnl(SYMBOL)
    gained = (closed.price - opened.price) * 2 - opened.fee_usd - closed.fee_usd
    assert (Side.SELL, Decimal(2)) == (pnl.closing_side, pnl.qty)
    assert pytest.approx(float(gained), abs=1e-6) == float(pnl.pnl_usd)


def test_waiting_orders_are_listed_and_cancelled_and_stops_stay(client: BybitClient) -> None:
    client.place(ENTRY)
    client.place(WAITING)
    client.place(replace(WAITING, order_link_id="leg-3"))
    listed = {order.order_link_id for order in client.open_orders(SYMBOL)}
    assert {"leg-2", "leg-3"} <= listed

    client.cancel(SYMBOL, "leg-2")
    with pytest.raises(OrderNotFound):
        client.cancel(SYMBOL, "leg-2")
    assert 1 == client.cancel_all()

    cancelled = client.find_order(SYMBOL, "leg-3")
    position = client.position(SYMBOL)
    assert cancelled is not None
    assert position is not None
    assert ("Cancelled", Decimal(95)) == (cancelled.status, position.stop_loss)


def test_a_ladder_with_a_bad_rung_says_which(client: BybitClient) -> None:
    rungs = [replace(WAITING, order_link_id=f"rung-{n}", price=Decimal(99 - n)) for n in range(3)]
    rungs[1] = replace(rungs[1], qty=Decimal("0.01"))
    rungs.append(rungs[0])

    results = client.place_batch(rungs)

    assert [OrderAck, BybitRefused, OrderAck, DuplicateOrder] == [type(result) for result in results]
    assert {"rung-0", "rung-2"} == {order.order_link_id for order in client.open_orders(SYMBOL)}


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (FaultKind.TIMEOUT_AFTER, BybitOutcomeUnknown),
        (FaultKind.HTTP_500_AFTER, BybitOutcomeUnknown),
        (FaultKind.GARBLED, BybitOutcomeUnknown),
        (FaultKind.DUPLICATE_REFUSAL, DuplicateOrder),
    ],
)
def test_an_order_whose_answer_was_lost_is_found_and_not_sent_twice(
    client: BybitClient, exchange: Loopback, kind: FaultKind, error: type[Exception]
) -> None:
    exchange.inside(lambda: exchange.world.faults.add(FaultRule(CREATE, kind, times=1, delay_ms=1500)))

    with pytest.raises(error):
        client.place(WAITING)

    found = client.find_order(SYMBOL, WAITING.order_link_id)
    assert found is not None
    assert "New" == found.status
    assert 1 == len(client.open_orders(SYMBOL))


@pytest.mark.parametrize("kind", [FaultKind.TIMEOUT_BEFORE, FaultKind.HTTP_500])
def test_an_order_that_never_arrived_is_unknown_and_nowhere(
    client: BybitClient, exchange: Loopback, kind: FaultKind
) -> None:
    exchange.inside(lambda: exchange.world.faults.add(FaultRule(CREATE, kind, times=1, delay_ms=1500)))

    with pytest.raises(BybitOutcomeUnknown):
        client.place(WAITING)

    assert client.find_order(SYMBOL, WAITING.order_link_id) is None


def test_reads_survive_a_failure_of_the_exchange(client: BybitClient, exchange: Loopback) -> None:
    exchange.inside(
        lambda: exchange.world.faults.add(FaultRule("GET /v5/position/list", FaultKind.HTTP_500, times=2))
    )

    assert [] == client.positions()


def test_a_position_list_that_cannot_be_read_is_not_empty(client: BybitClient, exchange: Loopback) -> None:
    exchange.inside(lambda: exchange.world.faults.add(FaultRule("GET /v5/position/list", FaultKind.HTTP_500)))

    with pytest.raises(BybitUnavailable):
        client.positions()


def test_a_wrong_secret_is_told_to_the_owner(exchange: Loopback) -> None:
    with pytest.raises(BybitKeyRefused):
        client_of(exchange, "wrong").wallet()


def test_the_market_is_read(client: BybitClient, exchange: Loopback) -> None:
    assert {"AAAUSDT", "BBBUSDT"} == {one.symbol for one in client.instruments()}
    assert {"AAAUSDT", "BBBUSDT"} == {one.symbol for one in client.tickers()}
    assert Decimal("100.01") == client.ticker(SYMBOL).ask_price
    assert 30 == len(client.klines(SYMBOL, "5", limit=30))
    assert 30 == len(client.open_interest(SYMBOL, limit=30))
    with pytest.raises(BybitRefused):
        client.ticker("NOSUCHUSDT")


def test_the_account_is_read(client: BybitClient, exchange: Loopback) -> None:
    wallet, fees = client.wallet(), client.fee_rates(SYMBOL)

    assert wallet.equity_usd == wallet.available_usd == wallet.wallet_balance_usd > 0
    assert (Decimal("0.00055"), Decimal("0.0002")) == (fees.taker, fees.maker)
