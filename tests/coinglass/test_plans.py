"""What a plan allows, and what is said of one that does not serve heat maps."""

from __future__ import annotations

import pytest

from whalestack.clients.coinglass.plans import PLANS, plan_obstacle


def test_the_smaller_of_the_plans_and_the_owners_calls_holds() -> None:
    """Enterprise publishes no figure, and a plan that is not named bounds nothing."""
    assert 300 == PLANS["standard"].calls(1200)
    assert 100 == PLANS["standard"].calls(100)
    assert 5000 == PLANS["enterprise"].calls(5000) == PLANS[""].calls(5000)


@pytest.mark.parametrize(
    ("named", "told", "says"),
    [
        ("", None, None),
        ("professional", None, None),
        ("professional", "PROFESSIONAL", None),
        ("", "ENTERPRISE", None),
        ("", "A PLAN OF NEXT YEAR", None),
        ("startup", None, "plan startup serves no heat maps: it takes professional or enterprise"),
        ("", "STANDARD", "plan standard serves no heat maps"),
        ("professional", "STANDARD", "COINGLASS_PLAN is professional, CoinGlass says standard"),
    ],
)
def test_a_plan_that_will_not_do_is_named(named: str, told: str | None, says: str | None) -> None:
    """By what the settings name and what CoinGlass tells of the key."""
    found = plan_obstacle(named, told)
    assert found is None if says is None else says in (found or "")
