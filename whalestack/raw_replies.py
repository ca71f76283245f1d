"""The files in which raw replies of the outside are kept: how a reply is laid down and found again.

A file is a row of records. A record is a skippable frame of Zstandard, which holds what was
asked and when as one line of JSON, and after it the frame of the body as it came. So
`zstdcat` shows the bodies, a record is found without unpacking those before it, and a file
that was cut off is whole up to its last whole record. Whoever writes and whoever plays back
share this module and nothing else.
"""

from __future__ import annotations

import json
import re
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import zstandard

from whalestack.errors import GiveUp

SUFFIX = ".raw.zst"
DAY_FOLDER = re.compile(r"\d{4}-\d{2}-\d{2}")
_MARK = 0x184D2A57  # one of the sixteen numbers that begin a skippable frame
_HEAD = struct.Struct("<II")
_LONGEST_LABEL = 65_536
_LEVEL = 1
_local = threading.local()
Reader = Callable[[int], bytes]


class BadArchive(GiveUp):
    """A record is damaged or cut off."""


class Place(NamedTuple):
    """Where a body lies: the file, the offset of its frame and the frame's length in bytes."""

    path: Path
    offset: int
    length: int


@dataclass(frozen=True)
class Label:
    """What is known of a reply without unpacking it.

    Args:
        at_ms: when it came, market time.
        service: "coinglass" or "bybit".
        endpoint: path of the request, with its leading slash.
        params: of the query; never a key or a signature.
        status: of HTTP.
    """

    at_ms: int
    service: str
    endpoint: str
    params: Mapping[str, str]
    status: int


def pack(label: Label, body: bytes) -> bytes:
    """One record, to be written in one piece."""
    # A compressor is not made to be shared by threads.
    if not hasattr(_local, "compressor"):
        _local.compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
    frame: bytes = _local.compressor.compress(body)
    facts = {**vars(label), "params": dict(label.params), "length": len(frame)}
    text = json.dumps(facts, separators=(",", ":")).encode()
    return _HEAD.pack(_MARK, len(text)) + text + frame


def labels_of(path: Path) -> tuple[list[tuple[Label, Place]], str | None]:
    """Every whole record of a file in its order, and what is wrong with what follows them, if anything.

    Raises:
        OSError: the file cannot be read.
    """
    found: list[tuple[Label, Place]] = []
    size = path.stat().st_size
    with path.open("rb") as file:
        while (at := file.tell()) < size:
            try:
                label, length = _label(file.read(_HEAD.size), file.read)
            except (struct.error, ValueError, KeyError, TypeError) as error:
                return found, f"no record at byte {at}: {error}"
            place = Place(path, file.tell(), length)
            if place.offset + length > size:
                return found, f"the record at byte {at} is cut off"
            found.append((label, place))
            file.seek(length, 1)
    return found, None


def _label(head: bytes, read: Reader) -> tuple[Label, int]:
    mark, length = _HEAD.unpack(head)
    if mark != _MARK or length > _LONGEST_LABEL:
        raise ValueError("another mark than a record's")
    facts = json.loads(read(length))
    frame = int(facts["length"])
    if frame <= 0:
        raise ValueError("a body without length")
    params = {str(name): str(value) for name, value in facts["params"].items()}
    label = Label(
        int(facts["at_ms"]), str(facts["service"]), str(facts["endpoint"]), params, int(facts["status"])
    )
    return label, frame


def body_at(place: Place) -> bytes:
    """The body of a record, as it came.

    Raises:
        BadArchive: it is damaged, or the file is gone.
    """
    try:
        with place.path.open("rb") as file:
            file.seek(place.offset)
            frame = file.read(place.length)
        body: bytes = zstandard.ZstdDecompressor().decompress(frame)
    except (OSError, zstandard.ZstdError) as error:
        raise BadArchive(f"{place.path.name}, byte {place.offset}: {error}") from error
    return body
