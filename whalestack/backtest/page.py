"""A report as one HTML page that needs nothing else: tables and pictures drawn in SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from whalestack.backtest.figures import Figures
from whalestack.backtest.report import AgentReport, Report, figures_row
from whalestack.clock import from_ms
from whalestack.math.heatmap import Floats

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 900, 300, 64, 28, 12
COLOURS = (
    "#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#0891b2",
    "#be185d", "#4d7c0f", "#475569", "#b45309", "#1d4ed8", "#9f1239",
)  # fmt: skip
MOST_POINTS = 600

_STYLE = """
:root{color-scheme:light}
body{font:15px/1.5 system-ui,sans-serif;color:#111827;background:#fff;max-width:1320px;
margin:32px auto;padding:0 16px}
h1{font-size:26px;margin-bottom:4px}h2{font-size:19px;margin-top:36px}h3{font-size:16px;margin:24px 0 6px}
.lead{font-size:17px;padding:12px 16px;border-left:4px solid #dc2626;background:#fef2f2}
.lead.even{border-color:#d97706;background:#fffbeb}.lead.gain{border-color:#059669;background:#ecfdf5}
table{border-collapse:collapse;font-size:13px;margin:10px 0;font-variant-numeric:tabular-nums}
th,td{padding:4px 7px;text-align:right;
border-bottom:1px solid #e5e7eb;white-space:nowrap}
th{color:#4b5563;font-weight:600;white-space:normal;vertical-align:bottom}th:first-child,td:first-child{text-align:left}
.wide{overflow-x:auto}th:first-child,td:first-child{position:sticky;left:0;background:#fff}
.picture{overflow-x:auto}svg{width:100%;min-width:620px;max-width:1000px;height:auto}
text{font:12px system-ui,sans-serif;fill:#4b5563}
.small{color:#4b5563;font-size:13px}code{font-size:12px;word-break:break-all}
"""


def page(report: Report, notes: Sequence[str] = ()) -> str:
    """The whole page.

    Args:
        report: of all accounts.
        notes: what look-ahead check and walk-forward found, a line each.
    """
    kind = "lead" if any(each.figures.pnl_pct < 0 for each in report.agents) else "lead even"
    if all(each.verdict.startswith("It gains") for each in report.agents):
        kind = "lead gain"
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width,initial-scale=1'>",
        f"<title>Backtest</title><style>{_STYLE}</style><h1>Backtest</h1>",
        f"<p class=small>{escape(_what(report))}</p><p class='{kind}'>{escape(report.headline)}</p>",
        f"<p>Buying and holding every coin: {report.buy_and_hold_pct:+.2f} %.</p>",
        "<h2>Traders side by side</h2>",
        _table([each.row() for each in report.agents]),
        "<h2>Equity</h2>",
        equity_picture(report.agents),
        _legend(report.agents),
        "<h2>The mean trade</h2>",
        "<p class=small>Dot and line: mean and its 95 % interval, none of fewer than five trades. Grey bar:"
        " where the means of random entries with the same exits lie, 95 % of them.</p>",
        mean_picture(report.agents),
        *(_agent(each) for each in report.agents),
        *_notes(notes),
        _data(report),
        "</html>",
    ]
    return "\n".join(parts)


def _notes(notes: Sequence[str]) -> list[str]:
    if not notes:
        return []
    lines = "".join(f"<li>{escape(each.strip())}" for each in notes)
    return [f"<h2>Checks</h2><ul class=small>{lines}</ul>"]


def _what(report: Report) -> str:
    return (
        f"{report.source}: {len(report.symbols)} coins, {report.candles:,} candles of {report.bar_s} s, "
        f"{from_ms(report.begin_ms):%Y-%m-%d %H:%M} to {from_ms(report.end_ms):%Y-%m-%d %H:%M} UTC"
    )


def _table(rows: Sequence[Mapping[str, object]]) -> str:
    if not rows:
        return "<p class=small>none</p>"
    head = "".join(f"<th>{escape(name.replace('_pct', ' %').replace('_', ' '))}" for name in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{escape(_cell(value))}" for value in row.values()) for row in rows)
    return f"<div class=wide><table><tr>{head}{body}</table></div>"


def _cell(value: object) -> str:
    return "" if value is None else str(value)


def _agent(agent: AgentReport) -> str:
    outcome = agent.outcome
    refused = ", ".join(f"{code} {count}" for code, count in outcome.refusals.items()) or "none"
    still = f" Still open at the end: {', '.join(outcome.open_trades)}." if outcome.open_trades else ""
    return "\n".join(
        (
            f"<h2>{escape(agent.title)}</h2><p>{escape(agent.verdict)}{escape(still)}</p>",
            f"<p class=small>{outcome.signals} signals; refused: {escape(refused)}."
            f" Digest of the decisions: <code>{outcome.decisions.digest()}</code></p>",
            "<h3>Each trade, per cent of its value</h3>",
            trades_picture([trade.pnl_pct for trade in outcome.trades]),
            "<h3>By coin</h3>",
            _grouped("coin", agent.by_coin),
            "<h3>By month</h3>",
            _grouped("month", agent.by_month),
        )
    )


def _grouped(name: str, groups: Mapping[str, Figures]) -> str:
    return _table([figures_row(name, value, figures) for value, figures in groups.items()])


def _data(report: Report) -> str:
    repairs = ", ".join(f"{rule}: {count}" for rule, count in report.repairs.items()) or "none was needed"
    left_out = ", ".join(f"{symbol} ({why})" for symbol, why in report.left_out.items()) or "none"
    return (
        f"<h2>The data</h2><p class=small>Repairs: {escape(repairs)}. Coins left out: {escape(left_out)}."
        f" Open interest is derived, not recorded, for {len(report.derived_interest)} coins; contract rows"
        f" are derived for {escape(', '.join(report.derived_instruments) or 'none')}."
        " The heat maps are those of the liquidation model.</p>"
    )


# --- pictures ---------------------------------------------------------------------------------


def _svg(body: Sequence[str], height: int = HEIGHT) -> str:
    return f"<div class=picture><svg viewBox='0 0 {WIDTH} {height}' role=img>{''.join(body)}</svg></div>"


def _nice_steps(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers between two bounds."""
    span = max(high - low, 1e-9)
    raw = span / most
    size = 10 ** np.floor(np.log10(raw))
    step = float(next(each * size for each in (1, 2, 5, 10) if each * size >= raw))
    # Adding zero turns a minus zero into a plain one.
    return [float(each) + 0.0 for each in np.arange(np.ceil(low / step) * step, high + step * 1e-6, step)]


def _across(shares: Floats) -> Floats:
    return LEFT + shares * (WIDTH - LEFT - 12)


def _up(values: Floats, low: float, high: float, height: int = HEIGHT) -> Floats:
    return TOP + (high - values) / max(high - low, 1e-9) * (height - TOP - BOTTOM)


def _grid(low: float, high: float, unit: str = " %") -> list[str]:
    lines = []
    for each in _nice_steps(low, high):
        y = float(_up(np.array(each), low, high))
        colour = "#9ca3af" if each == 0 else "#e5e7eb"
        lines.append(f"<line x1={LEFT} x2={WIDTH - 12} y1={y:.1f} y2={y:.1f} stroke='{colour}'/>")
        lines.append(f"<text x={LEFT - 6} y={y + 4:.1f} text-anchor=end>{each:g}{unit}</text>")
    return lines


def equity_picture(agents: Sequence[AgentReport]) -> str:
    """Equity of every account in per cent of its beginning."""
    curves = [(agent.curve.equity_usd / agent.outcome.start_usd - 1) * 100 for agent, _ in apart(agents)]
    low = min(float(curve.min()) for curve in curves) - 0.5
    high = max(float(curve.max()) for curve in curves) + 0.5
    body = _grid(low, high)
    at_ms = agents[0].curve.at_ms
    for share in np.linspace(0, 1, 6):
        moment = from_ms(int(at_ms[0] + share * (at_ms[-1] - at_ms[0])))
        anchor = "end" if share == 1 else "middle"
        x = float(_across(np.array(share)))
        body.append(f"<text x={x:.0f} y={HEIGHT - 8} text-anchor={anchor}>{moment:%m-%d %H:%M}</text>")
    for number, curve in enumerate(curves):
        chosen = np.unique(np.linspace(0, curve.size - 1, min(curve.size, MOST_POINTS)).astype(int))
        xs, ys = _across(chosen / max(curve.size - 1, 1)), _up(curve[chosen], low, high)
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
        colour = COLOURS[number % len(COLOURS)]
        body.append(f"<polyline points='{points}' fill=none stroke='{colour}' stroke-width=1.8 />")
    return _svg(body)


def apart(agents: Sequence[AgentReport]) -> list[tuple[AgentReport, list[str]]]:
    """The accounts that differ, each with the titles of all whose equity was the same all the time."""
    found: list[tuple[AgentReport, list[str]]] = []
    for agent in agents:
        same = (
            titles
            for other, titles in found
            if np.array_equal(other.curve.equity_usd, agent.curve.equity_usd)
        )
        titles = next(same, None)
        if titles is None:
            found.append((agent, [agent.title]))
        else:
            titles.append(agent.title)
    return found


def _legend(agents: Sequence[AgentReport]) -> str:
    entries = (
        f"<span style='color:{COLOURS[number % len(COLOURS)]}'>&#9632;</span> {escape(' = '.join(titles))}"
        for number, (_, titles) in enumerate(apart(agents))
    )
    return f"<p class=small>{'<br>'.join(entries)}</p>"


def mean_picture(agents: Sequence[AgentReport]) -> str:
    """Each account's mean trade with its interval, before that of random entries."""
    known = [(agent, agent.figures.mean_trade_pct) for agent, _ in apart(agents)]
    bounds = [0.0]
    for agent, mean in known:
        bounds += [each for each in (mean.mean, mean.low, mean.high) if each is not None] if mean else []
        bounds += [agent.random.low_pct, agent.random.high_pct] if agent.random is not None else []
    low, high = min(bounds) - 0.5, max(bounds) + 0.5
    left, row = 260, 26
    height = TOP + row * len(known) + BOTTOM

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (WIDTH - left - 20)

    body = []
    for each in _nice_steps(low, high):
        colour = "#9ca3af" if each == 0 else "#e5e7eb"
        body.append(
            f"<line x1={x(each):.1f} x2={x(each):.1f} y1={TOP} y2={height - BOTTOM} stroke='{colour}'/>"
            f"<text x={x(each):.1f} y={height - 8} text-anchor=middle>{each:g} %</text>"
        )
    for number, (agent, mean) in enumerate(known):
        y = TOP + row * number + row / 2
        body.append(f"<text x={left - 10} y={y + 4:.0f} text-anchor=end>{escape(agent.title.lower())}</text>")
        if agent.random is not None:
            width = x(agent.random.high_pct) - x(agent.random.low_pct)
            body.append(
                f"<rect x={x(agent.random.low_pct):.1f} y={y - 7:.0f} width={max(width, 1):.1f} height=14"
                " fill='#d1d5db'/>"
            )
        if mean is not None:
            colour = COLOURS[number % len(COLOURS)]
            if mean.low is not None and mean.high is not None:
                body.append(
                    f"<line x1={x(mean.low):.1f} x2={x(mean.high):.1f} y1={y:.0f} y2={y:.0f}"
                    f" stroke='{colour}' stroke-width=2 />"
                )
            body.append(f"<circle cx={x(mean.mean):.1f} cy={y:.0f} r=4 fill='{colour}'/>")
    return _svg(body, int(height))


def trades_picture(results_pct: Sequence[float]) -> str:
    """A bar for each trade, in the order in which they ended."""
    if not results_pct:
        return "<p class=small>none</p>"
    height = 180
    low, high = min(*results_pct, 0.0) - 0.5, max(*results_pct, 0.0) + 0.5
    zero = float(_up(np.array(0.0), low, high, height))
    step = (WIDTH - LEFT - 12) / len(results_pct)
    body = []
    for each in _nice_steps(low, high, 4):
        y = float(_up(np.array(each), low, high, height))
        body.append(f"<line x1={LEFT} x2={WIDTH - 12} y1={y:.1f} y2={y:.1f} stroke='#e5e7eb'/>")
        body.append(f"<text x={LEFT - 6} y={y + 4:.1f} text-anchor=end>{each:g} %</text>")
    for number, value in enumerate(results_pct):
        y = float(_up(np.array(value), low, high, height))
        colour = "#059669" if value > 0 else "#dc2626"
        body.append(
            f"<rect x={LEFT + number * step + step * 0.1:.1f} y={min(y, zero):.1f} width={step * 0.8:.1f}"
            f" height={max(abs(y - zero), 0.5):.1f} fill='{colour}'/>"
        )
    return _svg(body, height)
