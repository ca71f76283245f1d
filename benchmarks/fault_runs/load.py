"""A steady load of trades: signals with maps made for them, and prices that play each trade's part.

Nothing waits for the market. A coin that is free gets a fresh map with one cluster, a signal, and
a script of prices that leads its trade to its target, its stop, a trailed stop or nowhere.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

import requests
from sqlalchemy import func, insert, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from fault_runs.system import System
from whalestack.agents import messages
from whalestack.agents.doubts import MOST_QUESTIONS
from whalestack.agents.outbox import announce
from whalestack.db.engine import UnitOfWork
from whalestack.db.map_heads import Head, put_heads
from whalestack.db.models import Coin, LiquidationCluster, LiquidationSnapshot, OutboxMessage, Signal
from whalestack.dispatch import Job
from whalestack.errors import TryAgain
from whalestack.math.timeframes import TIMEFRAMES

TURN_S = 0.2
SCANNER = "fault-load"
OPENS_WITHIN_S = 9.0
ENDS_WITHIN_S = 4.0
STALE_SHARE = 0.06
# A refresh that is under way must not put other maps in the place of the load's.
AHEAD = timedelta(seconds=60)


@dataclass(frozen=True)
class Script:
    """What becomes of a trade.

    Args:
        name: for people.
        target: where the cluster lies, as a factor of the price in the trade's direction.
        to_open: a price factor pushed before the position is awaited; None where it fills at once.
        steps: (price factor, real seconds to stay there) once the position is open.
        opens: whether a position is expected at all.
    """

    name: str
    target: float
    steps: tuple[tuple[float, float], ...]
    to_open: float | None = None
    opens: bool = True


# Profit steps of the settings: at +10 % the stop goes to breakeven, at +20 % to +10 %.
SCRIPTS = (
    Script("target", 1.30, ((1.115, 2.5), (1.26, 2.5), (1.36, 1.0))),
    Script("breakeven", 1.25, ((1.115, 2.5), (0.985, 1.0))),
    Script("stopped", 1.25, ((0.97, 0.5), (0.86, 1.0))),
    Script("trailed", 1.40, ((1.12, 2.0), (1.27, 2.5), (1.08, 1.0))),
    Script("pullback", 1.015, ((1.06, 1.0),), to_open=0.98),
    Script("no_pullback", 1.015, (), to_open=1.05, opens=False),
    Script("expires", 1.015, (), opens=False),
)
WEIGHTS = (4, 4, 3, 4, 2, 1, 1)
# For a position that opened after nobody waited for it any more: its stop is moved once, then it is out.
LEFT_OVER = Script("left_over", 1.0, ((1.115, 1.5), (0.80, 2.0)))


@dataclass
class Play:
    """One coin's trade under way; prices are factors of `base` in the trade's direction."""

    symbol: str
    way: int
    base: float
    script: Script
    began_s: float
    step: int = -1
    next_s: float = 0.0
    was_open: bool = False

    def price(self, factor: float) -> float:
        """The price that stands at `factor` in the trade's favour."""
        return self.base * factor if self.way > 0 else self.base / factor


