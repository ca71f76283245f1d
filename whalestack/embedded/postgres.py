"""PostgreSQL from a wheel, on a socket in a private folder: no port, no password, no guest."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from whalestack.embedded.account import private_directory, server_account
from whalestack.embedded.binaries import POSTGRES_MAJOR, postgres_programs
from whalestack.embedded.process import LOCK_WAIT_S, KeptProcess, holding_lock
from whalestack.errors import StopAndTell, TryAgain

USER = "whalestack"
SOCKET_PATH_LIMIT = 107  # bytes in sun_path, less its closing zero
SOCKET_NAME = ".s.PGSQL.5432"
START_TIMEOUT_S = 60.0
STOP_GRACE_S = 20.0

ALWAYS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "jit": "off",  # compiling costs more than it saves on queries of milliseconds
    "log_min_messages": "warning",
    "log_checkpoints": "off",
}
# For data that nobody will miss: twice as fast, lost when the machine dies.
THROWAWAY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "min_wal_size": "32MB",
    "max_wal_size": "128MB",
}


class EmbeddedPostgres:
    """A PostgreSQL server of our own in one folder.

    Args:
        directory: for its data, socket and log; made if missing and kept after `stop`.
        durable: False trades safety against power loss for speed (tests).

    Raises:
        StopAndTell: by `start`, in one sentence that says what to do.
    """

    def __init__(self, directory: Path, *, durable: bool = True) -> None:
        self._account = server_account()
        self.directory = private_directory(self._account, directory)
        self._durable = durable
        self._process: KeptProcess | None = None
        self._sockets = self.directory
        self._owns_sockets = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.directory / "data"

    @property
    def pid(self) -> int | None:
        """Process id of the running server, None when there is none."""
        return _postmaster_pid(self.data)

    def url(self, database: str = USER) -> str:
        """The SQLAlchemy URL of one of its databases."""
        return URL.create(
            "postgresql+psycopg2", username=USER, database=database, query={"host": str(self._sockets)}
        ).render_as_string(hide_password=False)

    def start(self) -> None:
        """Make the data folder if need be, start, wait until it answers, make our database."""
        with holding_lock(self.directory / "lock", wait_s=LOCK_WAIT_S) as lock:
            programs = postgres_programs(self._account)
            self._prepare(programs)
            self._choose_sockets()
            self._process = self._launch(programs, lock)
        try:
            self._process.wait_until(self._answers, timeout_s=START_TIMEOUT_S)
        except (TryAgain, StopAndTell) as error:
            self.stop()
            raise StopAndTell(str(error)) from None
        self.create_database(USER)

    def stop(self) -> None:
        """End the server and wait until it is gone. Safe to call twice."""
        if self._process is not None:
            self._process.stop()
            self._process = None
        if self._owns_sockets:
            shutil.rmtree(self._sockets, ignore_errors=True)
            self._owns_sockets = False

    def restart(self) -> None:
        """Stop and start on the same data and the same URL."""
        if self._process is not None:
            self._process.stop()
        self.start()

    def create_database(self, name: str, *, template: str | None = None) -> None:
        """Make a database, unless it is there; as a copy of `template` if given."""
        exists = text("select 1 from pg_database where datname = :name")
        create = f'create database "{name}"' + (f' template "{template}"' if template else "")
        engine = create_engine(self.url("postgres"), poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            if connection.execute(exists, {"name": name}).first() is None:
                connection.execute(text(create))

    def _prepare(self, programs: Path) -> None:
        version = self.data / "PG_VERSION"
        if not version.exists():
            self._init(programs)
        elif (made_by := version.read_text().strip()) != str(POSTGRES_MAJOR):
            raise StopAndTell(
                f"{self.data} was made by PostgreSQL {made_by}, this is {POSTGRES_MAJOR}; "
                f"remove that folder to begin anew"
            )
        _forget_dead_postmaster(self.data)

    def _init(self, programs: Path) -> None:
        fresh = self.directory / "data.new"  # renamed when complete: a half-made one is never used
        shutil.rmtree(fresh, ignore_errors=True)
        command = [str(programs / "initdb"), "-D", str(fresh), "-U", USER, "--no-sync", "--no-instructions"]
        command += ["--encoding=UTF8", "--locale=C", "--auth-local=trust", "--auth-host=reject"]
        switch = self._account.switches
        done = subprocess.run(  # noqa: S603 - initdb from the wheel
            command,
            check=False,
            capture_output=True,
            text=True,
            cwd=self.directory,
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            user=self._account.uid if switch else None,
            group=self._account.gid if switch else None,
            extra_groups=[] if switch else None,
        )
        if done.returncode != 0:
            raise StopAndTell(f"initdb failed: {' | '.join(done.stderr.strip().splitlines()[-4:])}")
        fresh.rename(self.data)

    def _choose_sockets(self) -> None:
        """Sockets have short names: a deep folder needs another place for its socket."""
        if len(os.fsencode(self.directory / SOCKET_NAME)) <= SOCKET_PATH_LIMIT or self._owns_sockets:
            return
        self._sockets = Path(tempfile.mkdtemp(prefix="ws-pg-"))
        self._owns_sockets = True
        if self._account.switches:
            os.chown(self._sockets, self._account.uid, self._account.gid)

    def _options(self) -> list[str]:
        options = ALWAYS | {"unix_socket_directories": str(self._sockets)}
        if not self._durable:
            options |= THROWAWAY
        return [part for name, value in options.items() for part in ("-c", f"{name}={value}")]

    def _launch(self, programs: Path, lock: int) -> KeptProcess:
        return KeptProcess(
            "PostgreSQL",
            [str(programs / "postgres"), "-D", str(self.data), *self._options()],
            account=self._account,
            log=self.directory / "postgres.log",
            stop_signal=signal.SIGINT,  # "fast": ends sessions, writes a checkpoint
            grace_s=STOP_GRACE_S,
            lock=lock,
        )

    def _answers(self) -> bool:
        engine = create_engine(self.url("postgres"), poolclass=NullPool)
        try:
            engine.connect().close()
        except OperationalError:
            return False
        return True


def _postmaster_pid(data: Path) -> int | None:
    try:
        return int((data / "postmaster.pid").read_text().splitlines()[0])
    except (FileNotFoundError, IndexError, ValueError):
        return None


def _forget_dead_postmaster(data: Path) -> None:
    """Remove the pid file of a server that was killed when its number is another process now.

    We hold the folder's lock, so no server of ours runs on it. PostgreSQL itself would
    refuse to start whenever any process has that number, as is usual in a new container.
    """
    pid = _postmaster_pid(data)
    command_line = Path(f"/proc/{pid}/cmdline")
    if pid is None or not command_line.exists():
        return
    if str(data).encode() not in command_line.read_bytes():
        (data / "postmaster.pid").unlink()
