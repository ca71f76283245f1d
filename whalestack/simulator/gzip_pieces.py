"""A gzip body put together from pieces that were compressed before.

Compressing a reply of 350 kB takes ten milliseconds, joining compressed pieces ten microseconds.
Each piece is a run of deflate blocks that refers to nothing outside itself (a full flush ends
it), so pieces may follow each other in any order. What gzip wants besides, the checksum of the
whole, is combined from those of the pieces: CRC-32 is linear, so how a piece of a known length
carries an earlier checksum on is told by what it does to each of its 32 bits (RFC 1952; the
same idea as zlib's `crc32_combine`).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_RAW_DEFLATE = -15
_MOST_STORED = 65_535
# Below this many bytes going over them again is quicker than the 32 bits.
_SHORT = 4096


@dataclass(frozen=True)
class Piece:
    """A part of a body.

    Args:
        deflated: the part as deflate blocks, none of them the last.
        size: bytes of the part as it is.
        raw: the part as it is, kept where it is short.
        crc: of a long part.
        carried: what a long part makes of each bit of the checksum before it.
    """

    deflated: bytes
    size: int
    raw: bytes = b""
    crc: int = 0
    carried: tuple[int, ...] = ()

    def crc_after(self, before: int) -> int:
        """The checksum of everything up to this piece's end."""
        if not self.carried:
            return zlib.crc32(self.raw, before)
        found = self.crc
        for bit, turned in enumerate(self.carried):
            if before >> bit & 1:
                found ^= turned
        return found


def piece(raw: bytes, level: int = 6) -> Piece:
    """Compress a part of bodies once.

    Args:
        raw: the part.
        level: of zlib, 1 to 9.
    """
    squeeze = zlib.compressobj(level, zlib.DEFLATED, _RAW_DEFLATE)
    deflated = squeeze.compress(raw) + squeeze.flush(zlib.Z_FULL_FLUSH)
    if len(raw) < _SHORT:
        return Piece(deflated, len(raw), raw)
    zeros = bytes(len(raw))
    nothing = zlib.crc32(zeros)
    carried = tuple(zlib.crc32(zeros, 1 << bit) ^ nothing for bit in range(32))
    return Piece(deflated, len(raw), crc=zlib.crc32(raw), carried=carried)


def gzip_body(pieces: Iterable[Piece], end: bytes) -> bytes:
    """One gzip member of all pieces and an uncompressed end.

    Args:
        pieces: in the order of the body.
        end: its last bytes, at most 65,535.
    """
    if len(end) > _MOST_STORED:
        raise ValueError(f"an end of {len(end)} bytes does not fit one stored block")
    parts, crc, size = [_HEADER], 0, len(end)
    for each in pieces:
        parts.append(each.deflated)
        crc = each.crc_after(crc)
        size += each.size
    parts.append(struct.pack("<BHH", 1, len(end), len(end) ^ 0xFFFF))
    parts.append(end)
    parts.append(struct.pack("<II", zlib.crc32(end, crc), size & 0xFFFF_FFFF))
    return b"".join(parts)
