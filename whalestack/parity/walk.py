"""Walks a running system through its market: one price point, then everything it sets off."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from whalestack.dispatch import Job
from whalestack.errors import StopAndTell
from whalestack.parity.held_jobs import MARK
from whalestack.parity.system import SteppedSystem
from whalestack.sockets.keeper import StreamKeeper
from whalestack.sockets.links import BybitLink
from whalestack.tasks.schedule import entries

PRICE_POINT_S = 5
"""Market seconds between two price points of a recorded market."""
# Messages, canaries and retention decide nothing. Each round asks for its ranking itself, and the
# scheduled one, which would come at the very same moment here, adds nothing to it.
LEFT_OUT = ("broadcast.", "history.canaries", "history.retention", "scan.ranking")
GIVE_UP_S = 60.0
LOOK_EVERY_S = 0.001


@dataclass
class Walk:
    """One walk.

    Args:
        system: at its first moment.
    """

    system: SteppedSystem

    def prepare(self) -> None:
        """Everything that a system does before it trades: history, coins' records, maps, a comparison
        with the exchange."""
        self._until(self._is_warm, "the streams have no history")
        self._settle()
        for task in (
            "history.thresholds",
            "history.outcomes",
            "history.patterns",
            "heatmap.refresh",
            "trade.reconcile",
        ):
            self._run(task)

    def step_to(self, now_ms: int) -> None:
        """Move the market to its next price point, and let everything be done that follows from it."""
        system = self.system
        system.clock.set_ms(now_ms)
        self._hear()
        self._settle()
        for task in self._due(now_ms):
            self._run(task)
        # What tasks did on the exchange is told on the private stream.
        self._hear()
        self._settle()

    def _settle(self) -> None:
        """Write what was heard, then let the jobs go that measure it, until nothing is left to do."""
        streams = self.system.streams
        while True:
            for sender in streams.senders:
                sender.post(Job(MARK))
                if not self.system.held.marked.acquire(timeout=GIVE_UP_S):
                    raise StopAndTell("the streams' jobs do not leave")
            streams.recorder.show_changes(all_coins=True)
            streams.recorder.store_due()
            if not self.system.held.let_go():
                return
            self.system.idle.wait()
            self._hear()

    def _hear(self) -> None:
        """Have the simulator take its step, and wait until every frame of it was heard."""
        frames = self.system.ask_simulator("POST", "/sim/step")["frames"]
        if not isinstance(frames, dict):
            raise StopAndTell("the simulator does not count its frames")
        for path, keepers in self._keepers():
            sent = int(frames.get(f"WS {path}", 0))
            self._await_frames(keepers, sent, path)

    def _await_frames(self, keepers: list[StreamKeeper], sent: int, path: str) -> None:
        self._until(lambda: heard(keepers) >= sent, f"{path} is not heard")

    def _keepers(self) -> Iterator[tuple[str, list[StreamKeeper]]]:
        streams = self.system.streams
        yield "/v5/public/linear", streams.public.keepers
        yield "/v5/private", [each for each in streams.others if each.name == "private"]

    def _run(self, task: str) -> None:
        self.system.runtime.dispatcher.send(Job(task))
        self.system.idle.wait()

    def _due(self, now_ms: int) -> list[str]:
        seconds = now_ms // 1000
        return [
            entry.task
            for entry in entries(self.system.settings)
            if seconds % entry.every_s == 0 and not entry.task.startswith(LEFT_OUT)
        ]

    def _is_warm(self) -> bool:
        status = self.system.streams.status()
        return status.history_filled >= status.coins > 0 and all(status.streams.values())

    def _until(self, holds: Callable[[], bool], otherwise: str) -> None:
        end_s = time.monotonic() + GIVE_UP_S
        while not holds():
            if time.monotonic() > end_s:
                raise StopAndTell(f"after {GIVE_UP_S:.0f} s {otherwise}")
            time.sleep(LOOK_EVERY_S)


def heard(keepers: list[StreamKeeper]) -> int:
    """Frames that came in on these streams' links."""
    return sum(each.link.frames for each in keepers if isinstance(each.link, BybitLink))
