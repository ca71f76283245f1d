"""Arrays of amounts and prices in three bytes a number: the narrowest that keeps five significant digits.

A number is a float of 24 bits, 7 of exponent and 17 of mantissa (18 with the leading one), without a
sign: 2^-63 to 2^64, two neighbours at most 7.6e-6 of their value apart. Five decimal digits need
neighbours closer than 1e-5, and one bit less would not do. Zero is the code 0.

The first bytes of all numbers stand first, then the second ones, then the last: what changes from one
map to the next is the low bytes, and what compresses finds the others in one piece. `map_levels` in
the database is the same format read by SQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sqlalchemy import Dialect, LargeBinary
from sqlalchemy.orm import mapped_column
from sqlalchemy.types import TypeDecorator

# What is smaller is stored as nothing.
SMALLEST = 2.0**-62
TOO_LARGE = 2.0**64
BYTES_A_NUMBER = 3

# A code is the float32's bits without the lowest 6 of its mantissa, its exponent counted from -63.
_DROPPED_BITS = 6
_HALF = 1 << (_DROPPED_BITS - 1)
_OFFSET = (127 - 63) << 17


def pack(numbers: ArrayLike) -> bytes:
    """(N,) numbers, none negative, as 3N bytes.

    Raises:
        ValueError: a number is negative, not finite, or 2^64 or more.
    """
    exact = np.asarray(numbers, dtype=np.float64)
    # NaN fails this comparison as well.
    if not ((exact >= 0) & (exact < TOO_LARGE * (1 - 1e-5))).all():
        raise ValueError("only numbers from 0 to 1.8e19 can be packed")
    bits = exact.astype(np.float32).view(np.uint32).astype(np.int64)
    codes = ((bits + _HALF) >> _DROPPED_BITS) - _OFFSET
    codes[exact < SMALLEST] = 0
    each = codes.astype(">u4").view(np.uint8).reshape(-1, 4)[:, 1:]
    return each.T.tobytes()


def unpack(packed: bytes | memoryview) -> NDArray[np.float64]:
    """(N,) numbers of 3N bytes."""
    return _numbers(*np.frombuffer(packed, dtype=np.uint8).reshape(BYTES_A_NUMBER, -1).astype(np.uint32))


def unpack_all(packed: Sequence[bytes | memoryview]) -> list[NDArray[np.float64]]:
    """Many arrays at once, in less than half the time: with small ones it is the calls that cost."""
    sizes = np.array([len(each) // BYTES_A_NUMBER for each in packed], dtype=np.int64)
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if sizes.size else 0
    # Where each number's first byte stands: the arrays before its own take three bytes a number.
    first = np.arange(total) + np.repeat((BYTES_A_NUMBER - 1) * (ends - sizes), sizes)
    plane = np.repeat(sizes, sizes)
    joined = np.frombuffer(b"".join(packed), dtype=np.uint8).astype(np.uint32)
    numbers = _numbers(joined[first], joined[first + plane], joined[first + 2 * plane])
    return [numbers[end - size : end] for size, end in zip(sizes.tolist(), ends.tolist(), strict=True)]


def _numbers(
    high: NDArray[np.uint32], middle: NDArray[np.uint32], low: NDArray[np.uint32]
) -> NDArray[np.float64]:
    codes = (high << 16) | (middle << 8) | low
    numbers = ((codes + _OFFSET) << _DROPPED_BITS).view(np.float32).astype(np.float64)
    numbers[codes == 0] = 0.0
    return numbers


class PackedNumbers(TypeDecorator[Sequence[float]]):
    """A column of packed numbers; in Python a list of floats."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: Sequence[float] | None, dialect: Dialect) -> bytes | None:
        """On the way in."""
        return None if value is None else pack(value)

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> list[float] | None:
        """On the way out."""
        return None if value is None else unpack(value).tolist()


Packed = Annotated[list[float], mapped_column(PackedNumbers)]
