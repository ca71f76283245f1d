"""Messages of the schedule may pile up behind a long queue; the work behind them does not."""

from __future__ import annotations

import pytest
from celery import Celery

from whalestack.agents.trader_team import TraderTeam


@pytest.mark.parametrize("name", ["sweep", "expire_plans"])
def test_of_several_messages_in_a_row_the_first_works_and_one_that_was_asked_for_always_does(
    celery_app: Celery, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A stop that moved asks for the end of its plan's rungs at once."""
    runs: list[str] = []
    monkeypatch.setattr(TraderTeam, name, lambda _team: runs.append(name))
    task = celery_app.tasks[f"trade.{name}"]
    for _ in range(4):
        task(unless_within_s=15.0)
    assert len(runs) == 1
    task()
    assert len(runs) == 2
