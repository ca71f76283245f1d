"""Both sides compared, at the start and every minute: the database and the exchange.

A difference is looked at twice before anything is done about it, because while one side is
read the other moves on. Nothing is flattened here: what the database does not know is adopted
or reported, as the owner has set, and what the exchange does not know is closed on paper.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from whalestack.agents.alerts import alert
from whalestack.agents.clock_skew import measure_skew
from whalestack.agents.key_safety import key_obstacle
from whalestack.agents.kill_enforcer import KillEnforcer
from whalestack.agents.kill_switch import KillSwitch
from whalestack.agents.order_keeper import OrderKeeper
from whalestack.agents.order_reconciliation import OrderReconciliation
from whalestack.agents.patience import Patience, is_within
from whalestack.agents.position_reconciliation import PositionReconciliation
from whalestack.agents.trading_gate import open_gate, read_gate, shut_gate
from whalestack.clients.bybit.port import ExchangePort
from whalestack.clock import Clock
from whalestack.config import Settings
from whalestack.db import agent_store, trade_store
from whalestack.db.engine import Database
from whalestack.errors import TryAgain

log = structlog.get_logger(__name__)

AGENT_NAME = "reconciler"
# What a key may do is changed by its owner, now and then.
KEY_IS_TRUSTED_FOR = timedelta(hours=1)


@dataclass(frozen=True)
class ReconcileReport:
    """One comparison. `differences` are sentences; `passed` False keeps trading stopped."""

    passed: bool
    skew_ms: float = 0.0
    positions: int = 0
    trades: int = 0
    fills: int = 0
    orders_resolved: int = 0
    adopted: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    differences: tuple[str, ...] = field(default=())


class Reconciler:
    """Compares and repairs.

    Args:
        db: of this process.
        exchange: the other side.
        settings: what to do with what is unknown, and the limit of the clock's skew.
        clock: market time.
        keeper: brings orders and fills up to date first.
        kill_switch, kill_enforcer: mirrored and carried out on the way.
        orders, positions: the two comparisons.
        wall_ms: the real clock that signs requests.
    """

    def __init__(
        self,
        *,
        db: Database,
        exchange: ExchangePort,
        settings: Settings,
        clock: Clock,
        keeper: OrderKeeper,
        kill_switch: KillSwitch,
        kill_enforcer: KillEnforcer,
        orders: OrderReconciliation,
        positions: PositionReconciliation,
        wall_ms: Callable[[], int],
    ) -> None:
        self._db = db
        self._exchange = exchange
        self._settings = settings
        self._clock = clock
        self._keeper = keeper
        self._kill_switch = kill_switch
        self._kill_enforcer = kill_enforcer
        self._orders = orders
        self._positions = positions
        self._wall_ms = wall_ms
        self._patience = Patience.from_settings(settings, clock)
        self._key_was_safe_at: datetime | None = None

    def require(self, reason: str) -> None:
        """Stop trading until the next comparison has passed: called when the system starts."""
        with self._db.begin() as work:
            shut_gate(work.session, reason, self._clock.now())

    def run(self, *, unless_within_s: float = 0.0) -> ReconcileReport:
        """Compare, repair, report; trading goes on only after a comparison that passed.

        Args:
            unless_within_s: do nothing where one passed within so many market seconds.

        Raises:
            TryAgain: the exchange could not be asked. The gate shuts by itself when its last
                opening grows old.
        """
        if self._has_passed_within(unless_within_s):
            return ReconcileReport(passed=True)
        try:
            return self._run()
        except TryAgain as error:
            self._tell_silence(error)
            raise

    def _has_passed_within(self, market_s: float) -> bool:
        with self._db.begin() as work:
            gate = read_gate(work.session)
        passed_at = gate.passed_at if gate.is_open else None
        return passed_at is not None and is_within(passed_at, self._clock.now(), market_s)

    def _run(self) -> ReconcileReport:
        self._kill_switch.mirror()
        self._kill_enforcer.run()
        skew = measure_skew(self._exchange, self._wall_ms)
        if skew.is_beyond(self._settings.clock_skew_limit_ms):
            reason = f"our clock is {skew.skew_ms:.0f} ms off Bybit's"
            return self._stop("clock", reason, ReconcileReport(passed=False, skew_ms=skew.skew_ms))
        # Positions are read before fills: a position's fills are then surely among them.
        held = self._exchange.positions()
        kept = self._keeper.poll()
        order_findings = self._orders.run()
        positions = self._positions.run(held)
        report = ReconcileReport(
            passed=True,
            skew_ms=skew.skew_ms,
            positions=len(held),
            trades=positions.trades,
            fills=kept.changes.fills,
            orders_resolved=kept.resolved,
            adopted=positions.adopted,
            closed=positions.closed,
            differences=order_findings + positions.differences,
        )
        # Last, because what is held is looked after whatever the key may do.
        obstacle = self._key_obstacle()
        if obstacle is not None:
            return self._stop("key", obstacle, report)
        self._pass(report)
        return report

    def _key_obstacle(self) -> str | None:
        now = self._clock.now()
        if self._key_was_safe_at is not None and now - self._key_was_safe_at < KEY_IS_TRUSTED_FOR:
            return None
        obstacle = key_obstacle(self._exchange, self._settings)
        self._key_was_safe_at = now if obstacle is None else None
        return obstacle

    def _pass(self, report: ReconcileReport) -> None:
        now = self._clock.now()
        with self._db.begin() as work:
            open_gate(work.session, now)
            if report.adopted or report.closed or report.differences:
                log.warning("reconciled_with_differences", differences=report.differences)
                agent_store.log_action(
                    work.session, agent_name=AGENT_NAME, action="reconciled", details=asdict(report), now=now
                )

    def _stop(self, kind: str, reason: str, report: ReconcileReport) -> ReconcileReport:
        now = self._clock.now()
        log.error("trading_stopped", reason=reason)
        with self._db.begin() as work:
            shut_gate(work.session, reason, now)
            alert(
                work,
                settings=self._settings,
                now=now,
                agent_name=AGENT_NAME,
                key=f"gate-shut:{kind}:{now:%Y%m%d%H}",
                what=f"Trading is stopped: {reason}.",
            )
        return replace(report, passed=False, differences=(*report.differences, reason))

    def _tell_silence(self, error: TryAgain) -> None:
        """Both sides have not been compared for long while something is held: told once an hour."""
        now = self._clock.now()
        with self._db.begin() as work:
            passed_at = read_gate(work.session).passed_at
            trades = trade_store.open_trades(work.session)
            if passed_at is None or not trades or now - passed_at <= self._patience.reconciled_within:
                return
            noun = "trade" if len(trades) == 1 else "trades"
            alert(
                work,
                settings=self._settings,
                now=now,
                agent_name=AGENT_NAME,
                key=f"silence:{now:%Y%m%d%H}",
                what=f"Bybit and the database could not be compared since {passed_at:%H:%M} UTC ({error}). "
                f"{len(trades)} open {noun}: their stops stand on the exchange and are not moved.",
            )
