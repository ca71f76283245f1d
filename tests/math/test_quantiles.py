"""A quantile is numpy's, to the last bit."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from whalestack.math.quantiles import quantile


@given(
    st.lists(st.floats(-1e9, 1e9, allow_nan=False), min_size=1, max_size=60),
    st.sampled_from([0.0, 0.1, 0.5, 0.9, 0.95, 0.995, 1.0]),
)
def test_it_is_that_of_numpy(values: list[float], share: float) -> None:
    assert quantile(np.array(values), share) == float(np.quantile(values, share))
