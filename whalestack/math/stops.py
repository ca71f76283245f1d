"""Where the first stop goes, and how it follows the profit. A stop only ratchets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from whalestack.math.clusters import Cluster
from whalestack.math.directions import Direction, sign
from whalestack.math.refusals import Refusal
from whalestack.math.rounding import decimal_of, round_stop

# "Just behind the stop": this near to it, in per cent of the entry, price is likely to be drawn through.
LOOK_BEHIND_PCT = 2.0


@dataclass(frozen=True)
class StopChoice:
    """A first stop before rounding.

    Args:
        stop_price: in quote currency.
        distance_pct: from the entry, per cent of the entry, above 0.
        reasons: what moved it there, in order.
    """

    stop_price: float
    distance_pct: float
    reasons: tuple[str, ...]


def choose_stop(
    direction: Direction,
    entry_price: float,
    *,
    wick_pct: float | None,
    clusters: Iterable[Cluster],
    stop_min_pct: float,
    stop_max_pct: float,
    beyond_pct: float,
    stop_beyond: float | None = None,
    look_behind_pct: float = LOOK_BEHIND_PCT,
) -> StopChoice | Refusal:
    """The stop of an entry: the coin's wicks, and nothing attractive just behind.

    The coin's adverse wick, kept within the two bounds; without a record the far bound,
    because too near a stop is lost for sure and the size shrinks with the distance. Where
    a cluster lies just behind the stop or the stop lies in it, the stop goes beyond it,
    and again for the next one.

    Args:
        direction: of the trade.
        entry_price: the price that the plan expects to get.
        wick_pct: how far wicks run against such an entry, None where there is no record.
        clusters: of any range; those that are not on the stop's side are left out.
        stop_min_pct, stop_max_pct: bounds of the distance, per cent of the entry.
        beyond_pct: how far beyond a cluster's far edge the stop goes, per cent of the edge.
        stop_beyond: a price that the stop must lie beyond (see `EntryPlan`).
        look_behind_pct: how near behind the stop a cluster matters, per cent of the entry.

    Returns:
        Refusal `stop_too_far` where that needs more than `stop_max_pct`, `bad_price` for an
        entry that is not above 0.
    """
    if not entry_price > 0:
        return Refusal("bad_price", f"an entry at {entry_price:g} is no price")
    distance, reasons = _from_wicks(wick_pct, stop_min_pct, stop_max_pct)
    if stop_beyond is not None:
        needed = _distance_beyond(direction, entry_price, stop_beyond, beyond_pct)
        if needed > distance:
            distance, reasons = needed, [*reasons, f"beyond the cluster that ends at {stop_beyond:g}"]
    for near, far, edge in _spans_behind(direction, entry_price, clusters):
        if near <= distance + look_behind_pct and far >= distance:
            distance = max(distance, _distance_beyond(direction, entry_price, edge, beyond_pct))
            reasons.append(f"beyond the liquidity that ends at {edge:g}")
    if distance > stop_max_pct:
        return Refusal(
            "stop_too_far",
            f"a stop {'; '.join(reasons)} is {distance:.2f} % away, more than {stop_max_pct:g} %",
        )
    return StopChoice(entry_price * (1 - sign(direction) * distance / 100), distance, tuple(reasons))


def trailing_stop(
    direction: Direction,
    entry: Decimal,
    price: Decimal,
    current_stop: Decimal | None,
    steps: Sequence[tuple[float, float]],
    *,
    tick_size: Decimal,
    best_price: Decimal | None = None,
) -> Decimal | None:
    """The stop that the profit now allows, or None where the present one stays.

    The highest step that the profit has reached wins; one whose stop would lie at or past
    the price is passed over for the next lower one. So a price that touched a step and fell
    back still moves the stop, as far as the price allows; where it has fallen through every
    stop that it had earned, nothing is closed for a price that is over, and the stop follows
    once the price is back (`next_look_price`).

    Args:
        direction: of the position.
        entry: its average price.
        price: the last price.
        current_stop: None for a position without a stop.
        steps: (profit_pct, stop_pct) in any order, both in per cent of the entry: at this
            profit the stop lies at that profit.
        tick_size: the result is a multiple of it, rounded toward the price.
        best_price: the best price that the position has seen since its entry; the profit
            counts from it when it is better than `price`.

    Returns:
        A stop strictly better than `current_stop` and strictly on the losing side of
        `price`.
    """
    way = sign(direction)
    best = _best(direction, price, best_price)
    for reached, stop in _steps(direction, entry, steps, tick_size):
        if (best - reached) * way >= 0 and (price - stop) * way > 0:
            return stop if _is_better(direction, stop, current_stop) else None
    return None


def next_look_price(
    direction: Direction,
    entry: Decimal,
    price: Decimal,
    current_stop: Decimal | None,
    steps: Sequence[tuple[float, float]],
    *,
    tick_size: Decimal,
    best_price: Decimal | None = None,
) -> Decimal | None:
    """The nearest price ahead at which `trailing_stop` will say more than it says now.

    That is the next step, or, where the price has fallen through a stop that the best price had
    earned, the first price at which that stop can be set.

    Args:
        direction, entry, price, steps, tick_size, best_price: as in `trailing_stop`.
        current_stop: after the move that `trailing_stop` asked for.

    Returns:
        None when there is nothing more to wait for.
    """
    way = sign(direction)
    best = _best(direction, price, best_price)
    looks = []
    for reached, stop in _steps(direction, entry, steps, tick_size):
        if (best - reached) * way < 0:
            looks.append(reached)
        elif (price - stop) * way <= 0 and _is_better(direction, stop, current_stop):
            looks.append(stop + way * tick_size)
    return min(looks, key=lambda each: each * way, default=None)


def _best(direction: Direction, price: Decimal, best_price: Decimal | None) -> Decimal:
    way = sign(direction)
    return price if best_price is None or (price - best_price) * way > 0 else best_price


def _steps(
    direction: Direction, entry: Decimal, steps: Sequence[tuple[float, float]], tick_size: Decimal
) -> list[tuple[Decimal, Decimal]]:
    """(price that reaches the step, its stop) of each, highest first."""
    way = sign(direction)
    found = []
    for reached_pct, stop_pct in sorted(steps, reverse=True):
        wanted = entry * (1 + way * decimal_of(stop_pct) / 100)
        if wanted > 0:
            reached = entry * (1 + way * decimal_of(reached_pct) / 100)
            found.append((reached, round_stop(direction, wanted, tick_size)))
    return found


def _is_better(direction: Direction, stop: Decimal, current_stop: Decimal | None) -> bool:
    return current_stop is None or (stop - current_stop) * sign(direction) > 0


def _from_wicks(wick_pct: float | None, low_pct: float, high_pct: float) -> tuple[float, list[str]]:
    if wick_pct is None:
        return high_pct, [f"at the far bound of {high_pct:g} %, for there is no record of wicks"]
    distance = min(max(wick_pct, low_pct), high_pct)
    return distance, [f"{distance:.2f} % for wicks of {wick_pct:.2f} %"]


def _distance_beyond(direction: Direction, entry: float, edge: float, beyond_pct: float) -> float:
    """Distance from the entry to a stop beyond `edge`, per cent of the entry."""
    way = sign(direction)
    return (entry - edge * (1 - way * beyond_pct / 100)) / entry * 100 * way


def _spans_behind(
    direction: Direction, entry: float, clusters: Iterable[Cluster]
) -> list[tuple[float, float, float]]:
    """(near, far, far edge) of the clusters on the stop's side, near to far, distances in per cent."""
    way = sign(direction)
    spans = []
    for cluster in clusters:
        low_pct = (entry - cluster.price_low) / entry * 100 * way
        high_pct = (entry - cluster.price_high) / entry * 100 * way
        near, far = sorted((low_pct, high_pct))
        if far > 0:
            spans.append((near, far, cluster.price_low if direction == "LONG" else cluster.price_high))
    return sorted(spans)
