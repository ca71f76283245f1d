"""Decoding of heat maps: what is right is decoded, what is wrong is named, nothing crashes."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.coinglass.replies import FIRST_S, envelope, error_body, heatmap_body, heatmap_data
from whalestack.clients.coinglass.errors import (
    CoinglassBadReply,
    CoinglassNoMap,
    CoinglassNotAllowed,
    CoinglassUnavailable,
    CoinglassUnreadable,
)
from whalestack.clients.coinglass.heatmap_reply import decode_heatmap
from whalestack.errors import WhalestackError


def decode(body: bytes, *, all_columns: bool = False) -> Any:
    return decode_heatmap(body, "PEPE", "7d", all_columns=all_columns)


def test_only_the_last_column_is_decoded() -> None:
    """Of 4 columns the last has index 3; at level y stand 3000 + y USD."""
    heatmap = decode(heatmap_body())
    assert [3, 3, 3, 3] == heatmap.xs.tolist()
    assert [1, 2, 3, 4] == heatmap.ys.tolist()
    assert [3001.0, 3002.0, 3003.0, 3004.0] == heatmap.values.tolist()
    assert 4 == heatmap.n_columns


def test_levels_times_and_price_are_decoded() -> None:
    """Seconds of candles and strings of prices become ms and floats."""
    heatmap = decode(heatmap_body())
    assert [98.0, 99.0, 100.0, 101.0, 102.0] == heatmap.y_axis.tolist()
    assert [(FIRST_S + 300 * x) * 1000 for x in range(4)] == heatmap.column_times_ms.tolist()
    assert 100.0 == heatmap.price
    assert (FIRST_S + 1200) * 1000 == heatmap.map_time_ms


def test_all_columns_are_decoded_when_asked_for() -> None:
    """4 columns of 4 cells each."""
    heatmap = decode(heatmap_body(), all_columns=True)
    assert 16 == heatmap.values.size
    assert 6 + 4 * 1000 * (0 + 1 + 2 + 3) + 3 * 10 + 4 == heatmap.values.sum()


def test_numbers_may_be_strings_and_spaced() -> None:
    """The same map with every number as a string, and with spaces, decodes to the same."""
    data = heatmap_data()
    as_text = {
        "y_axis": [str(level) for level in data["y_axis"]],
        "liquidation_leverage_data": [[str(n) for n in cell] for cell in data["liquidation_leverage_data"]],
        "price_candlesticks": [[str(n) for n in candle] for candle in data["price_candlesticks"]],
        "update_time": str(data["update_time"]),
    }
    plain = decode(envelope(data))
    for body in (envelope(as_text), json.dumps({"code": 0, "data": as_text}, indent=1).encode()):
        other = decode(body)
        assert plain.values.tolist() == other.values.tolist()
        assert plain.y_axis.tolist() == other.y_axis.tolist()
        assert (plain.price, plain.map_time_ms) == (other.price, other.map_time_ms)


def test_order_of_cells_does_not_matter() -> None:
    """model1 orders cells by column, model2 and model3 by level."""
    cells = heatmap_data()["liquidation_leverage_data"]
    by_level = decode(heatmap_body(liquidation_leverage_data=sorted(cells, key=lambda cell: cell[1])))
    assert decode(heatmap_body()).values.tolist() == by_level.values.tolist()


def test_descending_levels_are_turned_round() -> None:
    """The value of a level goes with it: 98 is level 4 there, and 3004 stands at it."""
    data = heatmap_data()
    heatmap = decode(envelope(data | {"y_axis": data["y_axis"][::-1]}))
    assert [98.0, 99.0, 100.0, 101.0, 102.0] == heatmap.y_axis.tolist()
    assert [3, 2, 1, 0] == heatmap.ys.tolist()


def test_update_time_may_be_missing() -> None:
    """It is absent from the documentation."""
    data = heatmap_data()
    del data["update_time"]
    assert decode(envelope(data)).map_time_ms is None


def test_last_column_may_still_be_empty() -> None:
    """Just after a column has turned, the one before it is the present."""
    cells = [cell for cell in heatmap_data()["liquidation_leverage_data"] if cell[0] < 3]
    heatmap = decode(heatmap_body(liquidation_leverage_data=cells))
    assert [2, 2, 2, 2] == heatmap.xs.tolist()


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        "",
        {"y_axis": [], "liquidation_leverage_data": [], "price_candlesticks": []},
        heatmap_data() | {"y_axis": []},
        heatmap_data() | {"y_axis": None},
        heatmap_data() | {"liquidation_leverage_data": []},
        heatmap_data() | {"price_candlesticks": []},
    ],
)
def test_empty_reply_says_there_is_no_map(data: object) -> None:
    """A coin without a map is named with its range."""
    with pytest.raises(CoinglassNoMap, match=r"PEPE 7d: .* no such map"):
        decode(envelope(data))


MISTYPED: list[dict[str, object]] = [
    {"y_axis": ["a"]},
    {"y_axis": [1.0, None, 2.0, 3.0, 4.0]},
    {"y_axis": [-1.0, 1.0, 2.0, 3.0, 4.0]},
    {"y_axis": [0.0, 1.0, 2.0, 3.0, 4.0]},
    {"y_axis": {"1": 2}},
    {"y_axis": True},
    {"liquidation_leverage_data": [[3, 1]]},
    {"liquidation_leverage_data": [[3, 1, 1.0, 2.0]]},
    {"liquidation_leverage_data": [[3, 1], [3, 2, 1.0, 2.0]]},
    {"liquidation_leverage_data": [[3, 1, None]]},
    {"liquidation_leverage_data": [[3, 1, "much"]]},
    {"liquidation_leverage_data": [[3, 1, -5.0]]},
    {"liquidation_leverage_data": [[3, 99, 5.0]]},
    {"liquidation_leverage_data": [[3, -1, 5.0]]},
    {"liquidation_leverage_data": [[4, 1, 5.0]]},
    {"liquidation_leverage_data": [[3, 1, 5.0], [4, 1, 5.0]]},
    {"liquidation_leverage_data": [[2.5, 1, 5.0]]},
    {"liquidation_leverage_data": [[3, 1e300, 5.0]]},
    {"liquidation_leverage_data": [[3, 1, 1e300]]},
    {"y_axis": [1.0, 2.0, 3.0, 4.0, 1e300]},
    {"y_axis": [1e-300, 2.0, 3.0, 4.0, 5.0]},
    {"liquidation_leverage_data": {"3": 1}},
    {"liquidation_leverage_data": 7},
    {"liquidation_leverage_data": None},
    {"liquidation_leverage_data": [[1, 1, 5.0]]},
    {"price_candlesticks": [[1]]},
    {"price_candlesticks": [[1, 2, 3, 4, 5], [2, 3]]},
    {"price_candlesticks": [[FIRST_S, "1", "1", "1", None, "1"]] * 4},
    {"price_candlesticks": [[FIRST_S, "1", "1", "1", "0", "1"]]},
    {"price_candlesticks": [[FIRST_S, "1", "1", "1", "1", "1"]] * 4},
    {"price_candlesticks": [["then", "1", "1", "1", "1", "1"]]},
    {"price_candlesticks": "none"},
    {"price_candlesticks": [[1e300, "1", "1", "1", "1", "1"]]},
    {"update_time": "soon"},
    {"update_time": 1e18},
    {"update_time": -5},
]


@pytest.mark.parametrize("change", MISTYPED, ids=str)
@pytest.mark.parametrize("all_columns", [False, True])
def test_mistyped_reply_names_coin_and_range(change: dict[str, object], all_columns: bool) -> None:
    """Each part that is not what the contract says is an error of its own kind, naming the map."""
    with pytest.raises((CoinglassBadReply, CoinglassNoMap), match="heat map of PEPE 7d"):
        decode(heatmap_body(**change), all_columns=all_columns)


def test_columns_that_stop_short_are_refused() -> None:
    """History is not the present: 2 of 4 columns."""
    cells = [cell for cell in heatmap_data()["liquidation_leverage_data"] if cell[0] < 2]
    with pytest.raises(CoinglassBadReply, match="PEPE 7d: columns stop short at 2 of 4"):
        decode(heatmap_body(liquidation_leverage_data=cells))


def test_missing_part_is_named() -> None:
    """A reply without its levels."""
    data = heatmap_data()
    del data["y_axis"]
    with pytest.raises(CoinglassBadReply, match=r"PEPE 7d: .*y_axis"):
        decode(envelope(data))


@pytest.mark.parametrize(
    "body", [b"", b"<html>502</html>", b'{"code"', b"\xff\xfe", b'{"code":"0","data":{"y_a']
)
def test_what_is_no_json_is_unreadable(body: bytes) -> None:
    """What a broken transfer leaves may be asked for again."""
    with pytest.raises(CoinglassUnreadable, match="heat map of PEPE 7d"):
        decode(body)


@given(cut=st.integers(min_value=0, max_value=len(heatmap_body()) - 1))
def test_truncated_anywhere_is_unreadable(cut: int) -> None:
    """No beginning of a reply passes for a reply."""
    with pytest.raises(CoinglassUnreadable, match="heat map of PEPE 7d"):
        decode(heatmap_body()[:cut])


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers()
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)
PARTS = ("y_axis", "liquidation_leverage_data", "price_candlesticks", "update_time")


@settings(max_examples=300)
@given(part=st.sampled_from(PARTS), value=JSON, all_columns=st.booleans())
def test_no_part_can_crash_the_decoder(part: str, value: object, all_columns: bool) -> None:
    """Whatever stands in a part, the result is a map or a named error of ours."""
    with suppress(CoinglassBadReply, CoinglassNoMap):
        heatmap = decode(heatmap_body(**{part: value}), all_columns=all_columns)
        assert heatmap.ys.max() < heatmap.y_axis.size


@given(body=st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_body_can_crash_the_decoder(body: bytes) -> None:
    """Nothing but a map decodes to one; nothing raises anything but our errors."""
    with pytest.raises(WhalestackError, match="PEPE 7d"):
        decode(body)


@given(cells=st.dictionaries(st.tuples(st.integers(0, 3), st.integers(0, 4)), st.floats(0, 1e12), min_size=1))
def test_cutting_the_last_column_is_the_same_as_decoding_all(
    cells: dict[tuple[int, int], float],
) -> None:
    """The fast way and the checked way agree on every map: same cells of the newest column."""
    triples = [[x, y, value] for (x, y), value in cells.items()] + [[3, 0, 7.5]]
    body = heatmap_body(liquidation_leverage_data=triples)
    whole, last = decode(body, all_columns=True), decode(body)
    newest = whole.xs == whole.xs.max()
    assert whole.ys[newest].tolist() == last.ys.tolist()
    assert whole.values[newest].tolist() == last.values.tolist()


def test_codes_in_the_body_are_errors_though_http_says_200() -> None:
    """Seen on the real server: 401 with "Upgrade plan", 500 with "Server Error"."""
    with pytest.raises(CoinglassNotAllowed, match=r"PEPE 7d: .*401 \(Upgrade plan\)"):
        decode(error_body("401", "Upgrade plan"))
    with pytest.raises(CoinglassUnavailable, match=r"PEPE 7d: .*500 \(Server Error\)"):
        decode(error_body("500", "Server Error"))


def test_a_map_of_55_000_cells_decodes() -> None:
    """The largest recorded size: 390 levels by 288 columns."""
    levels, columns = 390, 288
    data = heatmap_data(levels, columns)
    data["liquidation_leverage_data"] = [[x, y, 1.5 * y] for x in range(columns) for y in range(0, levels, 2)]
    heatmap = decode(envelope(data))
    assert 195 == heatmap.values.size
    np.testing.assert_array_equal(heatmap.values, 1.5 * heatmap.ys)
