"""Raw replies on disk: whole, without keys, within bounds, and never in the way of a fetch."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from tests.coinglass.conftest import Answer, Loopback, OpenBudget
from tests.coinglass.replies import error_body, heatmap_body
from whalestack.clients import raw_archive
from whalestack.clients.coinglass.archiving import ArchivingTransport
from whalestack.clients.coinglass.client import CoinglassClient
from whalestack.clients.coinglass.errors import CoinglassNotAllowed
from whalestack.clients.raw_archive import ArchiveBounds, RawArchive, archive_state, prune
from whalestack.clock import ManualClock
from whalestack.config import Settings
from whalestack.errors import StopAndTell
from whalestack.raw_replies import SUFFIX, BadArchive, Label, body_at, labels_of, pack

MAP = "/api/futures/liquidation/aggregated-heatmap/model2"
SECRET = "a-key-that-nobody-may-see"
NO_BOUNDS = ArchiveBounds(min_free_bytes=0)


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*/*{SUFFIX}"))


def replies(folder: Path) -> list[tuple[Label, bytes]]:
    """Every reply that can be read, file by file."""
    return [(label, body_at(place)) for path in files(folder) for label, place in labels_of(path)[0]]


def test_a_reply_comes_back_as_it_was(tmp_path: Path, clock: ManualClock) -> None:
    """With what was asked, when, and what was answered, in the folder of its market day."""
    archive = RawArchive(tmp_path, clock, NO_BOUNDS)
    archive.keep("coinglass", MAP, {"symbol": "BTC", "range": "24h"}, 200, heatmap_body())
    archive.keep("coinglass", MAP, {"symbol": "ODD", "range": "24h"}, 404, b"")
    [path] = files(tmp_path)
    assert path.parent.name == "2025-10-19"
    first, second = replies(tmp_path)
    assert first == (
        Label(clock.now_ms(), "coinglass", MAP, {"symbol": "BTC", "range": "24h"}, 200),
        heatmap_body(),
    )
    assert (second[0].status, second[1]) == (404, b"")


@given(bodies=st.lists(st.binary(max_size=2000), min_size=1, max_size=8), cut=st.integers(0, 20_000))
def test_a_file_cut_off_anywhere_is_whole_up_to_its_last_whole_record(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[bytes], cut: int
) -> None:
    """A process that was killed while writing costs its last reply and no other."""
    path = tmp_path_factory.mktemp("cut") / f"00{SUFFIX}"
    records = [pack(Label(n, "bybit", "/x", {}, 200), body) for n, body in enumerate(bodies)]
    path.write_bytes(b"".join(records)[:cut])
    found, problem = labels_of(path)
    assert [body_at(place) for _, place in found] == bodies[: len(found)]
    assert sum(map(len, records[: len(found)])) <= cut
    is_whole = cut >= sum(map(len, records)) or cut in [
        sum(map(len, records[:n])) for n in range(len(records))
    ]
    assert (problem is None) == is_whole


@given(noise=st.binary(min_size=1, max_size=300))
def test_no_foreign_file_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, noise: bytes) -> None:
    path = tmp_path_factory.mktemp("noise") / f"00{SUFFIX}"
    path.write_bytes(noise)
    assert labels_of(path)[0] == []
    assert labels_of(path)[1]


def test_a_damaged_body_is_an_error_and_the_next_one_is_not(tmp_path: Path, clock: ManualClock) -> None:
    archive = RawArchive(tmp_path, clock, NO_BOUNDS)
    for _ in range(2):
        archive.keep("bybit", "/x", {}, 200, heatmap_body())
    [path] = files(tmp_path)
    [(_, first), (_, second)] = labels_of(path)[0]
    damaged = bytearray(path.read_bytes())
    damaged[first.offset + 20] ^= 0xFF
    path.write_bytes(damaged)
    with pytest.raises(BadArchive, match=path.name):
        body_at(first)
    assert body_at(second) == heatmap_body()


def test_bodies_can_be_read_with_the_ordinary_tool(tmp_path: Path, clock: ManualClock) -> None:
    """zstdcat skips what stands between them."""
    archive = RawArchive(tmp_path, clock, NO_BOUNDS)
    for number in range(3):
        archive.keep("bybit", "/x", {}, 200, b"body %d\n" % number)
    with files(tmp_path)[0].open("rb") as file:
        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        assert reader.read() == b"body 0\nbody 1\nbody 2\n"


def test_each_hour_and_each_process_has_a_file_of_its_own(tmp_path: Path, clock: ManualClock) -> None:
    """Many threads share one file; two archives, as two processes have them, never do."""
    ours, others = RawArchive(tmp_path, clock, NO_BOUNDS), RawArchive(tmp_path, clock, NO_BOUNDS)
    threads = [
        threading.Thread(target=archive.keep, args=("bybit", "/x", {"n": str(n)}, 200, os.urandom(50_000)))
        for n in range(20)
        for archive in (ours, others)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(files(tmp_path)) == 2
    assert [labels_of(path)[1] for path in files(tmp_path)] == [None, None]
    assert sorted(int(label.params["n"]) for label, _ in replies(tmp_path)) == sorted([*range(20)] * 2)
    clock.advance(3600)
    ours.keep("bybit", "/x", {}, 200, b"later")
    assert len(files(tmp_path)) == 3


def test_a_forked_child_does_not_write_into_its_parents_file(tmp_path: Path, clock: ManualClock) -> None:
    archive = RawArchive(tmp_path, clock, NO_BOUNDS)
    archive.keep("bybit", "/x", {}, 200, b"parent")
    child = os.fork()
    if child == 0:
        archive.keep("bybit", "/x", {}, 200, b"child")
        os._exit(0)
    os.waitpid(child, 0)
    archive.keep("bybit", "/x", {}, 200, b"parent again")
    assert sorted(body for _, body in replies(tmp_path)) == [b"child", b"parent", b"parent again"]
    assert len(files(tmp_path)) == 2


def archiving_client(archive: RawArchive, url: str) -> CoinglassClient:
    transport = ArchivingTransport(archive, url, SecretStr(SECRET), timeout_s=5.0, max_bytes=5_000_000)
    return CoinglassClient(transport, OpenBudget(), model="model2", wait_s=1.0)


def test_no_key_is_written(tmp_path: Path, clock: ManualClock, coinglass: Loopback) -> None:
    """The key goes in a header; and a parameter that looks like one is left out."""
    archive = RawArchive(tmp_path, clock, NO_BOUNDS)
    client = archiving_client(archive, coinglass.url)
    client.heatmap("BTC", "24h")
    client.close()
    archive.keep("bybit", "/x", {"api_key": SECRET, "sign": SECRET, "symbol": "AUSDT"}, 200, b"{}")
    assert [dict(label.params) for label, _ in replies(tmp_path)] == [
        {"symbol": "BTC", "range": "24h"},
        {"symbol": "AUSDT"},
    ]
    assert SECRET.encode() not in b"".join(path.read_bytes() for path in files(tmp_path))


def test_refusals_are_kept_with_what_they_say(
    tmp_path: Path, clock: ManualClock, coinglass: Loopback
) -> None:
    """What the outside really answers to a plan that is too small is not documented."""
    coinglass.will_answer(Answer(error_body("401", "Upgrade plan")))
    client = archiving_client(RawArchive(tmp_path, clock, NO_BOUNDS), coinglass.url)
    with pytest.raises(CoinglassNotAllowed):
        client.heatmap("BTC", "24h")
    client.close()
    assert [body for _, body in replies(tmp_path)] == [error_body("401", "Upgrade plan")]


def blocked_by_a_file(folder: Path) -> ArchiveBounds:
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("a file where the folder should be")
    return NO_BOUNDS


def no_room(folder: Path) -> ArchiveBounds:
    return ArchiveBounds(min_free_bytes=10**18)


@pytest.mark.parametrize("obstacle", [blocked_by_a_file, no_room])
def test_a_disk_that_fails_is_told_once_and_stops_no_fetch(
    tmp_path: Path, clock: ManualClock, coinglass: Loopback, obstacle: Callable[[Path], ArchiveBounds]
) -> None:
    """An unwritable folder, a full disk: maps come as ever."""
    folder = tmp_path / "incoming"
    archive = RawArchive(folder, clock, obstacle(folder))
    client = archiving_client(archive, coinglass.url)
    with structlog.testing.capture_logs() as logs:
        for _ in range(5):
            assert client.heatmap("BTC", "24h").price == 100.0
    client.close()
    assert [entry["event"] for entry in logs] == ["archive_paused"]
    assert (archive.kept, archive.lost) == (0, 5)


def test_it_goes_on_when_the_disk_does(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the pause; and says how much it lost."""
    monkeypatch.setattr(raw_archive, "PAUSE_S", 0.0)
    folder = tmp_path / "incoming"
    archive = RawArchive(folder, clock, blocked_by_a_file(folder))
    archive.keep("bybit", "/x", {}, 200, b"lost")
    folder.unlink()
    with structlog.testing.capture_logs() as logs:
        archive.keep("bybit", "/x", {}, 200, b"kept")
    assert [(entry["event"], entry["replies_lost"]) for entry in logs] == [("archive_resumed", 1)]
    assert [body for _, body in replies(folder)] == [b"kept"]


