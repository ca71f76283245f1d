"""What of the private stream reaches a worker: everything that can change anything, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from whalestack.agents.private_news import has_news

HELD = {"symbol": "COAIUSDT", "side": "Buy", "size": "3"}


@pytest.mark.parametrize(
    ("topic", "row", "expected"),
    [
        ("position", {**HELD, "stopLoss": "94.1"}, False),
        ("position.linear", {**HELD, "stopLoss": ""}, True),
        ("position", {**HELD, "stopLoss": "0.00"}, True),
        ("position", HELD, True),
        ("position", {**HELD, "stopLoss": "nan"}, True),
        ("position", {**HELD, "stopLoss": "-1"}, True),
        ("position", {**HELD, "size": "0", "stopLoss": ""}, False),
        ("order", {"orderLinkId": "", "stopOrderType": "StopLoss"}, False),
        ("order", {"orderLinkId": "conservative-1_1_t4do00_e0"}, True),
        ("order", {}, True),
        ("execution", {"orderLinkId": ""}, True),
        ("something.new", {}, True),
    ],
)
def test_a_message_is_handed_on_where_there_may_be_something_to_do(
    topic: str, row: dict[str, Any], expected: bool
) -> None:
    assert has_news(topic, [row]) is expected


def test_one_row_is_enough() -> None:
    assert has_news("position", [{**HELD, "stopLoss": "94"}, {**HELD, "stopLoss": ""}])
    assert not has_news("position", [])
