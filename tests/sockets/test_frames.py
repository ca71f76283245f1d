"""Messages are read as the exchanges mean them, and bad ones are named, never fatal."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whalestack.db.market_store import FollowedCoin
from whalestack.sockets.coinglass_link import CoinNames, liquidation_row
from whalestack.sockets.frames import (
    BadFrame,
    number,
    read_bars,
    read_coinglass,
    read_frame,
    read_liquidations,
    read_rows,
    read_ticker,
)

EXAMPLES = Path(__file__).resolve().parents[3] / "shared" / "contracts" / "bybit_examples"
COINS = [
    FollowedCoin("BTCUSDT", "BTC", 1, 1.0),
    FollowedCoin("1000PEPEUSDT", "PEPE", 1000, 1.0),
    FollowedCoin("NEWUSDT", None, 1, 1.0),
]
NAMES = CoinNames.of(COINS)


def example(name: str) -> bytes:
    if not EXAMPLES.is_dir():
        pytest.skip("the recorded examples (../shared/contracts/bybit_examples) are not beside this checkout")
    return (EXAMPLES / f"{name}.json").read_bytes()


def test_the_documented_ticker_is_read() -> None:
    fields = read_ticker(read_frame(example("websocket__public__ticker")))

    assert (66666.6, 492373.72, -0.005) == (
        number(fields.last), number(fields.open_interest), number(fields.funding_rate),
    )  # fmt: skip


def test_the_documented_bar_is_read_as_open() -> None:
    frame = read_frame(example("websocket__public__kline"))

    (bar,) = read_bars(frame, "BTCUSDT")

    assert ("5", 1672324800000, 16677.0, False) == (bar.interval, bar.start_ms, bar.close, bar.is_closed)


def test_a_documented_liquidation_on_the_sell_side_was_a_short() -> None:
    (row,) = read_liquidations(read_frame(example("websocket__public__all-liquidation")))

    assert ("ROSEUSDT", "short") == (row.symbol, row.side)
    assert pytest.approx(20000 * 0.04499) == row.value_usd


def test_a_liquidation_that_is_no_list_is_read_too() -> None:
    raw = {"topic": "allLiquidation.A", "data": {"T": 5, "s": "A", "S": "Buy", "v": "2", "p": "3"}}

    (row,) = read_liquidations(read_frame(json.dumps(raw)))

    assert ("long", 6.0) == (row.side, row.value_usd)


@pytest.mark.parametrize("name", ["order", "execution", "position"])
def test_private_rows_stay_as_they_came(name: str) -> None:
    raw = example(f"websocket__private__{name}")

    assert json.loads(raw)["data"] == read_rows(read_frame(raw))


OLD = {"baseAsset": "BTC", "exName": "Binance", "price": 56738.0, "side": 2, "symbol": "BTCUSDT",
       "time": 1725416318379, "volUsd": 3858.184}  # fmt: skip
NEW = {"base_asset": "BTC", "exchange": "Binance", "price": 56738.0, "side": 2, "symbol": "BTCUSDT",
       "time": 1725416318379, "volume_usd": 3858.184}  # fmt: skip


def coinglass_row(event: dict[str, Any], channel: str = "liquidationOrders") -> Any:
    (found,) = read_coinglass(json.dumps({"channel": channel, "data": [event]}))
    return liquidation_row(found, NAMES)


def test_both_spellings_of_a_coinglass_event_are_one_event() -> None:
    old, new = coinglass_row(OLD), coinglass_row(NEW, "liquidation_orders")

    assert ("BTCUSDT", "Binance", "short", 3858.184) == (old.symbol, old.exchange, old.side, old.value_usd)
    assert old.event_key == new.event_key


def test_a_coin_that_bybit_counts_in_thousands_has_its_price_in_our_units() -> None:
    row = coinglass_row(OLD | {"baseAsset": "PEPE", "symbol": "PEPEUSDT", "price": 0.00001, "side": 1})

    assert ("1000PEPEUSDT", "long") == (row.symbol, row.side)
    assert pytest.approx(0.01) == row.price


@pytest.mark.parametrize(
    "change",
    [{"exName": "Bybit"}, {"baseAsset": "XYZ", "symbol": "XYZUSDT"}, {"baseAsset": "", "symbol": ""}],
)
def test_events_that_are_ours_already_or_not_our_coins_are_left_out(change: dict[str, str]) -> None:
    assert coinglass_row(OLD | change) is None


@pytest.mark.parametrize("change", [{"side": 3}, {"price": None}, {"price": "x"}, {"volUsd": None}])
def test_an_event_that_is_not_documented_is_a_bad_frame(change: dict[str, Any]) -> None:
    with pytest.raises(BadFrame):
        coinglass_row(OLD | change)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=6), children, max_size=3)
    ),
    max_leaves=10,
)
PARSERS = [
    read_ticker,
    lambda frame: read_bars(frame, "A"),
    read_liquidations,
    read_rows,
]


@given(json_values, st.sampled_from(PARSERS))
def test_no_data_crashes_a_parser(data: Any, parse: Any) -> None:
    with contextlib.suppress(BadFrame):
        parse(read_frame(json.dumps({"topic": "tickers.A", "ts": 1, "data": data})))


@given(st.one_of(st.text(), st.binary()))
def test_no_text_crashes_the_envelope(raw: str | bytes) -> None:
    for parse in (read_frame, read_coinglass):
        with contextlib.suppress(BadFrame):
            parse(raw)


@pytest.mark.parametrize("value", ["NaN", "inf", "x", float("nan")])
def test_what_is_no_finite_number_is_a_bad_frame(value: Any) -> None:
    with pytest.raises(BadFrame):
        number(value)
