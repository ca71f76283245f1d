"""A key that may withdraw is not traded with: whoever steals it from here could empty the account."""

from __future__ import annotations

from whalestack.clients.bybit.errors import BybitRefused
from whalestack.clients.bybit.port import TradingPort
from whalestack.config import Mode, Settings

SIMULATED = (Mode.DEMO, Mode.PAPER)


def key_obstacle(exchange: TradingPort, settings: Settings) -> str | None:
    """Why nothing may be traded with the key of these settings, None if it may.

    Without a key nobody can trade, and on the simulator there is nothing to withdraw; neither is asked.

    Args:
        exchange: asked what the key may do.
        settings: mode and key.

    Raises:
        TryAgain: no answer; nothing is known of the key.
        StopAndTell: Bybit does not take the key at all.
    """
    if settings.mode in SIMULATED or not settings.bybit_api_key.get_secret_value():
        return None
    try:
        info = exchange.key_info()
    except BybitRefused as refusal:
        # Demo trading offers only a part of the API, and its money is not real.
        return (
            None if settings.mode is Mode.BYBIT_DEMO else f"what BYBIT_API_KEY may do is not told: {refusal}"
        )
    if info.may_withdraw:
        return "BYBIT_API_KEY may withdraw; make a key on Bybit that may only trade, and use that"
    if info.is_read_only or not info.may_trade:
        return "BYBIT_API_KEY may not trade contracts; allow it orders and positions on Bybit"
    return None
