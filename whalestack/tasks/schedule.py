"""What beat sends and how often, in market time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from celery.schedules import crontab, schedule

from whalestack.config import Settings
from whalestack.math.accuracy_bars import EVERY_S

CANARY_INTERVAL_S = 60
# Wanted at once when the system starts, and not only after a whole interval. The retention goes
# along because TimescaleDB's own policies count the wall clock, and market time may be another.
AT_START = ("trade.reconcile", "scan.universe", "heatmap.refresh", "history.canaries", "history.retention")
# However fast market time runs, a call takes its real time; and a message that lives for less
# than this could expire on its way to an idle worker.
SHORTEST_REAL_S = 1.0
# What repairs lost answers must get its turn just when its queue is long, after a worker's death:
# these messages live at least so long.
REPAIRING = ("trailing.",)
REPAIR_LIVES_REAL_S = 5.0
# And those that find the last run young end at once, so that any number of them may wait: the queue
# is longest when orders without an answer wait for the poll that asks about them.
SPACED_LIVES_REAL_S = 30.0


@dataclass(frozen=True)
class Entry:
    """A task that beat sends every `every_s` market seconds.

    `expires_s`: a message not started after that many market seconds is dropped, because the
    next one is on its way; None means the interval itself. `spaced`: a run ends at once where the last
    one began within half the interval, so its messages may wait for long.
    """

    task: str
    every_s: int
    expires_s: int | None = None
    spaced: bool = False


def entries(settings: Settings) -> tuple[Entry, ...]:
    """The schedule of the system."""
    # One call a minute for the prices and open interest of all coins between the rounds of maps.
    archive = (Entry("scan.tickers", 60, 55),) if settings.archive_raw else ()
    return (
        *archive,
        Entry("heatmap.refresh", settings.refresh_interval_s, settings.refresh_interval_s * 4 // 5),
        Entry("scan.moves", 60, 55),
        Entry("scan.board", 60, 55),
        # Also after every round; between rounds only prices change.
        Entry("scan.ranking", 300, 55),
        Entry("scan.universe", 3600),
        # A call for every hundred coins of CoinGlass: rarely.
        Entry("scan.board_check", 3600),
        Entry("trade.reconcile", 60, 55, spaced=True),
        Entry("trade.poll", 15, spaced=True),
        Entry("trade.sweep", 30, spaced=True),
        Entry("trade.expire_plans", 30, spaced=True),
        Entry("trailing.sweep", 15),
        Entry("trailing.watchdog", 20),
        Entry("broadcast.sweep", 30),
        Entry("broadcast.commands", 5),
        Entry("history.outcomes", 300),
        Entry("history.patterns", 900),
        Entry("history.thresholds", 900),
        Entry("history.accuracy", EVERY_S),
        Entry("history.retention", 3600),
        Entry("history.canaries", CANARY_INTERVAL_S),
    )


def beat_schedule(settings: Settings) -> dict[str, dict[str, Any]]:
    """The entries as Celery wants them: on the wall clock's marks at speed 1, because candles
    and heat-map columns close there; by plain intervals where market time runs faster."""
    clock = settings.clock()

    def real_s(market_s: int) -> float:
        return max(SHORTEST_REAL_S, clock.real_seconds(market_s))

    return {
        entry.task: {
            "task": entry.task,
            "schedule": _when(entry.every_s, real_s(entry.every_s), aligned=settings.clock_speed == 1),
            "kwargs": {"unless_within_s": entry.every_s / 2} if entry.spaced else {},
            "options": {"expires": max(real_s(entry.expires_s or entry.every_s), _lives_s(entry))},
        }
        for entry in entries(settings)
    }


def _lives_s(entry: Entry) -> float:
    if entry.spaced:
        return SPACED_LIVES_REAL_S
    return REPAIR_LIVES_REAL_S if entry.task.startswith(REPAIRING) else SHORTEST_REAL_S


def _when(every_s: int, real_s: float, *, aligned: bool) -> Any:
    minutes, rest_s = divmod(every_s, 60)
    if aligned and rest_s == 0 and 60 % max(minutes, 1) == 0 and minutes >= 1:
        return crontab(minute=f"*/{minutes}") if minutes < 60 else crontab(minute="0")
    return schedule(timedelta(seconds=real_s))
