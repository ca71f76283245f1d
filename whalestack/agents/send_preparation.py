"""What comes before an order may leave: it is still wanted, and the leverage is set."""

from __future__ import annotations

import structlog

from whalestack.agents.kill_switch import KillSwitch
from whalestack.agents.patience import Patience
from whalestack.clients.bybit.errors import BybitRefused
from whalestack.clients.bybit.port import ExchangePort
from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.db.models import Order, TradePlan
from whalestack.errors import TryAgain, UnknownOutcome

log = structlog.get_logger(__name__)


class SendPreparation:
    """The last looks before a send.

    Args:
        exchange: where leverage is set.
        settings: how old an intent may be.
        clock: market time.
        kill_switch: asked in the last moment before an entry is sent.
    """

    def __init__(
        self, *, exchange: ExchangePort, settings: Settings, clock: Clock, kill_switch: KillSwitch
    ) -> None:
        self._exchange = exchange
        self._clock = clock
        self._kill_switch = kill_switch
        self._patience = Patience.from_settings(settings, clock)

    def obstacle(self, order: Order) -> str | None:
        """Why an intent must not be sent any more, None if it may."""
        if self._clock.now() - order.created_at > self._patience.send_within:
            return "too_old_to_send"
        return self.kill_obstacle(order)

    def kill_obstacle(self, order: Order) -> str | None:
        """The kill switch stops what opens, never what closes."""
        return "kill_switch" if not order.reduce_only and self._kill_switch.state().is_on else None

    def set_leverage(self, order: Order, plan: TradePlan | None) -> str | None:
        """Set the plan's leverage; setting it again is harmless.

        Returns:
            Why the order cannot be sent, None where it can.

        Raises:
            TryAgain: the leverage may not be set yet, and nothing was sent.
        """
        if order.reduce_only or plan is None or plan.leverage is None:
            return None
        try:
            self._exchange.set_leverage(order.symbol, plan.leverage)
        except UnknownOutcome as error:
            raise TryAgain(f"{order.symbol}: leverage may not be set yet") from error
        except BybitRefused as refusal:
            log.warning("leverage_refused", symbol=order.symbol, code=refusal.code)
            return f"leverage_refused_{refusal.code}"
        return None
