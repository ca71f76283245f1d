"""What an archive of raw replies holds, found by what was asked and when.

Only labels are read at the start; a body is unpacked when it is wanted. What is damaged is
named in the log and left out.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

import orjson
import structlog

from whalestack.errors import StopAndTell
from whalestack.raw_replies import SUFFIX, BadArchive, Place, body_at, labels_of

log = structlog.get_logger()

Params = tuple[tuple[str, str], ...]
Key = tuple[str, str, Params]


def key_of(service: str, endpoint: str, params: Mapping[str, str]) -> Key:
    """What was asked, in an order of its own."""
    return service, endpoint, tuple(sorted(params.items()))


class ReplyIndex:
    """Every successful reply of a folder.

    Args:
        folder: of files, at any depth.

    Raises:
        StopAndTell: there is no readable reply in it.
    """

    def __init__(self, folder: Path) -> None:
        found: dict[Key, list[tuple[int, Place]]] = defaultdict(list)
        paths = sorted(folder.rglob(f"*{SUFFIX}"))
        for path in paths:
            _read_file(path, found)
        if not found:
            raise StopAndTell(f"{folder} holds no raw replies ({len(paths)} files *{SUFFIX})")
        self._times: dict[Key, list[int]] = {}
        self._places: dict[Key, list[Place]] = {}
        for key, replies in found.items():
            replies.sort(key=lambda reply: reply[0])
            self._times[key] = [at_ms for at_ms, _ in replies]
            self._places[key] = [place for _, place in replies]

    def keys(self, service: str, endpoint: str) -> list[Key]:
        """Everything that was asked of an endpoint; `endpoint` may end in ``*`` for any ending."""
        stem, is_stem = endpoint.removesuffix("*"), endpoint.endswith("*")
        return [
            key
            for key in self._times
            if key[0] == service and (key[1].startswith(stem) if is_stem else key[1] == endpoint)
        ]

    def times(self, key: Key) -> list[int]:
        """When replies came, market ms, oldest first; empty where nobody asked."""
        return self._times.get(key, [])

    def latest(self, key: Key, at_ms: int) -> bytes | None:
        """The newest readable reply that had come by `at_ms`, None if there is none.

        Nothing that came later is ever looked at.
        """
        for number in range(bisect_right(self.times(key), at_ms) - 1, -1, -1):
            body = self.body(key, number)
            if body is not None:
                return body
        return None

    def body(self, key: Key, number: int) -> bytes | None:
        """The reply of a place in `times`, None where it is damaged: that is named in the log."""
        try:
            return body_at(self._places[key][number])
        except BadArchive as error:
            log.warning("archived_reply_damaged", asked=key, why=str(error))
            return None

    def results(self, endpoint: str) -> Iterator[tuple[int, dict[str, str], Any]]:
        """Of every reply of Bybit's endpoint: when it came, what was asked, and its `result`."""
        for key in self.keys("bybit", endpoint):
            for number, at_ms in enumerate(self.times(key)):
                result = _result(self.body(key, number))
                if result is not None:
                    yield at_ms, dict(key[2]), result


def _read_file(path: Path, found: dict[Key, list[tuple[int, Place]]]) -> None:
    try:
        labels, problem = labels_of(path)
    except OSError as error:
        labels, problem = [], str(error)
    if problem is not None:
        log.warning("archive_file_damaged", file=str(path), read=len(labels), why=problem)
    for label, place in labels:
        if label.status == HTTPStatus.OK:
            found[key_of(label.service, label.endpoint, label.params)].append((label.at_ms, place))


def _result(body: bytes | None) -> Any | None:
    """Bybit's `result`, None where the reply is none or says no."""
    if body is None:
        return None
    try:
        reply = orjson.loads(body)
        return reply["result"] if reply["retCode"] == 0 else None
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None


@lru_cache(maxsize=2)
def read_index(folder: Path) -> ReplyIndex:
    """The index of a folder, read once. Raises as `ReplyIndex`."""
    return ReplyIndex(folder)
