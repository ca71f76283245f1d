"""What the heat-map scanner tells of its work."""

from __future__ import annotations

from dataclasses import dataclass

from whalestack.db.heatmap_store import StoreCounts

NOTHING_STORED = StoreCounts()


@dataclass(frozen=True)
class RoundReport:
    """A round that was started, or why none was.

    Args:
        round_id: None where none was started.
        coins, maps, batches: what was sent off.
        maps_left_out: maps the plan of calls has no room for this time.
        given_up: rounds that were closed because they had not ended.
        reason: why none was started.
    """

    round_id: int | None
    coins: int = 0
    maps: int = 0
    batches: int = 0
    maps_left_out: int = 0
    given_up: tuple[int, ...] = ()
    reason: str | None = None


@dataclass(frozen=True)
class BatchReport:
    """What one batch did.

    Args:
        counts: of the storing.
        problems: one sentence for each map that failed, naming coin and range.
        ended_round: this batch was its round's last.
        dropped: the round was over already and nothing was fetched.
    """

    round_id: int
    counts: StoreCounts = NOTHING_STORED
    problems: tuple[str, ...] = ()
    ended_round: bool = False
    dropped: bool = False


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
