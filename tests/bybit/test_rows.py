"""No row crashes a parser: it is a value, or a `BadRow` that names what is wrong."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bybit.test_reads import execution_row, instrument_row, order_row, position_row
from whalestack.clients.bybit import rows

anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["NaN", "Infinity", "-1", "1e999999999", "", "0", "None"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
GOOD = [
    (rows.order_state, order_row()),
    (rows.execution, execution_row("a", 1)),
    (rows.position, position_row()),
    (rows.instrument, instrument_row("AIAUSDT")),
    (rows.ticker, {"symbol": "AIAUSDT", "lastPrice": "1", "nextFundingTime": "5", "fundingRate": "0.1"}),
    (rows.wallet, {"totalEquity": "1", "coin": [{"coin": "USDT", "walletBalance": "1"}]}),
    (rows.closed_pnl, {"symbol": "A", "orderId": "1", "side": "Buy", "qty": "1", "avgEntryPrice": "1",
                       "avgExitPrice": "1", "closedPnl": "1", "createdTime": "1"}),
]  # fmt: skip


@pytest.mark.parametrize(("parse", "good"), GOOD)
@given(data=st.data())
@settings(max_examples=60)
def test_a_row_with_anything_in_a_field_is_a_value_or_a_bad_row(
    parse: Any, good: dict[str, Any], data: st.DataObject
) -> None:
    field = data.draw(st.sampled_from(sorted(good)))
    row = {**good, field: data.draw(anything)}

    with contextlib.suppress(rows.BadRow):
        rows.read_row(parse, row)


def test_a_number_beyond_all_measure_is_a_bad_row() -> None:
    """It is finite, and multiplying it by a hundred overflows."""
    with pytest.raises(rows.BadRow, match="fundingRate"):
        rows.read_row(rows.ticker, {"symbol": "AIAUSDT", "lastPrice": "1", "fundingRate": "1e999999999"})


@given(anything)
def test_anything_in_place_of_a_row_is_a_bad_row(row: Any) -> None:
    for parse, _ in GOOD[:3]:
        with contextlib.suppress(rows.BadRow):
            rows.read_row(parse, row)
    with contextlib.suppress(rows.BadRow):
        rows.kline("AIAUSDT", "1", row)


@given(st.lists(anything, max_size=9))
def test_a_bar_is_seven_finite_numbers_or_a_bad_row(row: list[Any]) -> None:
    with contextlib.suppress(rows.BadRow):
        bar = rows.kline("AIAUSDT", "1", row)
        assert bar.close == bar.close


def test_a_bad_row_names_the_coin_and_the_field() -> None:
    with pytest.raises(rows.BadRow, match=r"EVAAUSDT.*qty"):
        rows.read_row(rows.order_state, order_row(qty="NaN"))
