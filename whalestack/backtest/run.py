"""One account over a stretch of the past: signals, plans, the exchange, stops, closes.

What happens when (market time; every latency is zero):

- Maps, clusters, outcomes, typical sizes and the ranking are those of the latest refresh, every
  `refresh_interval_s` from the beginning on. At a refresh the outcomes of the minutes before it are judged
  first, then maps are made and clusters followed, then coins are ranked.
- Records are learned at the beginning and every `pattern_max_age_s`; thresholds too, see `sightings`.
- The market moves in price points, five seconds apart, as the simulator's recorded market walks a candle.
  At each point, in this order: the exchange matches; plans end that have expired or whose target was reached;
  stops follow the best price; a coin that triggers is considered, and what is decided is sent at once. An
  order meets the market of its own point on arrival and price points only from the next one on.

A point at which no price of an order, stop, target or trailing step is reached, no funding falls due
and no plan expires changes nothing, and is passed over. `walk_all` looks at every point instead; a test
holds the two equal.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from math import inf

from whalestack.agents.guards import all_refusals
from whalestack.agents.order_ids import entry_link_id
from whalestack.agents.plans import PlannedTrade, make_plan
from whalestack.backtest.clocked_market import ClockedMarket
from whalestack.backtest.decisions import Decisions
from whalestack.backtest.desk import BacktestDesk
from whalestack.backtest.ledger import ClosedTrade, Ledger, OpenPlan
from whalestack.backtest.played_coins import Played
from whalestack.clock import ManualClock, from_ms
from whalestack.config import Settings
from whalestack.errors import StopAndTell
from whalestack.math.directions import Direction, sign
from whalestack.math.refusals import Refusal
from whalestack.math.rounding import decimal_of
from whalestack.math.stops import next_look_price, trailing_stop
from whalestack.scanners.signals import occasion_of
from whalestack.simulator.exchange import Exchange
from whalestack.simulator.exchange.order import OrderSpec, OrderType, Protection, Side
from whalestack.simulator.exchange.refusals import LEVERAGE_NOT_MODIFIED, Refused
from whalestack.simulator.exchange.state import Fees

FOUR_PER_CENT = Decimal("0.04")


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a run came to.

    Args:
        trades: in the order of their ends; those still open at the end stand last, closed on paper there.
        decisions: every line.
        signals: how many.
        refusals: how many of each kind, over all traders.
        start_usd, end_usd: equity at the beginning and at the end, open positions at their mark price.
        open_trades: symbols still held at the end.
        points: price points that were looked at.
    """

    trades: tuple[ClosedTrade, ...]
    decisions: Decisions
    signals: int
    refusals: dict[str, int]
    start_usd: float
    end_usd: float
    open_trades: tuple[str, ...]
    points: int


@dataclass
class _Cursor:
    """Where a coin is looked at next: the next point to come, and the next that matters."""

    number: int
    due: int = 0


@dataclass
class _Counts:
    signals: int = 0
    points: int = 0
    refusals: dict[str, int] = field(default_factory=dict)