def test_a_disk_that_takes_half_a_record_keeps_none_of_it(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What follows it stays readable."""
    archive = RawArchive(tmp_path, clock, NO_BOUNDS)
    archive.keep("bybit", "/x", {}, 200, b"first")
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[: len(data) // 2]))
    archive.keep("bybit", "/x", {}, 200, b"half")
    assert [labels_of(path)[1] for path in files(tmp_path)] == [None]
    assert [body for _, body in replies(tmp_path)] == [b"first"]


def test_old_days_and_what_is_too_much_goes_oldest_first(tmp_path: Path, clock: ManualClock) -> None:
    """Three days are kept, and 25 kB; nothing of the last hour, and nobody else's files."""
    archive = RawArchive(tmp_path, clock, NO_BOUNDS)
    for _ in range(6):
        archive.keep("bybit", "/x", {}, 200, os.urandom(10_000))
        clock.advance(24 * 3600)
    foreign = tmp_path / "2020-01-01" / "notes.txt"
    foreign.parent.mkdir()
    foreign.write_text("not ours")
    days = [path.parent.name for path in files(tmp_path)]
    by_age = ArchiveBounds(days=3)
    assert prune(tmp_path, by_age, clock.now_ms()) == 3
    assert [path.parent.name for path in files(tmp_path)] == days[3:]
    assert prune(tmp_path, ArchiveBounds(days=3, max_bytes=25_000), clock.now_ms()) == 1
    assert [path.parent.name for path in files(tmp_path)] == days[4:]
    assert prune(tmp_path, ArchiveBounds(max_bytes=1), clock.now_ms() - 24 * 3_600_000) == 1
    assert [path.parent.name for path in files(tmp_path)] == days[5:]
    assert foreign.exists()
    assert not (tmp_path / days[0]).exists()


def test_a_new_file_prunes(tmp_path: Path, clock: ManualClock) -> None:
    """No schedule is needed: whoever writes keeps to the bounds."""
    archive = RawArchive(tmp_path, clock, ArchiveBounds(days=2, min_free_bytes=0))
    for _ in range(5):
        archive.keep("bybit", "/x", {}, 200, b"x")
        clock.advance(timedelta(days=1).total_seconds())
    assert [path.parent.name for path in files(tmp_path)] == ["2025-10-21", "2025-10-22", "2025-10-23"]


def test_the_doctor_is_told_of_the_archives_state(
    tmp_path: Path, settings: Settings, clock: ManualClock
) -> None:
    """How much is kept; or what to do where nothing can be."""
    RawArchive(tmp_path / "incoming", clock, NO_BOUNDS).keep("bybit", "/x", {}, 200, b"x")
    told = settings.model_copy(update={"archive_dir": tmp_path / "incoming", "archive_min_free_gb": 0.0})
    assert "0.0 of 50 GB in 1 files" in archive_state(told)
    with pytest.raises(StopAndTell, match="below ARCHIVE_MIN_FREE_GB"):
        archive_state(told.model_copy(update={"archive_min_free_gb": 1e9}))
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StopAndTell, match="cannot be used"):
        archive_state(told.model_copy(update={"archive_dir": blocked}))


def test_without_the_setting_nothing_is_kept(settings: Settings) -> None:
    assert RawArchive.from_settings(settings) is None


def test_with_the_setting_the_systems_own_client_keeps_what_comes(
    settings: Settings, tmp_path: Path, coinglass: Loopback
) -> None:
    """As it is put together for the workers."""
    wanted = {"archive_raw": True, "archive_dir": tmp_path, "archive_min_free_gb": 0.0}
    told = {"coinglass_url": coinglass.url, "coinglass_api_key": SecretStr(SECRET)}
    client = CoinglassClient.from_settings(settings.model_copy(update=wanted | told), OpenBudget())
    client.heatmap("BTC", "24h")
    client.close()
    assert [(label.service, label.endpoint) for label, _ in replies(tmp_path)] == [("coinglass", MAP)]