@dataclass
class Load:
    """Makes trades until it is stopped.

    Args:
        system: which runs.
        rng: directions, scripts and order of coins.
        signals_per_s: in real seconds, at most.
        taken: symbols whose plans still wait for something.
    """

    system: System
    rng: random.Random
    signals_per_s: float
    taken: Callable[[], frozenset[str]]
    signals: int = 0
    plays: dict[str, Play] = field(default_factory=dict)
    rests: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _pause: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _next_signal_s: float = 0.0
    _homes: dict[str, float] = field(default_factory=dict)

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._homes = self._prices()
        self._thread = threading.Thread(target=self._run, name="load")
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing more and end; positions stay as they are."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def no_more_signals(self) -> None:
        """Play what has begun to its end, and begin nothing."""
        self._pause.set()

    def is_idle(self) -> bool:
        """Whether no trade is being played."""
        return not self.plays

    def _prices(self) -> dict[str, float]:
        tickers = self.system.runtime.bybit.tickers()
        with self.system.runtime.db.begin() as work:
            tradable = set(work.session.scalars(select(Coin.symbol).where(Coin.is_major.is_(False))))
        return {each.symbol: float(each.last_price) for each in tickers if each.symbol in tradable}

    def _run(self) -> None:
        while not self._stop.wait(TURN_S):
            try:
                self._turn()
            except (SQLAlchemyError, TryAgain, requests.RequestException) as error:
                # A store is being restarted: the load has the same trouble as everybody.
                self.problems.append(type(error).__name__)

    def _turn(self) -> None:
        now_s = time.monotonic()
        held = self.system.record.held()
        for play in list(self.plays.values()):
            self._go_on(play, play.symbol in held, now_s)
        self._adopt_left_over(held, now_s)
        if not self._pause.is_set() and now_s >= self._next_signal_s:
            busy = self.plays.keys() | held.keys() | self.taken()
            free = [each for each in self._homes if each not in busy and self.rests.get(each, 0.0) <= now_s]
            if free:
                self._next_signal_s = now_s + 1.0 / self.signals_per_s
                self._begin(self.rng.choice(sorted(free)), now_s)

    def _adopt_left_over(self, held: Mapping[str, Decimal], now_s: float) -> None:
        for symbol in sorted(held.keys() - self.plays.keys()):
            if self.rests.get(symbol, 0.0) <= now_s and not self._pause.is_set():
                way = 1 if held[symbol] > 0 else -1
                self.plays[symbol] = Play(symbol, way, self._last(symbol), LEFT_OVER, now_s, was_open=True)

    # --- a trade's part -----------------------------------------------------------------------

    def _go_on(self, play: Play, is_held: bool, now_s: float) -> None:
        play.was_open = play.was_open or is_held
        if play.step >= 0 and not is_held and play.was_open:
            self._end(play, now_s)
        elif now_s < play.next_s:
            return
        elif play.step < 0 and not is_held:
            self._await_opening(play, now_s)
        elif play.step + 1 < len(play.script.steps):
            play.step += 1
            factor, stay_s = play.script.steps[play.step]
            self.system.record.push_price(play.symbol, play.price(factor))
            play.next_s = now_s + stay_s
        elif is_held:
            # The stop that the script relied on was not moved in time: out by the first one.
            self.system.record.push_price(play.symbol, play.price(0.80))
            play.next_s = now_s + ENDS_WITHIN_S
        else:
            self._end(play, now_s)

    def _await_opening(self, play: Play, now_s: float) -> None:
        wait_s = OPENS_WITHIN_S + (0.0 if play.script.opens else 3.0)
        if now_s - play.began_s > wait_s:
            self._end(play, now_s)
        elif play.script.to_open is not None and now_s - play.began_s > 1.5:
            self.system.record.push_price(play.symbol, play.price(play.script.to_open))
            play.next_s = now_s + (1.0 if play.script.opens else wait_s)

    def _end(self, play: Play, now_s: float) -> None:
        self.plays.pop(play.symbol, None)
        self.rests[play.symbol] = now_s + 1.0

    def _begin(self, symbol: str, now_s: float) -> None:
        home = self._homes[symbol]
        last = self.system.record.push_price(symbol, self._last(symbol))
        # Mostly back toward where the coin began, so that prices stay in reach of their ticks.
        way = 1 if last < home else -1
        way = way if self.rng.random() < 0.8 else -way
        script = self.rng.choices(SCRIPTS, WEIGHTS)[0]
        is_stale = self.rng.random() < STALE_SHARE
        play = Play(symbol, way, last, script, now_s)
        self.plays[symbol] = play
        try:
            self._signal(play, is_stale)
        except (SQLAlchemyError, TryAgain):
            self.plays.pop(symbol, None)
            raise

    def _last(self, symbol: str) -> float:
        tick = self.system.runtime.live.get(symbol)
        return self._homes[symbol] if tick is None else tick.last

    # --- signals --------------------------------------------------------------------------------

    def _signal(self, play: Play, is_stale: bool) -> None:
        clock, settings = self.system.runtime.clock, self.system.settings
        now = clock.now()
        self.signals += 1
        ahead = -timedelta(seconds=settings.heatmap_max_age_s * 2) if is_stale else AHEAD
        with self.system.runtime.db.begin() as work:
            _put_maps(work, play, now + ahead)
            signal_id = _put_signal(work, play, now, self.signals)
            _tell(work, self.system, play, signal_id, now)
            work.dispatch_after_commit(
                Job(
                    "trade.act_on_signal",
                    {"signal_id": signal_id},
                    expires_s=float(settings.signal_max_age_s),
                )
            )


