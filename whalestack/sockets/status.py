"""How the streams are, for the doctor, the dashboard and whoever waits for them."""

from __future__ import annotations

from typing import Self

import msgspec

from whalestack.db.live import LiveMarket


class StreamsStatus(msgspec.Struct, frozen=True):
    """Written to Redis every second; it expires by itself when the process is gone.

    Args:
        at_ms: market time.
        streams: by name, whether it is open.
        silent_s: by name, real seconds since its last sign of life, None before the first.
        rebuilt: how often a stream was made anew.
        coins: how many are followed.
        rows_written: to the database.
        jobs_sent, jobs_dropped: to the queues.
        history_filled: coins whose history was fetched by REST.
    """

    at_ms: int
    streams: dict[str, bool]
    silent_s: dict[str, float | None]
    rebuilt: int
    coins: int
    rows_written: int
    jobs_sent: int
    jobs_dropped: int
    history_filled: int

    def put(self, live: LiveMarket) -> None:
        """Show it to the others. Raises `TryAgain`."""
        live.put_streams_status(msgspec.json.encode(self))

    @classmethod
    def get(cls, live: LiveMarket) -> Self | None:
        """What the streams process shows, None if none runs. Raises `TryAgain`."""
        found = live.streams_status()
        return None if found is None else msgspec.json.decode(found, type=cls)
