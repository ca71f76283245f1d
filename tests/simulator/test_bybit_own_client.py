"""The system's own Bybit client, whole, against the simulator: every call of the exchange port once."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from tests.simulator.bybit_loopback import Loopback, loopback
from whalestack.clients.bybit.client import BybitClient
from whalestack.clients.bybit.errors import (
    BybitOutcomeUnknown,
    BybitRefused,
    DuplicateOrder,
    OrderNotFound,
)
from whalestack.clients.bybit.types import OrderAck, OrderName, OrderRequest, Side
from whalestack.simulator.faults import FaultKind, FaultRule

COIN = "AAAUSDT"


@pytest.fixture
def server() -> Iterator[Loopback]:
    running = loopback()
    running.start()
    yield running
    running.stop()


def own_client(server: Loopback, timeout_s: float) -> BybitClient:
    """The system's client, pointed at the server."""
    changed = {"bybit_rest_url": server.url, "bybit_timeout_s": timeout_s}
    return BybitClient.from_settings(server.world.settings.model_copy(update=changed), server.clock)


@pytest.fixture
def client(server: Loopback) -> BybitClient:
    return own_client(server, 5.0)


def entry(link_id: str, *, price: str | None = "98", qty: str = "2") -> OrderRequest:
    """A buy with its stop and target."""
    limit = None if price is None else Decimal(price)
    stops = {"stop_loss": Decimal(95), "take_profit": Decimal(110)}
    return OrderRequest(COIN, Side.BUY, Decimal(qty), link_id, limit, **stops)


def test_public_data_is_read(client: BybitClient) -> None:
    assert [COIN, "BBBUSDT"] == [instrument.symbol for instrument in client.instruments()]
    assert Decimal(100) == client.ticker(COIN).last_price
    assert 2 == len(client.tickers())
    bars = client.klines(COIN, "5", limit=3)
    assert [True, True, False] == [bar.is_closed for bar in bars]
    assert sorted(point.timestamp_ms for point in client.open_interest(COIN)) == [
        point.timestamp_ms for point in client.open_interest(COIN)
    ]


def test_a_trade_from_entry_to_close(server: Loopback, client: BybitClient) -> None:
    client.set_leverage(COIN, Decimal(5))
    client.set_leverage(COIN, Decimal(5))
    client.place(entry("a_1_x_e0"))
    assert ["New"] == [order.status for order in client.open_orders() if order.order_link_id]
    server.move(COIN, 97.9)
    position = client.position(COIN)
    assert position is not None
    assert (Side.BUY, Decimal(2), Decimal(95)) == (position.side, position.size, position.stop_loss)
    server.move(COIN, 105.0)
    client.set_stops(COIN, stop_loss=Decimal(98), take_profit=None)
    client.set_stops(COIN, stop_loss=Decimal(98), take_profit=None)
    moved = client.position(COIN)
    assert moved is not None
    assert (Decimal(98), Decimal(110)) == (moved.stop_loss, moved.take_profit)
    server.move(COIN, 97.5)
    assert client.positions() == []
    assert [Side.SELL] == [closed.closing_side for closed in client.closed_pnl(COIN)]
    fills = client.executions(COIN)
    assert [Decimal(0), Decimal(2)] == [fill.closed_qty for fill in fills]
    wallet = client.wallet()
    assert wallet.equity_usd == wallet.wallet_balance_usd < Decimal(10_000)
    assert Decimal("0.00055") == client.fee_rates(COIN).taker
    assert 0 == server.inside(server.world.exchange.stats)["unprotected_spells"]


def test_a_lost_answer_is_unknown_and_is_found_by_asking(server: Loopback, client: BybitClient) -> None:
    rule = FaultRule("POST /v5/order/create", FaultKind.TIMEOUT_AFTER, times=1, delay_ms=3000)
    server.inside(lambda: server.world.faults.add(rule))
    with pytest.raises(BybitOutcomeUnknown):
        own_client(server, 0.3).place(entry("a_1_x_e0"))
    found = client.find_order(COIN, "a_1_x_e0")
    assert found is not None
    assert "New" == found.status
    with pytest.raises(DuplicateOrder):
        client.place(entry("a_1_x_e0"))
    assert client.find_order(COIN, "never") is None
    assert 0 == server.inside(server.world.exchange.stats)["duplicated_orders"]


def test_a_batch_is_refused_rung_by_rung(client: BybitClient) -> None:
    rungs = [entry("a_1_x_e0"), entry("a_1_x_e1", price="97", qty="0.01"), entry("a_1_x_e2", price="96")]
    kinds = [isinstance(result, BybitRefused) for result in client.place_batch(rungs)]
    assert [False, True, False] == kinds
    assert 2 == client.cancel_all(COIN)


def test_a_batch_of_cancels_ends_what_is_open_and_says_of_the_rest_that_it_is_gone(
    client: BybitClient,
) -> None:
    """The position's stop stays: only the named orders go."""
    client.place(entry("a_1_x_e0", price=None))
    client.place_batch([entry("a_1_x_e1", price="97"), entry("a_1_x_e2", price="96")])
    client.cancel(COIN, "a_1_x_e2")
    results = client.cancel_batch([OrderName(COIN, f"a_1_x_e{number}") for number in range(4)])
    assert [OrderNotFound, OrderAck, OrderNotFound, OrderNotFound] == [type(each) for each in results]
    assert [] == [order for order in client.open_orders(COIN) if not order.stop_order_type]
    position = client.position(COIN)
    assert position is not None
    assert Decimal(95) == position.stop_loss


def test_cancelling_all_leaves_the_stop_of_a_position(server: Loopback, client: BybitClient) -> None:
    client.place(entry("a_1_x_e0", price=None))
    client.place(entry("a_2_y_e0", price="97"))
    client.cancel_all()
    position = client.position(COIN)
    assert position is not None
    assert Decimal(95) == position.stop_loss
    assert 0 == server.inside(server.world.exchange.stats)["unprotected_spells"]
