"""Three bytes a number keep five significant digits."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whalestack.db.packed import BYTES_A_NUMBER, SMALLEST, pack, unpack, unpack_all

FIVE_DIGITS = st.integers(10_000, 99_999)


@given(st.lists(st.tuples(FIVE_DIGITS, st.integers(-22, 13)), max_size=50))
def test_a_number_of_five_digits_comes_back_with_all_of_them(parts: list[tuple[int, int]]) -> None:
    """From 1e-18 to 1e18, the price of a coin of nothing to all the money there is."""
    numbers = [float(Decimal(digits).scaleb(exponent)) for digits, exponent in parts]
    assert [f"{number:.4e}" for number in numbers] == [f"{number:.4e}" for number in unpack(pack(numbers))]


def test_one_bit_less_would_lose_the_fifth_digit() -> None:
    """So it is the narrowest: neighbours of 17 bits are further apart than 1e-5 just below a power of two."""
    assert 2.0**-17 < 1e-5 < 2.0**-16


@given(st.lists(st.floats(SMALLEST, 1e18), max_size=50))
def test_order_is_kept_and_packing_again_changes_nothing(numbers: list[float]) -> None:
    """So an axis ascends when it comes back, and what was read has the digest of what was written."""
    numbers.sort()
    packed = pack(numbers)
    assert (np.diff(unpack(packed)) >= 0).all()
    assert packed == pack(unpack(packed))
    assert BYTES_A_NUMBER * len(numbers) == len(packed)


@given(st.lists(st.lists(st.floats(0, 1e18), max_size=9), max_size=9))
def test_many_arrays_at_once_are_the_same_arrays(arrays: list[list[float]]) -> None:
    """Empty ones and none at all among them."""
    packed = [pack(each) for each in arrays]
    assert [unpack(each).tolist() for each in packed] == [each.tolist() for each in unpack_all(packed)]


def test_nothing_is_nothing() -> None:
    """Zero, what is too small to tell from it, and no numbers at all."""
    assert [0.0, 0.0, 1.0] == unpack(pack([0.0, 1e-30, 1.0])).tolist()
    assert 0 == unpack(pack([])).size


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf"), 1e20])
def test_what_is_no_amount_is_refused(wrong: float) -> None:
    """Rather than stored as another number."""
    with pytest.raises(ValueError, match="can be packed"):
        pack([1.0, wrong])
