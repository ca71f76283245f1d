"""Keeping the raw replies of the outside in files by day (`ARCHIVE_RAW`).

Whatever happens to the disk, a fetch goes on: keeping a reply never raises, and what went
wrong is told once. Each process writes files of its own, a new one every hour, so no two
writers ever share one; the oldest go where days or space run out.
"""

from __future__ import annotations

import fcntl
import os
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import structlog

from whalestack.clock import Clock, from_ms
from whalestack.config import Settings
from whalestack.errors import StopAndTell
from whalestack.raw_replies import DAY_FOLDER, SUFFIX, Label, pack

log = structlog.get_logger()

ROTATE_BYTES = 256_000_000
PAUSE_S = 60.0
_DAY_MS = 86_400_000
# Keys go in headers and signatures too; should one ever be in a query, it is not written down.
_SECRET_WORDS = ("key", "sign", "secret", "token", "pass")


@dataclass(frozen=True)
class ArchiveBounds:
    """How much is kept.

    Args:
        days: market days; older ones are deleted.
        max_bytes: of all files together; the oldest are deleted.
        min_free_bytes: of the disk; with less nothing is written, for the database needs it more.
    """

    days: int = 14
    max_bytes: int = 50_000_000_000
    min_free_bytes: int = 2_000_000_000


class RawArchive:
    """Writes raw replies. May be shared by threads; a forked child writes a file of its own.

    Args:
        folder: holds a folder for each market day.
        clock: market time.
        bounds: how much is kept.
    """

    def __init__(self, folder: Path, clock: Clock, bounds: ArchiveBounds | None = None) -> None:
        self._folder = folder
        self._clock = clock
        self._bounds = bounds or ArchiveBounds()
        self._lock = threading.Lock()
        self._file: _File | None = None
        self._paused_until_s = 0.0
        self.kept = 0
        self.lost = 0

    @classmethod
    def from_settings(cls, settings: Settings, clock: Clock | None = None) -> Self | None:
        """The archive that the settings describe, None where they ask for none."""
        if not settings.archive_raw:
            return None
        bounds = ArchiveBounds(
            days=settings.keep_archive_days,
            max_bytes=round(settings.archive_max_gb * 1e9),
            min_free_bytes=round(settings.archive_min_free_gb * 1e9),
        )
        return cls(settings.archive_dir, clock or settings.clock(), bounds)

    def keep(self, service: str, endpoint: str, params: Mapping[str, str], status: int, body: bytes) -> None:
        """Write one reply down, if that is possible now.

        Args:
            service: "coinglass" or "bybit".
            endpoint: path of the request.
            params: of the query.
            status: of HTTP.
            body: decompressed.
        """
        if time.monotonic() < self._paused_until_s:
            self.lost += 1
            return
        public = {name: value for name, value in params.items() if not _is_secret(name)}
        label = Label(self._clock.now_ms(), service, endpoint, public, status)
        record = pack(label, body)
        with self._lock:
            try:
                self._write(label.at_ms, record)
            except OSError as error:
                self._pause(error)

    def close(self) -> None:
        """Close the file; the next reply opens a new one."""
        with self._lock:
            self._close()

    def _write(self, at_ms: int, record: bytes) -> None:
        if self._file is None or not self._file.takes(at_ms):
            self._close()
            self._file = _File.open(self._folder, at_ms)
            prune(self._folder, self._bounds, at_ms)
        free = os.statvfs(self._folder)
        if free.f_bavail * free.f_frsize < self._bounds.min_free_bytes:
            raise OSError(f"less than ARCHIVE_MIN_FREE_GB ({self._bounds.min_free_bytes / 1e9:g}) is free")
        self._file.append(record)
        self.kept += 1
        if self.lost:
            log.info("archive_resumed", replies_lost=self.lost)
            self.lost = 0

    def _pause(self, error: OSError) -> None:
        """Give up for a minute; only the first time it is told."""
        if not self.lost:
            log.warning("archive_paused", folder=str(self._folder), why=str(error))
        self.lost += 1
        self._paused_until_s = time.monotonic() + PAUSE_S
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def archive_state(settings: Settings) -> str:
    """One sentence on what is kept and what room there is.

    Raises:
        StopAndTell: nothing could be kept now; says why.
    """
    folder = settings.archive_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = os.statvfs(folder)
        sizes = [path.stat().st_size for path in folder.glob(f"*/*{SUFFIX}")]
    except OSError as error:
        raise StopAndTell(f"ARCHIVE_DIR={folder} cannot be used: {error.strerror}") from None
    free_gb = free.f_bavail * free.f_frsize / 1e9
    if not os.access(folder, os.W_OK):
        raise StopAndTell(f"ARCHIVE_DIR={folder} may not be written to by this user")
    if free_gb < settings.archive_min_free_gb:
        wanted = settings.archive_min_free_gb
        raise StopAndTell(f"{free_gb:.1f} GB are free at {folder}: below ARCHIVE_MIN_FREE_GB={wanted:g}")
    kept = f"{sum(sizes) / 1e9:.1f} of {settings.archive_max_gb:g} GB in {len(sizes)} files"
    return f"{kept}, {free_gb:.0f} GB free at {folder}"


