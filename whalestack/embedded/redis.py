"""Redis from a wheel, on a free loopback port with a password nobody else knows."""

from __future__ import annotations

import os
import secrets
import signal
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from whalestack.embedded.account import private_directory, server_account
from whalestack.embedded.binaries import redis_program
from whalestack.embedded.process import LOCK_WAIT_S, KeptProcess, holding_lock
from whalestack.errors import StopAndTell, TryAgain

HOST = "127.0.0.1"
START_TIMEOUT_S = 30.0
STOP_GRACE_S = 10.0
PORT_ATTEMPTS = 5


class EmbeddedRedis:
    """A Redis server of our own in one folder.

    Args:
        directory: for its configuration, data and log; made if missing and kept after `stop`.
        durable: whether each write is kept in an append-only file (synced every second).

    Raises:
        StopAndTell: by `start`, in one sentence that says what to do.
    """

    def __init__(self, directory: Path, *, durable: bool = True) -> None:
        self._account = server_account()
        self.directory = private_directory(self._account, directory)
        self._durable = durable
        self._password = secrets.token_urlsafe(24)
        self._process: KeptProcess | None = None
        self.port: int | None = None

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

    def url(self, database: int = 0) -> str:
        """The URL of one of its sixteen numbered databases, password included."""
        return f"redis://:{self._password}@{HOST}:{self.port}/{database}"

    @property
    def pid(self) -> int | None:
        """Process id of the running server, None when it does not answer."""
        try:
            with self._client() as client:
                return int(client.info("server")["process_id"])
        except RedisError:
            return None

    def start(self) -> None:
        """Start on a free port and wait until it answers; a port lost in a race is tried anew."""
        for attempt in range(PORT_ATTEMPTS):
            self.port = self.port or _free_port()
            try:
                self._start_once()
            except TryAgain as ended:
                self.port = None
                if attempt == PORT_ATTEMPTS - 1:
                    raise StopAndTell(str(ended)) from None
            else:
                return

    def stop(self) -> None:
        """End the server and wait until it is gone. Safe to call twice."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def restart(self) -> None:
        """Stop and start on the same data and the same URL."""
        self.stop()
        self._start_once()

    def _start_once(self) -> None:
        with holding_lock(self.directory / "lock", wait_s=LOCK_WAIT_S) as lock:
            self._process = KeptProcess(
                "Redis",
                [str(redis_program(self._account)), str(self._write_configuration())],
                account=self._account,
                log=self.directory / "redis.log",
                stop_signal=signal.SIGTERM,
                grace_s=STOP_GRACE_S,
                lock=lock,
            )
        try:
            self._process.wait_until(self._answers, timeout_s=START_TIMEOUT_S)
        except (TryAgain, StopAndTell):
            self.stop()
            raise

    def _write_configuration(self) -> Path:
        """A file, because arguments are shown to every user of the machine."""
        lines = [
            f"bind {HOST}",
            f"port {self.port}",
            f"requirepass {self._password}",
            f'dir "{self.directory}"',
            'save ""',
            f"appendonly {'yes' if self._durable else 'no'}",
            "appendfsync everysec",
            "maxmemory-policy noeviction",  # a broker that forgets messages is none
            "tcp-keepalive 60",
        ]
        path = self.directory / "redis.conf"
        path.touch(mode=0o600)
        path.write_text("\n".join(lines) + "\n")
        if self._account.switches:
            os.chown(path, self._account.uid, self._account.gid)
        return path

    def _client(self) -> redis.Redis:
        """A client that asks once: waiting for the start is the caller's loop."""
        return redis.Redis.from_url(self.url(), socket_timeout=2, retry=Retry(NoBackoff(), 0))

    def _answers(self) -> bool:
        """Whether the server on the port is ours: a stranger would not take the password."""
        try:
            with self._client() as client:
                return bool(client.ping())
        except RedisError:
            return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
