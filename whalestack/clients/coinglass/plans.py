"""CoinGlass's plans: how many calls each allows, and what it serves.

From CoinGlass's published table of plans. What the server's headers say of the limit wins over this
table (one source says 600 calls for Professional), and so does a refusal: see `CoinglassNotInPlan`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Plan:
    """One plan.

    Args:
        name: as COINGLASS_PLAN has it.
        calls_per_min: None where CoinGlass publishes no figure.
        heat_maps: whether heat maps, liquidation maps and max pain are served.
        coins_markets: whether coins-markets and the sockets are served.
    """

    name: str
    calls_per_min: int | None
    heat_maps: bool
    coins_markets: bool

    def calls(self, configured_per_min: int) -> int:
        """The smaller of the plan's and the owner's calls a minute."""
        return (
            configured_per_min if self.calls_per_min is None else min(self.calls_per_min, configured_per_min)
        )


_ALL = (
    # Not said: the server's headers and refusals tell.
    Plan("", None, heat_maps=True, coins_markets=True),
    Plan("hobbyist", 30, heat_maps=False, coins_markets=False),
    Plan("startup", 80, heat_maps=False, coins_markets=False),
    Plan("standard", 300, heat_maps=False, coins_markets=True),
    Plan("professional", 1200, heat_maps=True, coins_markets=True),
    Plan("enterprise", None, heat_maps=True, coins_markets=True),
)
PLANS: Mapping[str, Plan] = MappingProxyType({plan.name: plan for plan in _ALL})


def plan_obstacle(named: str, told: str | None) -> str | None:
    """What is wrong with the plan, None if nothing is.

    Args:
        named: COINGLASS_PLAN, "" if not said.
        told: the level that CoinGlass says the key has, None where it does not tell.
    """
    level = (told or "").lower()
    if named and level and named != level:
        return f"COINGLASS_PLAN is {named}, CoinGlass says {level}: set it to that"
    plan = PLANS.get(level or named)
    if plan is None or plan.heat_maps:
        return None
    able = " or ".join(each.name for each in PLANS.values() if each.heat_maps and each.name)
    return f"the CoinGlass plan {plan.name} serves no heat maps: it takes {able}"
