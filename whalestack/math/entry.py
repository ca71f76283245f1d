"""Where a trade enters and where it takes its profit, for each strategy.

CONSERVATIVE: a limit 2 % short of the target's near edge (LONG at `cluster_low` less 2 %,
SHORT at `cluster_high` plus 2 %): it waits for a pullback when the target is near.
AGGRESSIVE: a limit at the target's near edge, which fills at the market unless price is
there already; its stop starts beyond the far side of the nearest cluster behind the
entry (a stop beyond the far side of the target itself would lie on the profit side).
REVERSAL: fades a cluster that has just been hit, SHORT at 99.5 % of its high or LONG at
100.5 % of its low, toward the next cluster of the other side.

A limit on the far side of the market fills at once at the market's price, so the price
that everything is computed from is the one the plan will get.
"""

from __future__ import annotations

from dataclasses import dataclass

from whalestack.math.clusters import Cluster
from whalestack.math.directions import Direction, Strategy, sign, target_side
from whalestack.math.refusals import Refusal


@dataclass(frozen=True)
class EntryPlan:
    """An entry before rounding. Prices in quote currency.

    Args:
        strategy, direction: of the plan.
        limit_price: what the order asks for.
        expected_price: what it will get: the limit, or the market where the limit lies beyond it.
        take_profit: the target's centre.
        fills_at_once: the limit lies on the far side of the market.
        reward_pct: from the expected price to the take-profit, per cent, above 0.
        stop_beyond: the price that the stop has to lie beyond (AGGRESSIVE), else None.
    """

    strategy: Strategy
    direction: Direction
    limit_price: float
    expected_price: float
    take_profit: float
    fills_at_once: bool
    reward_pct: float
    stop_beyond: float | None = None


def plan_entry(
    strategy: Strategy,
    direction: Direction,
    *,
    bid: float,
    ask: float,
    target: Cluster,
    hit: Cluster | None = None,
    behind: Cluster | None = None,
    offset_pct: float = 2.0,
    fade_pct: float = 0.5,
) -> EntryPlan | Refusal:
    """The entry of one strategy.

    Args:
        strategy: see above.
        direction: of the trade, not of the ranking.
        bid, ask: the market now; a LONG that fills at once pays the ask.
        target: the cluster that price is to reach.
        hit: REVERSAL: the cluster that has just been hit.
        behind: AGGRESSIVE: the nearest cluster on the stop's side, None if there is none.
        offset_pct: CONSERVATIVE: how far short of the near edge.
        fade_pct: REVERSAL: how far inside the hit cluster's far edge.

    Returns:
        Refusal `bad_market` (no bid and ask), `wrong_side_target` (the target's side is
        not the direction's), `no_hit_cluster` or `wrong_side_hit` (REVERSAL),
        `target_not_ahead` (price is past the target's centre already).
    """
    if not 0 < bid <= ask:
        return Refusal("bad_market", f"bid {bid:g} and ask {ask:g} are no market")
    if target.side != target_side(direction):
        return Refusal("wrong_side_target", f"a {direction} has no target in {target.side} liquidations")
    limit = _limit(strategy, direction, target, hit, offset_pct, fade_pct)
    if isinstance(limit, Refusal):
        return limit
    market = ask if direction == "LONG" else bid
    at_once = (limit - market) * sign(direction) >= 0
    expected = market if at_once else limit
    reward_pct = (target.price_center - expected) / expected * 100 * sign(direction)
    if reward_pct <= 0:
        return Refusal(
            "target_not_ahead",
            f"the entry at {expected:g} is past the target's centre {target.price_center:g}",
        )
    return EntryPlan(
        strategy=strategy,
        direction=direction,
        limit_price=limit,
        expected_price=expected,
        take_profit=target.price_center,
        fills_at_once=at_once,
        reward_pct=reward_pct,
        stop_beyond=_stop_beyond(strategy, direction, behind, expected),
    )


def _limit(
    strategy: Strategy,
    direction: Direction,
    target: Cluster,
    hit: Cluster | None,
    offset_pct: float,
    fade_pct: float,
) -> float | Refusal:
    if strategy == "CONSERVATIVE":
        return target.near_edge * (1 - sign(direction) * offset_pct / 100)
    if strategy == "AGGRESSIVE":
        return target.near_edge
    if hit is None:
        return Refusal("no_hit_cluster", "a reversal fades a cluster that was just hit, there is none")
    if hit.side == target_side(direction):
        return Refusal("wrong_side_hit", f"a {direction} cannot fade {hit.side} liquidations")
    return hit.far_edge * (1 + sign(direction) * fade_pct / 100)


def _stop_beyond(
    strategy: Strategy, direction: Direction, behind: Cluster | None, expected: float
) -> float | None:
    if strategy != "AGGRESSIVE" or behind is None:
        return None
    is_behind = (expected - behind.far_edge) * sign(direction) > 0
    return behind.far_edge if is_behind else None
