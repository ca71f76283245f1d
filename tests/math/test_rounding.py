"""Rounding to the side that cannot hurt."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whalestack.math.rounding import (
    decimal_of,
    round_entry,
    round_price,
    round_qty_down,
    round_stop,
    round_take_profit,
)

D = Decimal


@pytest.mark.parametrize(("toward", "expected"), [("down", "100.0"), ("up", "100.5"), ("nearest", "100.5")])
def test_price_by_hand(toward, expected):
    """100.3 on a tick of 0.5."""
    assert round_price(D("100.3"), D("0.5"), toward) == D(expected)


def test_a_price_on_the_tick_stays():
    """0.0123 on 0.0001, every way."""
    for toward in ("down", "up", "nearest"):
        assert round_price(D("0.0123"), D("0.0001"), toward) == D("0.0123")


def test_sides():
    """A LONG's entry and target round down and its stop up; a SHORT's the other way."""
    price, tick = D("10.07"), D("0.1")
    assert (round_entry("LONG", price, tick), round_entry("SHORT", price, tick)) == (D("10.0"), D("10.1"))
    assert (round_stop("LONG", price, tick), round_stop("SHORT", price, tick)) == (D("10.1"), D("10.0"))
    assert (round_take_profit("LONG", price, tick), round_take_profit("SHORT", price, tick)) == (
        D("10.0"),
        D("10.1"),
    )


def test_below_one_tick_is_one_tick():
    """A price of zero is no order."""
    assert round_price(D("0.00001"), D("0.001"), "down") == D("0.001")


def test_quantity_by_hand():
    """12.39 in steps of 0.5 is 12.0; less than a step is nothing."""
    assert round_qty_down(D("12.39"), D("0.5")) == D("12.0")
    assert round_qty_down(D("0.4"), D("0.5")) == 0
    assert round_qty_down(D("-3"), D("0.5")) == 0


def test_nonsense_is_a_programmers_error():
    """A tick or step of zero would divide by zero."""
    with pytest.raises(ValueError, match="tick"):
        round_price(D(1), D(0), "down")
    with pytest.raises(ValueError, match="step"):
        round_qty_down(D(1), D(0))


def test_a_float_becomes_the_decimal_it_prints_as():
    """0.1 is 0.1."""
    assert decimal_of(0.1) == D("0.1")


positive = st.decimals("0.0001", "100000", places=6)
ticks = st.sampled_from([D("0.0001"), D("0.01"), D("0.025"), D("0.5"), D(10)])


@given(positive, ticks)
def test_a_rounded_price_is_a_tick_within_one_tick(price, tick):
    """Down is not above, up is not below, neither by a tick or more (save for the least price)."""
    down, up = round_price(price, tick, "down"), round_price(price, tick, "up")
    assert down % tick == up % tick == 0
    assert up - tick < price <= up
    assert down == tick or down <= price < down + tick


@given(positive, ticks)
def test_a_rounded_quantity_is_never_more(qty, step):
    """It is a multiple of the step, less than one step short."""
    rounded = round_qty_down(qty, step)
    assert rounded % step == 0
    assert rounded <= qty < rounded + step