class _File:
    """One process's file of one hour, appended to in whole records."""

    def __init__(self, path: Path, descriptor: int, hour_ms: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._hour_ms = hour_ms
        self._pid = os.getpid()
        self._size = 0

    @classmethod
    def open(cls, folder: Path, at_ms: int) -> _File:
        """A new file for the hour of `at_ms`, under a name that nobody else has."""
        moment = from_ms(at_ms)
        day = folder / f"{moment:%Y-%m-%d}"
        day.mkdir(parents=True, exist_ok=True)
        stem = f"{moment:%H}-{socket.gethostname()}-{os.getpid()}"
        number = 1
        while True:
            path = day / f"{stem}-{number}{SUFFIX}"
            try:
                flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
                return cls(path, os.open(path, flags, 0o644), at_ms // 3_600_000)
            except FileExistsError:
                number += 1

    def takes(self, at_ms: int) -> bool:
        """Whether a reply of this moment belongs here."""
        return at_ms // 3_600_000 == self._hour_ms and self._pid == os.getpid() and self._size < ROTATE_BYTES

    def append(self, record: bytes) -> None:
        """Write a record, or nothing of it.

        Raises:
            OSError: it could not be written.
        """
        try:
            written = os.write(self._descriptor, record)
            if written < len(record):
                raise OSError(f"the disk took {written} of {len(record)} bytes")
        except OSError:
            # A part of a record would hide those that follow it.
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(record)

    def close(self) -> None:
        """Give the descriptor back. In a forked child it is the parent's, and stays open there."""
        os.close(self._descriptor)


def prune(folder: Path, bounds: ArchiveBounds, now_ms: int) -> int:
    """Delete what is too old, and the oldest of what is too much; returns how many files went.

    Only files of an archive in folders named as days are touched, and none of the last hour,
    for those are being written. Where another process is at it already nothing is done.

    Args:
        folder: holds the days.
        bounds: how much may stay.
        now_ms: market time.
    """
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0
        oldest_day = f"{from_ms(now_ms - bounds.days * _DAY_MS):%Y-%m-%d}"
        hour_ago = f"{from_ms(now_ms - 3_600_000):%Y-%m-%d/%H}"
        files = sorted(
            (f"{path.parent.name}/{path.name}", path, path.stat().st_size)
            for path in folder.glob(f"*/*{SUFFIX}")
            if DAY_FOLDER.fullmatch(path.parent.name)
        )
        total, gone = sum(size for _, _, size in files), 0
        for name, path, size in files:
            if name[:13] >= hour_ago or (path.parent.name >= oldest_day and total <= bounds.max_bytes):
                break
            path.unlink(missing_ok=True)
            total, gone = total - size, gone + 1
        for day in {path.parent for _, path, _ in files[:gone]}:
            if not any(day.iterdir()):
                day.rmdir()
    if gone:
        log.info("archive_pruned", files=gone, left_gb=round(total / 1e9, 3))
    return gone


def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in _SECRET_WORDS)
