"""CoinGlass replies for tests, in the shape that was recorded."""

from __future__ import annotations

import json
from typing import Any

FIRST_S = 1_777_282_500


def heatmap_data(
    levels: int = 5, columns: int = 4, *, price: float = 100.0, step_s: int = 300
) -> dict[str, Any]:
    """A small map: at level y of column x stand 1000*x + y USD, level 0 is empty."""
    return {
        "y_axis": [round(price * (0.98 + 0.01 * level), 8) for level in range(levels)],
        "liquidation_leverage_data": [
            [x, y, 1000.0 * x + y] for x in range(columns) for y in range(1, levels)
        ],
        "price_candlesticks": [
            [FIRST_S + step_s * x, "99.5", "101", "99", str(price), "63753192.1129"] for x in range(columns)
        ],
        "update_time": (FIRST_S + step_s * columns) * 1000,
    }


def envelope(data: object, code: object = "0", **more: object) -> bytes:
    """A reply's body as the server writes it: without spaces."""
    return json.dumps({"code": code, "msg": "success", "data": data, **more}, separators=(",", ":")).encode()


def heatmap_body(**changes: Any) -> bytes:
    """The body of a small map, parts of its data replaced."""
    return envelope(heatmap_data() | changes)


def error_body(code: str, message: str) -> bytes:
    """What CoinGlass sends instead of data."""
    return json.dumps({"code": code, "msg": message}).encode()
