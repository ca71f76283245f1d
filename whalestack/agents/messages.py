"""The words of every message: pure functions from facts to a text for each channel.

Every text names the agent that acted and the scanner that saw it. Profit, risk and
moves are told in per cent, never in dollars: a reader's account is not the owner's.
The X text ends with the market time in seconds, because X refuses the same text twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from html import escape

from whalestack.clients.telegram.limits import utf16_length
from whalestack.clients.x.weighted import MAX_WEIGHTED, cut_to, fit, weighted_length
from whalestack.config import MessageKind

Kind = MessageKind
Price = Decimal | float

# Together with the time below the 4,096 characters that Telegram takes.
_MAX_BODY = 3000
_MAX_HEAD = 400
_MAX_X_NAMES = 80


@dataclass(frozen=True)
class MessageText:
    """One message in the words of each channel.

    Args:
        telegram: HTML as Telegram's parse mode HTML takes it, data escaped, at most
            4096 characters after parsing.
        x: plain text of at most 280 weighted characters, with its market time in it.
    """

    telegram: str
    x: str


def signal(
    *,
    agent_name: str,
    scanner: str,
    symbol: str,
    direction: str,
    rank: int,
    score: float,
    price: Price,
    oi_change_15m_pct: float,
    price_change_5m_pct: float,
    volume_spike_ratio: float,
    at: datetime,
    target_price: Price | None = None,
) -> MessageText:
    """A ranked coin has triggered.

    Args:
        agent_name: who tells it.
        scanner: the scanner that saw the trigger.
        symbol: Bybit symbol.
        direction: LONG or SHORT.
        rank: place in the ranking, 1 is the first.
        score: of the ranking, without unit.
        price: at the trigger, Bybit price units.
        oi_change_15m_pct: open interest over 15 minutes, per cent.
        price_change_5m_pct: price over 5 minutes, per cent.
        volume_spike_ratio: 5-minute volume over its 1-hour average.
        at: market time of the trigger.
        target_price: centre of the liquidity that is aimed at, if known.
    """
    lines = [
        f"Rank {rank}, score {score:.1f}, price {_price(price)}",
        f"OI {oi_change_15m_pct:+.1f} % in 15m, price {price_change_5m_pct:+.1f} % in 5m, "
        f"volume {volume_spike_ratio:.1f}x",
    ]
    if target_price is not None:
        lines.append(f"Liquidity at {_price(target_price)} ({_move_pct(price, target_price):+.1f} %)")
    return _compose("Signal", f"{symbol} {direction}", lines, agent_name, scanner, at)


def entry(
    *,
    agent_name: str,
    scanner: str,
    symbol: str,
    direction: str,
    entry_price: Price,
    stop_loss: Price,
    take_profit: Price | None,
    at: datetime,
    leverage: Price | None = None,
    strategy: str = "",
) -> MessageText:
    """A position was opened, told with the distance of its stop and target in per cent.

    Args:
        agent_name: who opened it.
        scanner: the scanner behind its signal.
        symbol: Bybit symbol.
        direction: LONG or SHORT.
        entry_price: what was paid, Bybit price units.
        stop_loss: price of the stop on the exchange.
        take_profit: price of the target on the exchange, if there is one.
        at: market time of the fill.
        leverage: of the position, if set.
        strategy: CONSERVATIVE, AGGRESSIVE or REVERSAL, if the agent has one.
    """
    lines = [
        f"Filled at {_price(entry_price)}" + (f", {float(leverage):g}x" if leverage is not None else ""),
        f"Stop {_price(stop_loss)} ({_move_pct(entry_price, stop_loss):+.1f} %)",
    ]
    if take_profit is not None:
        lines.append(f"Target {_price(take_profit)} ({_move_pct(entry_price, take_profit):+.1f} %)")
    if strategy:
        lines.append(f"Strategy {strategy}")
    return _compose("Entry", f"{symbol} {direction}", lines, agent_name, scanner, at)


def stop_moved(
    *,
    agent_name: str,
    scanner: str,
    symbol: str,
    direction: str,
    entry_price: Price,
    old_stop: Price | None,
    new_stop: Price,
    profit_pct: float,
    at: datetime,
) -> MessageText:
    """A stop was moved, or set where there was none.

    Args:
        agent_name: who moved it.
        scanner: the scanner behind the trade's signal.
        symbol: Bybit symbol.
        direction: LONG or SHORT.
        entry_price: average entry, Bybit price units.
        old_stop: price of the stop before; None where there was no stop.
        new_stop: price of the stop now.
        profit_pct: profit at the move, per cent of entry price.
        at: market time of the move.
    """
    locked_pct = _profit_pct(direction, entry_price, new_stop)
    came_from = f"from {_price(old_stop)} " if old_stop is not None else ""
    lines = [
        f"Profit {profit_pct:+.1f} %",
        f"Stop {came_from}to {_price(new_stop)} ({locked_pct:+.1f} % if hit)",
    ]
    return _compose("Stop moved", f"{symbol} {direction}", lines, agent_name, scanner, at)


def close(
    *,
    agent_name: str,
    scanner: str,
    symbol: str,
    direction: str,
    entry_price: Price,
    exit_price: Price,
    pnl_pct: float,
    exit_reason: str,
    held_s: float,
    at: datetime,
) -> MessageText:
    """A trade ended.

    Args:
        agent_name: whose trade it was.
        scanner: the scanner behind its signal.
        symbol: Bybit symbol.
        direction: LONG or SHORT.
        entry_price: average entry, Bybit price units.
        exit_price: average exit.
        pnl_pct: profit after fees and funding, per cent of entry value.
        exit_reason: take-profit, stop, liquidation, by hand, ...
        held_s: market seconds from the first fill to the last.
        at: market time of the last fill.
    """
    lines = [
        f"Result {pnl_pct:+.2f} % after costs",
        f"{_price(entry_price)} to {_price(exit_price)}, {exit_reason}, held {_duration(held_s)}",
    ]
    return _compose("Closed", f"{symbol} {direction}", lines, agent_name, scanner, at)


def refusal(
    *,
    agent_name: str,
    scanner: str,
    symbol: str,
    direction: str,
    reasons: Sequence[str],
    at: datetime,
) -> MessageText:
    """A signal was not traded; `reasons` says why, each a short sentence."""
    lines = [f"Why: {reason}" for reason in reasons] or ["Why: no reason was recorded"]
    return _compose("No trade", f"{symbol} {direction}", lines, agent_name, scanner, at)


def alert(
    *, agent_name: str, what: str, at: datetime, scanner: str = "", symbol: str | None = None
) -> MessageText:
    """Something the owner has to look at; `what` is one or a few sentences."""
    return _compose("ALERT", symbol or "", [what], agent_name, scanner, at)


def _compose(
    headline: str, subject: str, lines: Sequence[str], agent_name: str, scanner: str, at: datetime
) -> MessageText:
    """The same facts for both channels; the names and the time always survive a cut."""
    head = f"{headline}: {subject}" if subject else headline
    told_by = agent_name + (f" / {scanner}" if scanner else "")
    return MessageText(telegram=_for_telegram(head, lines, told_by, at), x=_for_x(head, lines, told_by, at))


def _for_telegram(head: str, lines: Sequence[str], told_by: str, at: datetime) -> str:
    body = cut_to("\n".join(lines), _MAX_BODY, utf16_length)
    return "\n".join(
        [
            f"<b>{escape(cut_to(head, _MAX_HEAD, utf16_length), quote=False)}</b>",
            escape(body, quote=False),
            f"<i>{escape(cut_to(told_by, _MAX_HEAD, utf16_length), quote=False)}</i>",
            f"{at:%Y-%m-%d %H:%M:%S} UTC",
        ]
    )


def _for_x(head: str, lines: Sequence[str], told_by: str, at: datetime) -> str:
    tail = f"\n{fit(told_by, _MAX_X_NAMES)} {at:%Y-%m-%d %H:%M:%S} UTC"
    body = fit("\n".join([head, *lines]), MAX_WEIGHTED - weighted_length(tail))
    return body + tail


def _price(price: Price) -> str:
    """A price with the digits that matter: all of a Decimal's, seven of a float's."""
    if isinstance(price, Decimal):
        return f"{price.normalize():f}"
    return f"{Decimal(f'{price:.7g}').normalize():f}"


def _move_pct(start: Price, end: Price) -> float:
    return (float(end) / float(start) - 1.0) * 100.0 if float(start) else 0.0


def _profit_pct(direction: str, entry_price: Price, exit_price: Price) -> float:
    move_pct = _move_pct(entry_price, exit_price)
    return move_pct if direction == "LONG" else -move_pct


def _duration(seconds: float) -> str:
    """The two largest units of a duration, such as `1d 2h`."""
    minutes = max(0, round(seconds / 60))
    days, minutes = divmod(minutes, 1440)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{count}{unit}" for count, unit in ((days, "d"), (hours, "h"), (minutes, "m")) if count]
    return " ".join(parts[:2]) or "under 1m"
