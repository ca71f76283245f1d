"""The table of hit rates as a picture: SVG, made of text, lines and dots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from whalestack.math.accuracy_table import AccuracyRow
from whalestack.math.chance import Share

WIDTH, LEFT, RIGHT, LINE, HEAD = 900, 250, 170, 30, 130
SCALE = HEAD - 26
INK, GRID = "#1c2330", "#d5dae2"
MARKS = (("hit", "clusters", "#c2452d"), ("random", "random", "#5a6b85"), ("mirror", "mirror", "#2a8fa8"))

EXPLAINED = (
    "Share of clusters that were hit within their horizon, with 95 % intervals;"
    " in brackets: independent observations."
)


def told(rows: Sequence[AccuracyRow]) -> str:
    """What all rows come to, in one sentence."""
    beat = sum(row.verdict == "beats chance" for row in rows)
    few = sum(row.verdict == "too few" for row in rows)
    found = f"{beat} of {len(rows)} lines are" if beat else f"None of {len(rows)} lines is"
    return f"{found} shown to beat chance; {few} rest on too few observations."


def hit_rates_svg(tables: Mapping[str, Sequence[AccuracyRow]]) -> str:
    """Each row a line: the share of clusters hit and both kinds of chance, with 95 % intervals.

    Args:
        tables: rows by the title they stand under.
    """
    parts: list[str] = []
    top = HEAD
    for title, rows in tables.items():
        parts.append(_text(10, top, title, weight="bold"))
        parts += [_row(top + LINE * (place + 1), row) for place, row in enumerate(rows)]
        top += LINE * (len(rows) + 2)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}"'
            f' style="width:100%;max-width:{WIDTH}px" font-family="sans-serif" font-size="13" fill="{INK}">',
            f'<rect width="{WIDTH}" height="{top}" fill="white"/>',
            _text(10, 22, told([row for rows in tables.values() for row in rows]), weight="bold"),
            _text(10, 42, EXPLAINED),
            *_head(top),
            *parts,
            "</svg>\n",
        ]
    )


def _head(bottom: int) -> list[str]:
    """The legend and the scale."""
    legend = [
        _text(LEFT + 130 * place, SCALE - 30, f"● {name}", colour=colour)
        for place, (_, name, colour) in enumerate(MARKS)
    ]
    scale = [
        f'<line x1="{_x(share)}" x2="{_x(share)}" y1="{SCALE + 6}" y2="{bottom - 10}" stroke="{GRID}"/>'
        + _text(_x(share) - 12, SCALE, f"{share * 100:.0f} %")
        for share in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    return legend + scale


def _row(y: int, row: AccuracyRow) -> str:
    name = f"{row.timeframe} {row.group} ({row.hit.n:.0f})"
    marks = [
        _mark(y - 10 + 5 * place, getattr(row, field), colour)
        for place, (field, _, colour) in enumerate(MARKS)
    ]
    return "".join([_text(20, y, name), *marks, _text(WIDTH - RIGHT + 20, y, row.verdict)])


def _mark(y: int, share: Share, colour: str) -> str:
    return (
        f'<line x1="{_x(share.low)}" x2="{_x(share.high)}" y1="{y}" y2="{y}" stroke="{colour}"'
        f' stroke-width="2"/><circle cx="{_x(share.rate)}" cy="{y}" r="3.5" fill="{colour}"/>'
    )


def _x(share: float) -> float:
    return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)


def _text(x: float, y: float, text: str, *, weight: str = "normal", colour: str = INK) -> str:
    return f'<text x="{x}" y="{y}" font-weight="{weight}" fill="{colour}">{escape(text)}</text>'
