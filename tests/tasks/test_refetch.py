"""A coin that is about to be traded is learned anew before the trader looks at it again."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery

from whalestack.tasks import base

pytestmark = pytest.mark.pipeline


class Recorder:
    """Stands for a service; writes down what was called, with the symbol."""

    def __init__(self, name: str, calls: list[tuple[str, str]]) -> None:
        self._name, self._calls = name, calls

    def refresh(self, symbol: str) -> None:
        self._calls.append((self._name, symbol))

    def refetch(self, symbol: str, reason: str, then_signal_id: int | None = None) -> None:
        self._calls.append((f"{self._name} for signal {then_signal_id}", symbol))


@pytest.fixture
def calls(celery_app: Celery) -> list[tuple[str, str]]:
    calls: list[tuple[str, str]] = []
    services: dict[str, Any] = {
        "coin_history_scanner": Recorder("record", calls),
        "threshold_scanner": Recorder("threshold", calls),
        "heatmap_scanner": Recorder("maps", calls),
    }
    base.get_runtime().__dict__.update(services)
    return calls


def test_with_a_signal_everything_is_made_anew_and_the_maps_last(
    celery_app: Celery, calls: list[tuple[str, str]]
) -> None:
    """The maps send the signal back, so what the plan needs besides must be there by then."""
    celery_app.tasks["refetch.coin"](symbol="EVAAUSDT", reason="pre-trade", signal_id=7)
    assert calls == [("record", "EVAAUSDT"), ("threshold", "EVAAUSDT"), ("maps for signal 7", "EVAAUSDT")]


def test_without_a_signal_only_the_maps_are_fetched(celery_app: Celery, calls: list[tuple[str, str]]) -> None:
    celery_app.tasks["refetch.coin"](symbol="EVAAUSDT", reason="mover")
    assert calls == [("maps for signal None", "EVAAUSDT")]
