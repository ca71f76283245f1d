"""The limits that several coins share, looked at once more in the transaction that enters.

Guards are asked before the plan is made, and two workers that plan two coins at the same time
both find the last free place. Here one waits for the other.
"""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy.orm import Session

from whalestack.agents.account import AccountFigures, exposure_by_symbol
from whalestack.config import Settings
from whalestack.db import trading_store as store
from whalestack.db.account_rows import AccountRows, held_now
from whalestack.math.refusals import Refusal


def crowding(
    session: Session, symbol: str, account: AccountFigures, notional_usd: Decimal, settings: Settings
) -> Refusal | None:
    """What others have taken since the guards were asked, None where there is still room.

    Until the transaction ends nobody else can enter any symbol, nor change the book of this one.

    Args:
        session: of the transaction that enters.
        symbol: that it enters.
        account: as the guards saw it; positions that only the exchange knows are in it.
        notional_usd: what the plan is about to hold.
        settings: the limits of the account, and of the trader that enters.
    """
    store.lock_entries(session, symbol)
    rows = held_now(session)
    held = dict(account.exposure_by_symbol)
    for name, usd in exposure_by_symbol(rows, ()).items():
        held[name] = max(held.get(name, Decimal(0)), usd)
    if len(held) >= settings.max_open_positions:
        limit = settings.max_open_positions
        return Refusal("too_many_positions", f"{len(held)} positions are open or entering, {limit} at most")
    name, own_limit = settings.autotrader_name, settings.autotrader_max_positions
    own = _coins_of(rows, name)
    if own >= own_limit:
        return Refusal(
            "too_many_of_agent", f"{name} has {own} positions open or entering, {own_limit} at most"
        )
    after_pct = float((sum(held.values(), Decimal(0)) + notional_usd) / account.equity_usd * 100)
    if after_pct > settings.max_exposure_pct:
        text = f"{after_pct:.0f} % of the equity would be exposed, {settings.max_exposure_pct:g} % at most"
        return Refusal("exposure", text)
    return None


def _coins_of(rows: AccountRows, agent_name: str) -> int:
    """How many coins the plans and trades of one agent hold."""
    return len({held.symbol for held in (*rows.plans, *rows.trades) if held.agent_name == agent_name})
