"""A quantile is numpy's, to the last bit, with a floor or without."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from whalestack.math.quantiles import quantile, quantile_or_floor


@given(
    st.lists(st.floats(-1e9, 1e9, allow_nan=False), min_size=1, max_size=60),
    st.sampled_from([0.0, 0.1, 0.5, 0.9, 0.95, 0.995, 1.0]),
)
def test_it_is_that_of_numpy(values: list[float], share: float) -> None:
    assert quantile(np.array(values), share) == float(np.quantile(values, share))


@given(
    st.lists(st.sampled_from([0.0, 1.0, 1.5, 2.0, 3.0]) | st.floats(0, 4), min_size=1, max_size=60),
    st.sampled_from([0.0, 0.5, 0.75, 0.9, 0.95, 1.0]),
    st.sampled_from([0.5, 1.5, 2.0, 5.0]),
)
def test_a_floor_changes_nothing_above_it(values: list[float], share: float, floor: float) -> None:
    assert quantile_or_floor(np.array(values), share, floor) == max(floor, quantile(np.array(values), share))
