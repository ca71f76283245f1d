"""What the faults have cost: the exchange's record against the database, row by row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import select

from fault_runs.system import System
from whalestack.agents.order_ids import parse_link_id
from whalestack.agents.outbox import TELEGRAM
from whalestack.db.models import Fill, Order, OutboxMessage, Signal, Trade, TradePlan
from whalestack.simulator.telegram_text import visible_text

ON_EXCHANGE = frozenset({"new", "partially_filled", "filled", "cancelled"})
NOT_THERE = frozenset({"intent", "sent", "unknown", "rejected", "refused"})
# Made by us where no fill could be had; they stand for the exchange's own account of profit.
STAND_INS = "reconciler"

HARMS = (
    "duplicated", "lost", "unprotected_position_seconds", "unprotected_spells", "entries_without_stop",
    "positions_not_in_database", "trades_not_on_exchange", "sizes_differing", "stops_differing",
    "fills_missing", "fills_invented", "trades_missing", "unresolved_orders", "signals_unattended",
    "messages_lost", "messages_sent_twice", "messages_missing", "never_recovered",
)  # fmt: skip


@dataclass
class Judgement:
    """Counts of one run, by their name in the JSON line, and what is behind those that harm."""

    counts: Counter[str] = field(default_factory=Counter)
    details: dict[str, list[Any]] = field(default_factory=dict)

    def harm(self, name: str, cases: list[Any]) -> None:
        """Note cases of a harm; the first few are kept."""
        self.counts[name] += len(cases)
        if cases:
            self.details[name] = [str(case) for case in cases[:20]]


def judge(system: System) -> Judgement:
    """Compare everything once the system has come to rest."""
    system.record.follow()
    result = Judgement()
    with system.runtime.db.begin() as work:
        orders = {row.order_link_id: row for row in work.session.scalars(select(Order))}
        trades = list(work.session.scalars(select(Trade)))
        fills = {row.exec_id: row for row in work.session.scalars(select(Fill))}
        messages = list(work.session.scalars(select(OutboxMessage)))
        unattended = list(work.session.scalars(select(Signal.id).where(Signal.status == "new")))
        signals = work.session.query(Signal).count()
        plans = list(work.session.scalars(select(TradePlan)))
    result.counts["signals"] = signals
    for plan in plans:
        why = plan.reasons[0]["code"] if plan.reasons else ""
        result.counts[f"plans_{plan.status}" + f"_{why}" * bool(why)] += 1
    result.harm("signals_unattended", unattended)
    _judge_exchange(result, system)
    _judge_orders(result, system, orders)
    _judge_positions(result, system, trades)
    _judge_lives(result, system, orders, trades)
    _judge_fills(result, system, fills, trades)
    _judge_messages(result, system, messages, trades)
    return result


def _judge_exchange(result: Judgement, system: System) -> None:
    """The simulator's own verdicts."""
    told = system.record.stats()["exchange"]
    result.counts["orders_accepted"] = told["orders_accepted"]
    result.counts["duplicated"] = told["duplicated_orders"]
    result.counts["duplicates_refused_by_exchange"] = told["duplicates_refused"]
    result.counts["unprotected_position_seconds"] = told["unprotected_position_seconds"]
    for name in ("unprotected_spells", "entries_without_stop", "stops_moved", "liquidations"):
        result.counts[name] = told[name]
    if told["twins"] or told["unprotected"]:
        result.details["exchange"] = [told["twins"], told["unprotected"]]
    result.counts["stops_loosened"] = len(system.record.loosened)
    result.details |= {"stops_loosened": system.record.loosened[:20]} if system.record.loosened else {}


def _judge_orders(result: Judgement, system: System, orders: Mapping[str, Order]) -> None:
    """Every accepted order has a row that says so, and every row that says so was accepted."""
    accepted = {each for each in system.record.accepted if parse_link_id(each) is not None}
    result.counts["orders_intended"] = len(orders)
    for status in {row.status for row in orders.values()}:
        result.counts[f"orders_{status}"] = sum(row.status == status for row in orders.values())
    unknown_here = [each for each in accepted if each not in orders or orders[each].status in NOT_THERE]
    only_here = [each for each, row in orders.items() if row.status in ON_EXCHANGE and each not in accepted]
    result.harm(
        "lost", [(each, getattr(orders.get(each), "status", None)) for each in unknown_here + only_here]
    )
    result.harm(
        "unresolved_orders",
        [each for each, row in orders.items() if row.status in ("intent", "sent", "unknown")],
    )


