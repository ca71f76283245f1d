"""Keeps one link alive: watches it, and makes a new one when it is dead or silent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from whalestack.sockets.links import Link, LinkLost

log = structlog.get_logger()

LOOK_EVERY_S = 0.25
PING_EVERY_S = 2.5
SILENT_AFTER_S = 6.0
# Bybit takes 500 new connections in 5 minutes from all of us together.
PAUSES_S = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
# A link that lasted less was no success: the next one must wait longer.
SHORTEST_LIFE_S = 5.0


@dataclass(frozen=True)
class KeeperTimes:
    """Real seconds. A silent stream is rebuilt within 10: 6 to notice, the rest to connect. A closed
    one is noticed at once."""

    look_every_s: float = LOOK_EVERY_S
    ping_every_s: float = PING_EVERY_S
    silent_after_s: float = SILENT_AFTER_S
    pauses_s: tuple[float, ...] = PAUSES_S


class StreamKeeper:
    """Runs one link after the other in a thread of its own.

    Args:
        name: of the stream, for the log and the status.
        make_link: a new link for each opening.
        before_open: called before each attempt.
        after_open: called once a link is open, with the real seconds that were missed, None
            at the first opening. It must not block: it runs before the watch begins.
        times: how often it looks and how long it waits.
    """

    def __init__(
        self,
        name: str,
        make_link: Callable[[], Link],
        *,
        before_open: Callable[[], None] = lambda: None,
        after_open: Callable[[float | None], None] = lambda missed_s: None,
        times: KeeperTimes | None = None,
    ) -> None:
        self.name = name
        self._make_link = make_link
        self._before_open = before_open
        self._after_open = after_open
        self._times = times or KeeperTimes()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"stream-{name}", daemon=True)
        self._last_sign_s: float | None = None
        self.link: Link | None = None
        self.rebuilt = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """End the link and the thread."""
        self._stop.set()
        self._thread.join(timeout_s)

    @property
    def is_up(self) -> bool:
        """Whether a link is open now."""
        link = self.link
        return link is not None and link.is_connected()

    @property
    def silent_s(self) -> float | None:
        """Real seconds since the last sign of life, None before the first."""
        link = self.link
        last = self._last_sign_s if link is None else link.last_sign_s()
        return None if last is None else time.monotonic() - last

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            link = self._make_link()
            began_s = time.monotonic()
            try:
                self._keep(link)
                failures = 0 if time.monotonic() - began_s > SHORTEST_LIFE_S else failures + 1
            except LinkLost as error:
                failures += 1
                # Powers of two: a long outage is told, and does not fill the log.
                if failures & (failures - 1) == 0:
                    log.warning("stream_lost", stream=self.name, error=str(error), attempt=failures)
            except Exception:  # the last line of defence: the stream must come back
                failures += 1
                log.exception("stream_keeper_failed", stream=self.name)
            finally:
                self.link = None
                link.close()
            self._stop.wait(self._times.pauses_s[min(failures, len(self._times.pauses_s) - 1)])

    def _keep(self, link: Link) -> None:
        """Open the link and return when it has to be replaced. Raises `LinkLost`."""
        self._before_open()
        link.open()
        self.link = link
        missed_s = None if self._last_sign_s is None else time.monotonic() - self._last_sign_s
        self.rebuilt += missed_s is not None
        self._last_sign_s = link.last_sign_s()
        log.info("stream_open", stream=self.name, missed_s=missed_s)
        self._after_open(missed_s)
        self._watch(link)

    def _watch(self, link: Link) -> None:
        last_ping_s = time.monotonic()
        while not self._stop.wait(self._times.look_every_s):
            now_s = time.monotonic()
            self._last_sign_s = link.last_sign_s()
            if not link.is_connected():
                log.warning("stream_closed", stream=self.name)
                return
            if now_s - self._last_sign_s > self._times.silent_after_s:
                log.warning("stream_silent", stream=self.name, silent_s=round(now_s - self._last_sign_s, 1))
                return
            if now_s - last_ping_s >= self._times.ping_every_s:
                last_ping_s = now_s
                link.ping()
