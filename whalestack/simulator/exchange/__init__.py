"""The exchange of the simulator: a pure matching engine, its account and its event log.

It holds one unified account in one-way mode on linear USDT perpetuals. It knows nothing of
HTTP or sockets (`bybit_rest` and `bybit_ws` speak for it), takes the market's price points
through `Exchange.on_ticks`, and keeps its own record of what was accepted and of every moment
at which a position had no stop, so that a trading system cannot be the judge of itself.
"""

from whalestack.simulator.exchange.engine import Exchange
from whalestack.simulator.exchange.event_log import EventLog

__all__ = ["EventLog", "Exchange"]
