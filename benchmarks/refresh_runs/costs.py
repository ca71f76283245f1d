"""What processes cost: CPU seconds and memory, from /proc, by the part of the system they belong to."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
LOOK_EVERY_S = 1.0


def tree(root: int) -> list[int]:
    """A process and all that descend from it."""
    found = [root]
    for pid in found:
        try:
            for task in Path(f"/proc/{pid}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def cpu_s(root: int) -> float:
    """CPU seconds of a process tree so far, with those of children that have ended and were waited for."""
    ticks = 0
    for pid in tree(root):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        ticks += sum(int(each) for each in fields[11:15])
    return ticks * TICK_S


def memory_mb(root: int) -> tuple[float, float]:
    """(PSS, RSS) of a process tree, MB: PSS counts a page shared by n processes as 1/n of one."""
    pss = rss = 0
    for pid in tree(root):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        for line in lines:
            if line.startswith("Pss:"):
                pss += int(line.split()[1])
            elif line.startswith("Rss:"):
                rss += int(line.split()[1])
    return pss / 1024, rss / 1024


def machine_busy_s() -> float:
    """CPU seconds that the whole machine has worked since it started."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(each) for each in fields[:8])
    return (user + nice + system + irq + softirq + steal) * TICK_S


@dataclass(frozen=True)
class Mark:
    """CPU seconds at one moment: of each part, of the machine."""

    parts: dict[str, float]
    machine: float


@dataclass
class Costs:
    """Follows the parts of a system from a thread of its own.

    Args:
        roots: process ids by the part's name.
        watched: the part whose memory is followed.
    """

    roots: Mapping[str, int]
    watched: str
    peak_pss_mb: float = 0.0
    peak_rss_mb: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._follow, name="costs", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def forget_peak(self) -> None:
        """Follow the memory anew."""
        self.peak_pss_mb = self.peak_rss_mb = 0.0

    def mark(self) -> Mark:
        """Now."""
        parts = {name: cpu_s(root) for name, root in self.roots.items()}
        return Mark(parts | {"harness": time.process_time()}, machine_busy_s())

    def since(self, mark: Mark) -> dict[str, float]:
        """CPU seconds since then by part; `elsewhere` is everything on the machine that is none of them."""
        now = self.mark()
        spent = {name: now.parts[name] - before for name, before in mark.parts.items()}
        spent["elsewhere"] = max(now.machine - mark.machine - sum(spent.values()), 0.0)
        return {name: round(seconds, 2) for name, seconds in spent.items()}

    def _follow(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            pss, rss = memory_mb(self.roots[self.watched])
            self.peak_pss_mb = max(self.peak_pss_mb, pss)
            self.peak_rss_mb = max(self.peak_rss_mb, rss)
