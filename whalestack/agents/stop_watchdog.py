"""No position without a stop: looked for on the exchange itself, on a schedule of its own.

It trusts nobody: not the order that should have carried the stop, not the position monitor, not
the database. What the exchange holds without a stop gets one at once, whoever opened it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

import structlog
from sqlalchemy import Connection

from whalestack.agents.alerts import alert
from whalestack.agents.pnl import direction_of, profit_pct
from whalestack.agents.position_closer import PositionCloser
from whalestack.agents.stop_mover import LOOK_IS_OVER_S, StopMove, StopMover
from whalestack.clients.bybit.port import ExchangePort
from whalestack.clients.bybit.types import Position
from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.db import trade_store
from whalestack.db import trading_inputs as inputs
from whalestack.db import trading_store as store
from whalestack.db.engine import Database
from whalestack.db.models import Trade
from whalestack.errors import GiveUp, WhalestackError
from whalestack.math.directions import Direction, as_direction, sign
from whalestack.math.rounding import decimal_of, round_stop

log = structlog.get_logger(__name__)

AGENT_NAME = "stop-watchdog"
# A stop next to the liquidation price would be filled behind it in a fast market.
SHARE_OF_WAY_TO_LIQUIDATION = Decimal("0.8")


@dataclass(frozen=True)
class WatchdogReport:
    """Positions looked at; which were protected, had a loosened stop restored, or were closed because
    price is past the stop already; and which could not be helped now."""

    positions: int = 0
    protected: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    failed: tuple[str, ...] = field(default=())


class StopWatchdog:
    """Protects positions.

    Args:
        db: of this process.
        exchange: what is held, and where stops are set.
        settings: the farthest stop, and who is told.
        clock: market time.
        mover: carries moves out.
        closer: closes what is past its stop.
    """

    def __init__(
        self,
        *,
        db: Database,
        exchange: ExchangePort,
        settings: Settings,
        clock: Clock,
        mover: StopMover,
        closer: PositionCloser,
    ) -> None:
        self._db = db
        self._exchange = exchange
        self._settings = settings
        self._clock = clock
        self._mover = mover
        self._closer = closer

    def run(self) -> WatchdogReport:
        """Look at every position of the account.

        Raises:
            TryAgain: the exchange could not be asked what it holds.
        """
        positions = self._exchange.positions()
        with self._db.begin() as work:
            trades = {trade.symbol: trade for trade in trade_store.open_trades(work.session)}
        found: dict[str, list[str]] = {"protected": [], "restored": [], "closed": [], "failed": []}
        for position in positions:
            outcome = self._guarded_look(position, trades.get(position.symbol))
            if outcome in found:
                found[outcome].append(position.symbol)
        return WatchdogReport(len(positions), **{name: tuple(symbols) for name, symbols in found.items()})

    def _guarded_look(self, position: Position, trade: Trade | None) -> str:
        """One position that cannot be helped must not keep the others from being looked at."""
        try:
            if self._what_is_wrong(position, _of_position(trade, position)) is None:
                return "fine"
            with store.acting_alone(self._db.engine, position.symbol, wait_s=LOOK_IS_OVER_S) as alone:
                return "busy" if alone is None else self._look_again(alone, position.symbol)
        except WhalestackError as error:
            log.error("position_not_protected", symbol=position.symbol, error=str(error))
            self._alert(position.symbol, "failed", f"has no sound stop and it cannot be set: {error}")
            return "failed"

    def _look_again(self, alone: Connection, symbol: str) -> str:
        """With the action lock held, from what the exchange says now."""
        position = self._exchange.position(symbol)
        if position is None:
            return "gone"
        with self._db.begin() as work:
            trade = _of_position(trade_store.open_trade(work.session, symbol), position)
            scanner = trade_store.scanner_of(work.session, trade) if trade is not None else ""
        wrong = self._what_is_wrong(position, trade)
        if wrong is None:
            return "fine"
        return self._protect(alone, position, trade, wrong, scanner)

    def _what_is_wrong(self, position: Position, trade: Trade | None) -> str | None:
        """protect where there is no stop, restore where it is looser than the trade's, else None."""
        if position.stop_loss is None:
            return "protect"
        if trade is None or trade.stop_loss is None:
            return None
        way = sign(as_direction(trade.side))
        return "restore" if (trade.stop_loss - position.stop_loss) * way > 0 else None

    def _protect(
        self, alone: Connection, position: Position, trade: Trade | None, action: str, scanner: str
    ) -> str:
        direction = as_direction(direction_of(position.side))
        price = self._exchange.ticker(position.symbol).last_price
        stop = self._stop(position, trade, direction, price)
        if (price - stop) * sign(direction) <= 0:
            return self._close(position.symbol, price, stop)
        move = self._move(position, trade, direction, price, stop, action, scanner)
        outcome = self._mover.move(alone, move)
        log.warning("position_protected", symbol=position.symbol, stop=str(stop), outcome=outcome)
        if outcome != "done":
            self._alert(position.symbol, "failed", f"has no sound stop; setting {stop:f} was {outcome}")
            return "failed"
        self._alert(
            position.symbol, f"{action}:{stop.normalize():f}", f"had no sound stop; it is at {stop:f} now"
        )
        return "protected" if action == "protect" else "restored"

    def _stop(self, position: Position, trade: Trade | None, direction: Direction, price: Decimal) -> Decimal:
        """The trade's own stop; for a position that no trade of ours knows, the farthest one allowed,
        counted from where it is now and kept well before its liquidation."""
        if trade is not None and trade.stop_loss is not None:
            return trade.stop_loss
        way = sign(direction)
        distance = price * decimal_of(self._settings.stop_max_pct) / 100
        if position.liquidation_price is not None:
            room = (price - position.liquidation_price) * way * SHARE_OF_WAY_TO_LIQUIDATION
            distance = min(distance, room) if room > 0 else distance
        return round_stop(direction, price - distance * way, self._tick_size(position.symbol))

    def _tick_size(self, symbol: str) -> Decimal:
        with self._db.begin() as work:
            coin = inputs.coin(work.session, symbol)
        if coin is not None:
            return coin.tick_size
        listed = next((each for each in self._exchange.instruments() if each.symbol == symbol), None)
        if listed is None:
            raise GiveUp(f"{symbol} is no instrument that Bybit lists: its tick size is not known")
        return listed.tick_size

    def _move(
        self,
        position: Position,
        trade: Trade | None,
        direction: Direction,
        price: Decimal,
        stop: Decimal,
        action: str,
        scanner: str,
    ) -> StopMove:
        missing_target = trade.take_profit if trade is not None and position.take_profit is None else None
        is_ahead = missing_target is not None and (missing_target - price) * sign(direction) > 0
        return StopMove(
            symbol=position.symbol,
            direction=direction,
            agent_name=AGENT_NAME,
            action=action,
            trade_id=trade.id if trade is not None else None,
            entry_price=position.avg_price,
            price=price,
            old_stop=position.stop_loss,
            new_stop=stop,
            profit_pct=profit_pct(direction, position.avg_price, price),
            old_target=position.take_profit,
            new_target=missing_target if is_ahead else None,
            scanner=scanner,
        )

    def _close(self, symbol: str, price: Decimal, stop: Decimal) -> str:
        """Price is past the stop that should have been there: do what it would have done."""
        outcome = self._closer.close(symbol, agent_name=AGENT_NAME, reason="past_its_stop")
        self._alert(
            symbol,
            f"past:{stop.normalize():f}",
            f"had no stop at {stop:f} and price is past it at {price:f}; closing at the market ({outcome})",
        )
        return "closed" if outcome not in ("rejected", "refused") else "failed"

    def _alert(self, symbol: str, key: str, what: str) -> None:
        now = self._clock.now()
        with self._db.begin() as work:
            alert(
                work,
                settings=self._settings,
                now=now,
                agent_name=AGENT_NAME,
                key=f"watchdog:{symbol}:{key}:{now:%Y%m%d%H}",
                what=f"The position in {symbol} {what}.",
                symbol=symbol,
            )


def _of_position(trade: Trade | None, position: Position) -> Trade | None:
    return trade if trade is not None and trade.side == direction_of(position.side) else None
