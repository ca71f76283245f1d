"""A range whose clusters are not shown to beat chance is not traded, and says so."""

from __future__ import annotations

import pytest

from tests.agents.test_plans import prepare, with_settings
from tests.agents.world import World
from whalestack.db.accuracy_store import store_rows
from whalestack.math.accuracy_table import AccuracyRow, Verdict
from whalestack.math.chance import Difference, Share


def measured(world: World, timeframe: str, verdict: Verdict) -> None:
    """Today's table has one line: this range of all coins."""
    share, difference = Share(0.5, 0.44, 0.56, 300.0), Difference(0.01, -0.02, 0.04)
    row = AccuracyRow(
        "all", "all", timeframe, 900, 400, 20, 4.0, share, share, share, difference, difference, verdict
    )  # fmt: skip
    with world.db.begin() as work:
        store_rows(work.session, [row], source="coinglass", now=world.clock.now())


def scene(world: World) -> None:
    """A cluster of 30d ahead at 110, nothing else."""
    prepare(world)
    world.add_maps()


def test_a_range_that_is_not_shown_to_beat_chance_is_no_target(world: World) -> None:
    """The refusal has its own name and the figures that decided."""
    scene(world)
    measured(world, "7d", "not shown")
    assert world.act(world.add_signal()).reasons == ("unproven_range",)
    [plan] = world.plans
    assert "7d of all +1.0 points (-2.0 to +4.0) over 300 observations" in str(plan.reasons)


@pytest.mark.parametrize("verdict", ["beats chance", "too few"])
def test_a_range_that_beats_chance_or_is_unknown_may_be_traded(world: World, verdict: Verdict) -> None:
    """With too few observations the learning rule decides, as before."""
    scene(world)
    measured(world, "7d", verdict)
    world.act(world.add_signal())
    assert [plan.status for plan in world.plans] == ["entering"]


def test_the_owner_may_trade_it_all_the_same(world: World) -> None:
    """TRADE_UNPROVEN=true."""
    with_settings(world, trade_unproven=True)
    scene(world)
    measured(world, "7d", "below chance")
    world.act(world.add_signal())
    assert [plan.status for plan in world.plans] == ["entering"]
