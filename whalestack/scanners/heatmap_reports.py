"""What the heat-map scanner tells of its work."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from whalestack.db.heatmap_store import StoreCounts

NOTHING_STORED = StoreCounts()


@dataclass(frozen=True)
class RoundReport:
    """A round that was started, or why none was.

    Args:
        round_id: None where none was started.
        coins, maps, batches: what was sent off.
        maps_left_out: maps the plan of calls has no room for this time.
        ranges_not_served: by the plan; one coin of each is tried.
        given_up: rounds that were closed because they had not ended.
        reason: why none was started.
    """

    round_id: int | None
    coins: int = 0
    maps: int = 0
    batches: int = 0
    maps_left_out: int = 0
    ranges_not_served: tuple[str, ...] = ()
    given_up: tuple[int, ...] = ()
    reason: str | None = None

    def loggable(self) -> dict[str, object]:
        """What was sent off, for the log."""
        return {name: value for name, value in asdict(self).items() if name != "reason"}


@dataclass(frozen=True)
class BatchReport:
    """What one batch did.

    Args:
        counts: of the storing.
        problems: one sentence for each map that failed, naming coin and range.
        ended_round: this batch was its round's last.
        dropped: the round was over already, or the batch had reported before: nothing was counted.
        maps_left: maps that another batch goes on with, because the time was over.
    """

    round_id: int
    counts: StoreCounts = NOTHING_STORED
    problems: tuple[str, ...] = ()
    ended_round: bool = False
    dropped: bool = False
    maps_left: int = 0


@dataclass(frozen=True)
class RefetchReport:
    """What became of one coin's maps, out of turn."""

    symbol: str
    reason: str
    counts: StoreCounts = NOTHING_STORED
    problems: tuple[str, ...] = ()

    @property
    def stored(self) -> int:
        """Maps written down, the derived one among them."""
        return self.counts.stored

    @property
    def unchanged(self) -> int:
        """Maps that stood exactly so before."""
        return self.counts.unchanged

    @property
    def is_complete(self) -> bool:
        """Whether every range came."""
        return not self.problems