class AccountRun:
    """Plays one account over a stretch.

    Args:
        played: the stretch, shared by all runs.
        traders: the settings of each automatic trader of the account.
        equity_usd: at the beginning.
        seed: of the exchange's depth.
        walk_all: look at every price point.
        fees: trading fees.
    """

    def __init__(
        self,
        played: Played,
        traders: Sequence[Settings],
        *,
        equity_usd: Decimal = Decimal(10_000),
        seed: int = 7,
        walk_all: bool = False,
        fees: Fees | None = None,
    ) -> None:
        for each in traders:
            if each.extend_take_profit:
                raise StopAndTell("EXTEND_TAKE_PROFIT is on: the backtest does not play targets that move")
        self._played = played
        self._traders = tuple(traders)
        self._settings = traders[0]
        self._walk_all = walk_all
        self._clock = ManualClock(played.begin_ms)
        self._market = ClockedMarket(played.market, self._clock)
        fees = fees or Fees()
        rng = random.Random(seed)  # noqa: S311 - repeatable, no secrets
        self._exchange = Exchange(self._market, self._clock, equity_usd=equity_usd, rng=rng, fees=fees)
        self._start_usd = float(equity_usd)
        self._desk = BacktestDesk(played.coins, played.rankings, played.tables, self._market, fees)
        self._ledger = Ledger(self._exchange)
        self._decisions = Decisions()
        self._cursors: dict[str, _Cursor] = {}
        self._signalled_ms: dict[tuple[str, Direction], int] = {}
        self._occasions: set[str] = set()
        self._counts = _Counts()
        self._booked = 0

    def run(self) -> Outcome:
        """From the beginning to the end."""
        for at_ms, symbol, way in self._played.triggers:
            if at_ms >= self._played.end_ms:
                break
            self._advance(at_ms)
            self._consider(symbol, "LONG" if way > 0 else "SHORT", at_ms)
        self._advance(self._played.end_ms - 1)
        self._clock.put(self._played.end_ms - 1)
        self._follow_marks()
        self._close_on_paper()
        return Outcome(
            trades=tuple(self._ledger.trades),
            decisions=self._decisions,
            signals=self._counts.signals,
            refusals=dict(sorted(self._counts.refusals.items())),
            start_usd=self._start_usd,
            end_usd=float(self._exchange.margin().equity),
            open_trades=tuple(position.symbol for position in self._exchange.state.open_positions()),
            points=self._counts.points,
        )

    def _close_on_paper(self) -> None:
        state = self._exchange.state
        for plan in list(self._ledger.plans.values()):
            side = state.position(plan.symbol).side
            if side is not None:
                price = state.quote(plan.symbol).touch(side.opposite)
                self._ledger.close_on_paper(plan, price, self._played.end_ms - 1)

    # --- along the market ------------------------------------------------------------------

    def _advance(self, until_ms: int) -> None:
        """Everything that happens to orders and positions up to and with a moment."""
        while self._cursors:
            symbol, at_ms = self._next()
            if at_ms > until_ms:
                return
            self._look(symbol, at_ms)

    def _next(self) -> tuple[str, int]:
        """The coin whose next point that matters comes first; at one moment, the market's order."""
        moments = {
            symbol: self._market.series(symbol).moment(cursor.due) for symbol, cursor in self._cursors.items()
        }
        order = self._market.symbols
        symbol = min(moments, key=lambda each: (moments[each], order.index(each)))
        return symbol, moments[symbol]

    def _look(self, symbol: str, at_ms: int) -> None:
        """Deal with one price point of a coin."""
        cursor, state = self._cursors[symbol], self._exchange.state
        self._counts.points += 1
        self._clock.put(at_ms)
        # The distance of mark and last price is that of this very moment.
        state.quote(symbol)
        tick = self._market.tick(symbol, cursor.due)
        self._exchange.on_ticks([tick])
        cursor.number = cursor.due + 1
        self._book_fills()
        if symbol in self._ledger.plans:
            last = decimal_of(tick.price)
            self._end_if_over(symbol, last, at_ms)
        if symbol in self._ledger.plans:
            self._follow_profit(self._ledger.plans[symbol], last, at_ms)
        self._set_due(symbol)

    def _set_due(self, symbol: str) -> None:
        """Find the coin's next point that matters; a coin with nothing left is not looked at."""
        plan, cursor = self._ledger.plans.get(symbol), self._cursors[symbol]
        series = self._market.series(symbol)
        end = series.first_from(self._played.end_ms)
        if plan is None or cursor.number >= min(end, series.total_points):
            del self._cursors[symbol]
            return
        if self._walk_all or not self._stops_cover():
            cursor.due = cursor.number
            return
        below, above = self._prices_that_matter(plan)
        timed = min(self._timed_points(plan), default=end)
        cursor.due = series.next_reached(cursor.number, max(min(timed, end), cursor.number), below, above)
        if cursor.due >= min(end, series.total_points):
            del self._cursors[symbol]

    def _prices_that_matter(self, plan: OpenPlan) -> tuple[float, float]:
        """At or below, at or above: prices at which something may happen to this plan."""
        position = self._exchange.state.position(plan.symbol)
        falls: list[Decimal] = []
        rises: list[Decimal] = []
        way = sign(plan.direction)
        ahead, behind = (rises, falls) if way > 0 else (falls, rises)
        for order in self._exchange.state.book.open_orders(plan.symbol):
            if order.is_child and order.spec.trigger_price is not None:
                (rises if order.spec.trigger_direction == 1 else falls).append(order.spec.trigger_price)
            elif order.price is not None:
                behind.append(order.price)
        if not position.is_open:
            ahead.append(plan.planned.take_profit)
        elif plan.best is not None:
            look = next_look_price(
                plan.direction,
                position.average_price,
                plan.last,
                position.protection.stop_loss,
                plan.settings.trailing_steps_pct,
                tick_size=self._exchange.state.rules(plan.symbol).tick_size,
                best_price=plan.best,
            )
            if look is not None:
                ahead.append(look)
        return float(max(falls, default=-inf)), float(min(rises, default=inf))

    def _timed_points(self, plan: OpenPlan) -> list[int]:
        """Points at which something falls due: the end of waiting, funding."""
        series, state = self._market.series(plan.symbol), self._exchange.state
        due = []
        if self._waiting(plan):
            due.append(series.first_from(plan.expires_ms))
        position = state.position(plan.symbol)
        if position.is_open:
            interval_ms = state.rules(plan.symbol).funding_interval_min * 60_000
            due.append(series.first_from((position.funding_slot + 1) * interval_ms))
            if plan.best is None:
                due.append(self._cursors[plan.symbol].number)
        return due

    def _stops_cover(self) -> bool:
        """Whether the account outlives all its stops: then nothing but prices reached can liquidate it.

        The mark price is an average of prices near the last one; half as much again is reckoned for it.
        """
        state = self._exchange.state
        left = state.account.balance
        for position in state.open_positions():
            stop = position.protection.stop_loss
            if stop is None:
                return False
            lost = max(-position.profit_at(stop), Decimal(0)) * Decimal("1.5")
            left -= lost + position.entry_value * FOUR_PER_CENT
        return left > 0

    # --- plans and positions -----------------------------------------------------------------

    def _waiting(self, plan: OpenPlan) -> list[str]:
        """Link ids of the plan's entry orders that may still fill."""
        book = self._exchange.state.book
        found = [(link_id, book.find(link_id=link_id)) for link_id in plan.link_ids]
        return [link_id for link_id, order in found if order is not None and order.is_open]

    def _cancel_waiting(self, plan: OpenPlan) -> None:
        for link_id in self._waiting(plan):
            self._exchange.cancel(plan.symbol, link_id=link_id)

    def _book_fills(self) -> None:
        """Take in what the exchange has executed since the last look."""
        executions = self._exchange.state.executions
        while self._booked < len(executions):
            each = executions[self._booked]
            self._booked += 1
            what = self._ledger.book(each)
            if not what:
                continue
            self._decisions.fill(each.executed_ms, each.symbol, each.side.value, what, each.qty, each.price)
            # One price point may fill several rungs and the stop: the fills so far tell, not the position.
            if self._ledger.plans[each.symbol].totals().is_over:
                self._close(self._ledger.plans[each.symbol], each.executed_ms)

    def _close(self, plan: OpenPlan, at_ms: int) -> None:
        self._cancel_waiting(plan)
        self._ledger.close(plan, at_ms)
        pnl = plan.totals().pnl_usd
        self._decisions.close(at_ms, plan.agent, plan.symbol, plan.direction, plan.exit_reason, pnl)

    def _end_if_over(self, symbol: str, last: Decimal, at_ms: int) -> None:
        """Unfilled entry orders go when their time is over, or the target was reached without them."""
        plan = self._ledger.plans[symbol]
        reached = (last - plan.planned.take_profit) * sign(plan.direction) >= 0
        held = self._exchange.state.position(symbol).is_open
        if at_ms >= plan.expires_ms or (reached and not held):
            self._cancel_waiting(plan)
        if not held and not self._waiting(plan):
            del self._ledger.plans[symbol]

    def _follow_profit(self, plan: OpenPlan, last: Decimal, at_ms: int) -> None:
        """Move the stop where the profit has earned it; rungs that carry the old one go."""
        position = self._exchange.state.position(plan.symbol)
        if not position.is_open:
            return
        way = sign(plan.direction)
        plan.last = last
        plan.best = last if plan.best is None else max(plan.best * way, last * way) * way
        old = position.protection
        stop = trailing_stop(
            plan.direction,
            position.average_price,
            last,
            old.stop_loss,
            plan.settings.trailing_steps_pct,
            tick_size=self._exchange.state.rules(plan.symbol).tick_size,
            best_price=plan.best,
        )
        if stop is None:
            return
        self._exchange.set_stops(plan.symbol, Protection(stop, old.take_profit))
        self._decisions.stop(at_ms, plan.symbol, old.stop_loss, stop)
        self._cancel_waiting(plan)

    # --- from a trigger to orders --------------------------------------------------------------

    def _consider(self, symbol: str, direction: Direction, at_ms: int) -> None:
        """As `SignalScanner.consider`: one occasion makes one signal."""
        place = self._played.rankings.watched_rank(symbol, direction, at_ms)
        if place is None or not self._is_new_occasion(symbol, direction, at_ms):
            return
        self._counts.signals += 1
        signal_id = self._counts.signals
        self._decisions.signal(at_ms, symbol, direction, place)
        self._clock.put(at_ms)
        first = signal_id % len(self._traders)
        for settings in self._traders[first:] + self._traders[:first]:
            self._act(settings, symbol, direction, signal_id, at_ms)

    def _is_new_occasion(self, symbol: str, direction: Direction, at_ms: int) -> bool:
        cooldown_s = self._settings.signal_cooldown_s
        before = self._signalled_ms.get((symbol, direction))
        if before is not None and at_ms - before < cooldown_s * 1000:
            return False
        occasion = occasion_of(symbol, direction, from_ms(at_ms), cooldown_s)
        if occasion in self._occasions:
            return False
        self._occasions.add(occasion)
        self._signalled_ms[symbol, direction] = at_ms
        return True

    def _act(self, settings: Settings, symbol: str, direction: Direction, signal_id: int, at_ms: int) -> None:
        """As `Autotrader.act_on_signal`, from guards to orders."""
        self._follow_marks()
        tick = self._desk.tick(symbol)
        account = self._ledger.figures(settings.autotrader_name, from_ms(at_ms))
        refusals = all_refusals(self._desk.guard_state(symbol, settings, account, tick))
        if refusals:
            self._refuse(refusals)
            return
        planned = make_plan(self._desk.plan_inputs(symbol, direction, settings, account, tick), settings)
        if isinstance(planned, Refusal):
            self._refuse([planned])
            return
        self._enter(settings, symbol, planned, signal_id, at_ms)

    def _refuse(self, refusals: Sequence[Refusal]) -> None:
        code = refusals[0].code
        self._counts.refusals[code] = self._counts.refusals.get(code, 0) + 1

    def _follow_marks(self) -> None:
        """Value every position at this moment's mark price, whenever it was last looked at."""
        state = self._exchange.state
        for position in state.open_positions():
            state.quote(position.symbol)
            state.mark_at(position.symbol, self._market.ticker(position.symbol).last)

    def _enter(
        self, settings: Settings, symbol: str, planned: PlannedTrade, signal_id: int, at_ms: int
    ) -> None:
        plan = OpenPlan(symbol, settings, signal_id, planned, at_ms + settings.entry_wait_s * 1000)
        try:
            self._exchange.set_leverage(symbol, planned.size.leverage)
        except Refused as refused:
            if refused.code != LEVERAGE_NOT_MODIFIED:
                self._refuse([Refusal("leverage_refused", str(refused))])
                return
        self._ledger.plans[symbol] = plan
        side = Side.BUY if planned.direction == "LONG" else Side.SELL
        protection = Protection(planned.stop_loss, planned.take_profit)
        for number, rung in enumerate(planned.rungs):
            leg = f"e{number}"
            link_id = entry_link_id(plan.agent, signal_id, from_ms(at_ms), leg)
            spec = OrderSpec(
                symbol, side, OrderType.LIMIT, rung.qty, rung.price, link_id=link_id, protection=protection
            )
            self._place(plan, spec, leg, at_ms)
        self._book_fills()
        if symbol in self._ledger.plans and not plan.fills and not self._waiting(plan):
            del self._ledger.plans[symbol]
        if symbol in self._ledger.plans:
            series = self._market.series(symbol)
            self._cursors[symbol] = _Cursor(series.number_at(at_ms) + 1)
            self._set_due(symbol)

    def _place(self, plan: OpenPlan, spec: OrderSpec, leg: str, at_ms: int) -> None:
        plan.link_ids[spec.link_id] = leg
        protection = spec.protection
        try:
            self._exchange.place(spec)
        except Refused as refused:
            self._refuse([Refusal("order_rejected", str(refused))])
            return
        if spec.price is None or protection.stop_loss is None or protection.take_profit is None:
            raise AssertionError(f"{spec.link_id} is no entry with stop and target")
        self._decisions.order(
            at_ms,
            plan.agent,
            spec.symbol,
            spec.side.value,
            leg,
            qty=spec.qty,
            price=spec.price,
            stop=protection.stop_loss,
            target=protection.take_profit,
        )
