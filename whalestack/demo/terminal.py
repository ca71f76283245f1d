"""The live screen of the demo."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from whalestack.db.models import PositionMonitorLog, RefreshRound, Trade, TradePlan
from whalestack.demo.facts import Facts


@dataclass(frozen=True)
class Heading:
    """What the first line says."""

    market: str
    market_time: datetime
    speed: float
    elapsed_s: float
    seconds: float | None
    flower_url: str


def screen(heading: Heading, facts: Facts) -> RenderableType:
    """One picture of everything that happens."""
    return Group(
        _heading(heading),
        _refresh(facts.round),
        Columns([_ranking(facts), Group(_movers(facts), _spikes(facts))], expand=False),
        _signals(facts),
        _trades(facts),
        _stop_moves(facts),
        _messages(facts),
    )


def _heading(heading: Heading) -> RenderableType:
    left = "" if heading.seconds is None else f" of {heading.seconds:.0f}"
    return Text.assemble(
        ("whalestack demo", "bold cyan"),
        f"  {heading.market}  market time {heading.market_time:%Y-%m-%d %H:%M:%S} UTC at x{heading.speed:g}",
        f"  {heading.elapsed_s:.0f}{left} s  Flower {heading.flower_url}  Ctrl-C ends it",
    )


def _refresh(latest: RefreshRound | None) -> RenderableType:
    if latest is None:
        return Text("refresh: the first round has not begun", style="dim")
    done = latest.maps_stored + latest.maps_unchanged + latest.maps_failed
    row = Table.grid(padding=(0, 1))
    maps = f"{done}/{latest.maps_due} maps, {latest.maps_failed} failed"
    row.add_row(
        f"refresh {latest.id}: {latest.coins} coins, {maps}",
        ProgressBar(total=max(latest.maps_due, 1), completed=done, width=40),
        latest.status,
    )
    return row


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 1))
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def _ranking(facts: Facts) -> RenderableType:
    table = _table("top 10", "#", "coin", "direction", "imbalance", "score", "target")
    for row in facts.ranking:
        table.add_row(
            str(row.rank), row.symbol, _direction(row.direction), _number(row.imbalance_ratio, "{:.2f}"),
            _number(row.score, "{:.1f}"), _number(row.target_price, "{:.6g}"),
        )  # fmt: skip
    return table


def _movers(facts: Facts) -> RenderableType:
    table = _table("movers", "time", "coin", "1 min", "5 min")
    for row in facts.movers:
        table.add_row(
            f"{row.detected_at:%H:%M}",
            row.symbol,
            _percent(row.price_1min_change),
            _percent(row.price_5min_change),
        )
    return table


def _spikes(facts: Facts) -> RenderableType:
    table = _table("spikes", "time", "coin", "OI 15 min", "volume", "price 5 min")
    for row in facts.spikes:
        table.add_row(
            f"{row.detected_at:%H:%M}", row.symbol, _percent(row.oi_change_pct),
            _number(row.volume_spike_ratio, "x{:.1f}"), _percent(row.price_change_pct),
        )  # fmt: skip
    return table


def _signals(facts: Facts) -> RenderableType:
    table = _table("signals and what became of them", "time", "coin", "direction", "agent", "plan")
    table.add_column("why", no_wrap=True, overflow="ellipsis", max_width=80)
    for plan in facts.plans:
        table.add_row(
            f"{plan.created_at:%H:%M}",
            plan.symbol,
            _direction(plan.direction),
            plan.agent_name,
            plan.status,
            _why(plan),
        )
    return table


def _why(plan: TradePlan) -> str:
    if plan.status == "refused":
        return "; ".join(str(r.get("text", r)) if isinstance(r, dict) else str(r) for r in plan.reasons)[:90]
    if plan.take_profit is None:
        return ""
    return f"limit {plan.limit_price:f} stop {plan.stop_loss:f} target {plan.take_profit:f}".replace(
        "0000000", ""
    )


def _trades(facts: Facts) -> RenderableType:
    table = _table("trades", "opened", "coin", "side", "entry", "stop", "target", "status", "PnL")
    for trade in facts.trades:
        table.add_row(
            f"{trade.entry_time:%H:%M}", trade.symbol, _direction(trade.side),
            *(_number(p, "{:.6g}") for p in (trade.entry_price, trade.stop_loss, trade.take_profit)),
            trade.status, _pnl(trade),
        )  # fmt: skip
    return table


def _stop_moves(facts: Facts) -> RenderableType:
    table = _table("stops moved", "time", "coin", "action", "from", "to", "at profit")
    for move in facts.stop_moves:
        table.add_row(*_stop_move(move))
    return table


def _stop_move(move: PositionMonitorLog) -> tuple[str, ...]:
    return (
        f"{move.created_at:%H:%M}", move.symbol, f"{move.action} ({move.status})",
        _number(move.old_stop_loss, "{:.6g}"), _number(move.new_stop_loss, "{:.6g}"),
        _percent(move.profit_pct_at_action),
    )  # fmt: skip


def _messages(facts: Facts) -> RenderableType:
    lines = Text("\n", no_wrap=True, overflow="ellipsis").join(
        Text(f"{row.kind:11} {' '.join(row.text.split())}") for row in facts.messages
    )
    lines.no_wrap, lines.overflow = True, "ellipsis"
    return Panel(lines if facts.messages else "none yet", title="messages delivered", title_align="left")


def _direction(direction: str | None) -> Text:
    return Text(direction or "", style={"LONG": "green", "SHORT": "red"}.get(direction or "", ""))


def _number(value: object, form: str) -> str:
    return "" if value is None else form.format(float(value))  # type: ignore[arg-type]


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:+.2f} %"


def _pnl(trade: Trade) -> Text:
    if trade.pnl_pct is None:
        return Text("")
    return Text(f"{trade.pnl_pct:+.2f} %", style="green" if trade.pnl_pct > 0 else "red")
