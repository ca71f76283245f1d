"""The embedded PostgreSQL keeps its data, keeps to itself, and says what is wrong in a sentence."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from whalestack.embedded import EmbeddedPostgres, account, process
from whalestack.embedded import postgres as embedded_postgres
from whalestack.errors import StopAndTell


def scalar(url: str, statement: str) -> object:
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        result = connection.execute(text(statement))
        return result.scalar() if result.returns_rows else None


@pytest.fixture
def server(scratch_folder: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(scratch_folder / "postgres", durable=False) as running:
        yield running


def test_data_and_url_outlive_a_restart(server: EmbeddedPostgres) -> None:
    url = server.url()
    scalar(url, "create table kept as select 42 as answer")

    server.restart()

    assert (url, 42) == (server.url(), scalar(server.url(), "select answer from kept"))


def test_it_listens_on_no_port_and_its_folder_is_private(server: EmbeddedPostgres) -> None:
    assert "" == scalar(server.url(), "show listen_addresses")
    assert 0o700 == stat.S_IMODE(server.directory.stat().st_mode)


def test_a_second_start_on_the_same_folder_is_refused_with_what_to_do(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_postgres, "LOCK_WAIT_S", 0.2)
    with pytest.raises(StopAndTell, match="in use by another whalestack; stop it or set RUN_DIR"):
        EmbeddedPostgres(server.directory, durable=False).start()

    assert 1 == scalar(server.url(), "select 1")


def test_a_pid_file_of_a_killed_server_does_not_stand_in_the_way(server: EmbeddedPostgres) -> None:
    """After a crash the number in it may belong to any process, here to this one's init."""
    server.stop()
    (server.data / "postmaster.pid").write_text(f"1\n{server.data}\n")

    server.start()

    assert 1 == scalar(server.url(), "select 1")


def test_data_of_another_version_is_refused_with_what_to_do(server: EmbeddedPostgres) -> None:
    server.stop()
    (server.data / "PG_VERSION").write_text("16\n")

    with pytest.raises(StopAndTell, match="made by PostgreSQL 16, this is 18; remove that folder"):
        server.start()


def test_a_server_that_cannot_start_says_what_it_wrote(server: EmbeddedPostgres) -> None:
    server.stop()
    (server.data / "postgresql.conf").write_text("no_such_option = 1\n")

    with pytest.raises(StopAndTell, match=r"PostgreSQL ended while starting: .*no_such_option"):
        server.start()


def test_a_folder_too_deep_for_a_socket_works(scratch_folder: Path) -> None:
    deep = scratch_folder / ("d" * 60) / ("e" * 60)
    with EmbeddedPostgres(deep, durable=False) as running:
        sockets = Path(running.url().partition("host=")[2].replace("%2F", "/"))

        assert 1 == scalar(running.url(), "select 1")
        assert sockets != running.directory

    assert not sockets.exists()


def test_stopping_twice_is_harmless(server: EmbeddedPostgres) -> None:
    server.stop()
    server.stop()

    assert server.pid is None


def test_a_database_is_made_once(server: EmbeddedPostgres) -> None:
    server.create_database("twice")
    server.create_database("twice")

    assert "twice" == scalar(server.url("twice"), "select current_database()")


def test_a_folder_closed_to_the_account_is_replaced_by_the_same_one_each_time(tmp_path: Path) -> None:
    """Root's home is closed to `nobody`; no permission of it is changed."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    stranger = account.Account(uid=65_534, gid=65_534, switches=True)
    if not account.can_reach(stranger, tmp_path):
        places = {account.private_directory(stranger, closed / "postgres") for _ in range(2)}

        assert 1 == len(places)
        place = places.pop()
        assert place.is_relative_to("/var/tmp")
        place.rmdir()
    assert 0o700 == stat.S_IMODE(closed.stat().st_mode)


def test_a_lock_is_free_again_when_its_holder_has_ended(tmp_path: Path) -> None:
    with (
        process.holding_lock(tmp_path / "lock", wait_s=0),
        pytest.raises(StopAndTell, match="in use"),
        process.holding_lock(tmp_path / "lock", wait_s=0.05),
    ):
        pass

    with process.holding_lock(tmp_path / "lock", wait_s=0):
        pass


def test_a_start_that_failed_can_be_tried_again(server: EmbeddedPostgres) -> None:
    server.stop()
    configuration = server.data / "postgresql.conf"
    good = configuration.read_text()
    configuration.write_text("no_such_option = 1\n")
    with pytest.raises(StopAndTell):
        server.start()

    configuration.write_text(good)
    server.start()

    assert 1 == scalar(server.url(), "select 1")