def _judge_positions(result: Judgement, system: System, trades: list[Trade]) -> None:
    held, ours = system.record.held(), {each.symbol: each for each in trades if each.status == "open"}
    result.counts["positions_held_at_end"] = len(held)
    result.harm("positions_not_in_database", sorted(held.keys() - ours.keys()))
    result.harm("trades_not_on_exchange", sorted(ours.keys() - held.keys()))
    both = held.keys() & ours.keys()
    sizes = {each: _signed(ours[each]) for each in both}
    result.harm(
        "sizes_differing", [(each, held[each], sizes[each]) for each in both if held[each] != sizes[each]]
    )
    stops = system.record.stops
    result.harm(
        "stops_differing",
        [(each, stops[each], ours[each].stop_loss) for each in both if stops[each] != ours[each].stop_loss],
    )
    result.counts["trades"] = len(trades)
    result.counts["trades_ended"] = sum(each.status != "open" for each in trades)
    result.counts["position_lives"] = len(system.record.opened_by)


def _judge_lives(result: Judgement, system: System, orders: Mapping[str, Order], trades: list[Trade]) -> None:
    """Every position that ever was belongs to a trade of the plan whose order opened it.

    An entry that fills in pieces may open a position again that its stop has just closed; both lives
    may then stand in one trade.
    """
    plans = {each.plan_id for each in trades}
    untold = [
        each
        for each in set(system.record.opened_by)
        if each not in orders or orders[each].plan_id not in plans
    ]
    result.harm("trades_missing", untold)


def _signed(trade: Trade) -> Decimal:
    return trade.open_qty if trade.side == "LONG" else -trade.open_qty


def _judge_fills(result: Judgement, system: System, fills: Mapping[str, Fill], trades: list[Trade]) -> None:
    there = {each for each, row in system.record.fills.items() if row["exec_type"] != "Funding"}
    here = {each for each, row in fills.items() if row.source != STAND_INS and row.exec_type != "Funding"}
    result.counts["fills"] = len(there)
    result.counts["closed_on_paper"] = sum(row.source == STAND_INS for row in fills.values())
    result.harm("fills_missing", [(each, system.record.fills[each]) for each in sorted(there - here)])
    result.harm("fills_invented", sorted(here - there))


def _judge_messages(
    result: Judgement, system: System, messages: list[OutboxMessage], trades: list[Trade]
) -> None:
    """Each row of the outbox was taken by its channel exactly once, and no trade went untold."""
    taken = {channel: Counter(texts) for channel, texts in system.record.messages().items()}
    wanted: dict[str, Counter[str]] = {channel: Counter() for channel in taken}
    says: dict[tuple[str, str], list[OutboxMessage]] = {}
    for row in messages:
        shown = visible_text(row.text) if row.channel == TELEGRAM else row.text
        wanted[row.channel][shown] += 1
        says.setdefault((row.channel, shown), []).append(row)
    lost = [(ch, text, n) for ch in taken for text, n in (wanted[ch] - taken[ch]).items()]
    twice = [(ch, text, n) for ch in taken for text, n in (taken[ch] - wanted[ch]).items()]
    result.counts["messages"] = len(messages)
    result.counts["messages_taken"] = sum(counter.total() for counter in taken.values())
    for status in {row.status for row in messages}:
        result.counts[f"messages_{status}"] = sum(row.status == status for row in messages)
    result.harm("messages_lost", [(case, _rows(says, case)) for case in lost])
    result.harm("messages_sent_twice", [(case, _rows(says, case)) for case in twice])
    told = {row.event_key for row in messages}
    untold = [f"entry:trade-{each.id}" for each in trades] + [
        f"close:trade-{each.id}" for each in trades if each.status != "open"
    ]
    result.harm("messages_missing", [each for each in untold if each not in told])


def _rows(says: Mapping[tuple[str, str], list[OutboxMessage]], case: tuple[str, str, int]) -> list[str]:
    return [f"{row.kind} {row.status} {row.error}" for row in says.get(case[:2], [])]
