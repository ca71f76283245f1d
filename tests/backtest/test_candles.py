"""Candles as they come: each kind of damage is repaired by its rule and counted, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from whalestack.backtest.candles import read_folder
from whalestack.backtest.repair import CLOSE, HIGH, LOW, VOLUME, Repairs, Rows, repaired
from whalestack.errors import StopAndTell

STEP_MS = 300_000
GOOD = np.array([[10.0] * 6, [11.0] * 6, [9.0] * 6, [10.0] * 6, [5.0] * 6, [50.0] * 6])


def rows(starts: list[int], values: np.ndarray | None = None) -> Rows:
    moments = STEP_MS * np.array(starts, dtype=np.int64)
    return Rows(moments, (GOOD if values is None else values)[:, : len(starts)].copy())


def repair(given: Rows) -> tuple[Rows, dict[str, int]]:
    repairs = Repairs()
    return repaired("XUSDT", given, 300, repairs), dict(repairs.totals())


def test_good_candles_stay_as_they_are() -> None:
    given = rows([1, 2, 3])
    fixed, counted = repair(given)

    assert (fixed.values == given.values).all()
    assert {} == counted


def test_candles_out_of_order_are_sorted_and_counted() -> None:
    fixed, counted = repair(rows([3, 1, 2]))

    assert [1, 2, 3] == (fixed.start_ms // STEP_MS).tolist()
    assert {"out of order": 1} == counted


def test_the_same_candle_twice_is_one() -> None:
    fixed, counted = repair(rows([1, 2, 2]))

    assert 2 == len(fixed)
    assert {"duplicate": 1} == counted


def test_of_two_candles_of_one_moment_the_one_with_more_volume_is_kept() -> None:
    values = GOOD.copy()
    values[CLOSE, 1], values[VOLUME, 1] = 10.5, 9.0
    fixed, counted = repair(rows([1, 2, 2], values))

    assert 10.5 == fixed.values[CLOSE, 1]
    assert {"contradicting duplicate": 1} == counted


def test_a_hole_is_filled_with_the_last_close_and_no_volume() -> None:
    fixed, counted = repair(rows([1, 4]))

    assert 4 == len(fixed)
    assert [10.0, 10.0] == fixed.values[HIGH, 1:3].tolist()
    assert [0.0, 0.0] == fixed.values[VOLUME, 1:3].tolist()
    assert {"hole filled": 2} == counted


def test_a_hole_of_more_than_a_week_is_refused() -> None:
    with pytest.raises(StopAndTell, match="hole"):
        repair(rows([1, 1 + 8 * 288]))


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_a_candle_whose_price_is_none_is_dropped(bad: float) -> None:
    values = GOOD.copy()
    values[LOW, 1] = bad
    fixed, counted = repair(rows([1, 2, 3], values))

    assert {"bad price": 1, "hole filled": 1} == counted
    assert 3 == len(fixed)


def test_a_range_that_does_not_hold_its_close_is_widened() -> None:
    values = GOOD.copy()
    values[CLOSE, 1] = 12.0
    fixed, counted = repair(rows([1, 2, 3], values))

    assert 12.0 == fixed.values[HIGH, 1]
    assert {"range widened": 1} == counted


def test_a_negative_volume_is_none() -> None:
    values = GOOD.copy()
    values[VOLUME, 1] = -3.0
    fixed, counted = repair(rows([1, 2, 3], values))

    assert 0.0 == fixed.values[VOLUME, 1]
    assert {"bad volume": 1} == counted


def test_a_moment_off_the_grid_is_dropped() -> None:
    given = rows([1, 2, 3])
    given.start_ms[1] += 1
    _, counted = repair(given)

    assert {"hole filled": 1, "off the grid": 1} == counted


def _write(folder: Path, moments: list[str]) -> None:
    frame = pd.DataFrame({"timestamp": moments})
    for name, value in (("open", 1.0), ("high", 1.1), ("low", 0.9), ("close", 1.0)):
        frame[name] = value
    frame["volume"], frame["turnover"] = 5.0, 5.0
    frame.to_csv(folder / "XUSDT_5m.csv", index=False)


def test_a_moment_without_a_zone_is_utc_and_one_with_a_zone_is_moved(tmp_path: Path) -> None:
    _write(tmp_path, ["2025-10-20T02:00:00+02:00", "2025-10-20T02:05:00+02:00"])

    start_ms = read_folder(tmp_path).coins[0].rows[300].start_ms

    assert [1_760_918_400_000, 1_760_918_700_000] == start_ms.tolist()


def test_mixed_time_zones_are_refused(tmp_path: Path) -> None:
    _write(tmp_path, ["2025-10-20T00:00:00+00:00", "2025-10-20T02:05:00+02:00"])

    with pytest.raises(StopAndTell, match="time zones"):
        read_folder(tmp_path)


def test_a_folder_without_candles_is_named(tmp_path: Path) -> None:
    with pytest.raises(StopAndTell, match="holds neither"):
        read_folder(tmp_path)