def _put_maps(work: UnitOfWork, play: Play, seen_at: datetime) -> None:
    """Fresh maps of every range, of which one holds a single cluster ahead of the price."""
    session = work.session
    session.execute(
        update(LiquidationCluster)
        .where(LiquidationCluster.symbol == play.symbol, LiquidationCluster.hit_target.is_(None))
        .values(hit_target=False, decided_at=seen_at)
    )
    common = {"symbol": play.symbol, "fetched_at": seen_at, "price": play.base, "prices": [], "values": []}
    session.execute(
        insert(LiquidationSnapshot),
        [{**common, "timeframe": each, "source": SCANNER} for each in TIMEFRAMES],
    )
    heads = [Head(play.symbol, each, seen_at, seen_at, None, play.base, "") for each in TIMEFRAMES]
    put_heads(session, heads)
    edges = sorted((play.price(play.script.target), play.price(play.script.target * 1.02)))
    session.execute(
        insert(LiquidationCluster).values(
            symbol=play.symbol,
            timeframe="7d",
            side="short" if play.way > 0 else "long",
            price_low=edges[0],
            price_high=edges[1],
            price_center=sum(edges) / 2,
            leverage=1e12,
            detected_price=play.base,
            distance_pct=abs(edges[0] / play.base - 1) * 100,
            detected_at=seen_at,
            last_seen_at=seen_at,
            horizon_at=text("now() + interval '10 years'"),
        )
    )


def _put_signal(work: UnitOfWork, play: Play, now: datetime, number: int) -> int:
    signal_id = work.session.scalar(
        insert(Signal)
        .values(
            symbol=play.symbol,
            direction="LONG" if play.way > 0 else "SHORT",
            occasion=f"{SCANNER}:{number}:{play.symbol}",
            scanner=SCANNER,
            triggered_at=now,
            price=play.base,
            oi_change_pct=4.0,
            volume_spike_ratio=2.0,
            price_change_pct=1.5,
            rank=1,
            score=60.0,
            ranked_at=now,
            updated_at=now,
        )
        .returning(Signal.id)
    )
    return int(signal_id or 0)


def _tell(work: UnitOfWork, system: System, play: Play, signal_id: int, now: datetime) -> None:
    """The signal's message, as the signal scanner writes it."""
    told = messages.signal(
        agent_name=SCANNER,
        scanner=SCANNER,
        symbol=play.symbol,
        direction="LONG" if play.way > 0 else "SHORT",
        rank=1,
        score=60.0,
        price=play.base,
        oi_change_15m_pct=4.0,
        price_change_5m_pct=1.5,
        volume_spike_ratio=2.0,
        at=now,
    )
    announce(
        work,
        settings=system.settings,
        now=now,
        kind="signal",
        event_key=f"signal:{signal_id}",
        agent_name=SCANNER,
        scanner=SCANNER,
        symbol=play.symbol,
        text=told,
    )


def waiting_messages(work: UnitOfWork) -> int:
    """How many messages are still on their way, or will be asked for."""
    on_their_way = OutboxMessage.status.in_(("due", "claimed", "sending"))
    in_doubt = (OutboxMessage.status == "unknown") & (OutboxMessage.asked < MOST_QUESTIONS)
    counted = select(func.count()).where(on_their_way | in_doubt)
    return int(work.session.scalar(counted) or 0)


def unattended_signals(work: UnitOfWork) -> int:
    """How many signals nobody has decided on."""
    return int(work.session.scalar(select(func.count()).where(Signal.status == "new")) or 0)
