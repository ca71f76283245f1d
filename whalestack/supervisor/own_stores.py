"""What a whole system on stores of its own needs before its processes start: a fresh database,
an empty Redis, one settings file for all of them."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Mapping
from pathlib import Path

import redis
from sqlalchemy import NullPool, create_engine, text

from whalestack.config import Settings, load_settings
from whalestack.db.migrations import upgrade
from whalestack.embedded.stores import EmbeddedStores


def fresh_database(stores: EmbeddedStores, name: str) -> str:
    """Forget the last run, whose market time would overlap this one's; returns the database's URL,
    its schema current."""
    admin = create_engine(stores.postgres.url("postgres"), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"drop database if exists {name} with (force)"))
    stores.postgres.create_database(name)
    with redis.Redis.from_url(stores.redis.url()) as client:
        client.flushall()
    upgrade(stores.postgres.url(name))
    return stores.postgres.url(name)


def settings_of_run(values: Mapping[str, str], env_file: Path) -> Settings:
    """Write the settings file that every process of a run reads, and read it.

    Args:
        values: by their names in `.env`.
        env_file: readable by its owner alone; it holds the stores' addresses.
    """
    env_file.touch(mode=0o600)
    env_file.write_text("".join(f"{name}='{value}'\n" for name, value in values.items()))
    # Given once more as arguments, so that nothing in this shell's environment overrides them.
    return load_settings(env_file, **{name.lower(): value for name, value in values.items()})


def free_port(preferred: int = 0) -> int:
    """The preferred port of loopback if it is free, else any free one."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fresh_folder(folder: Path) -> Path:
    """The folder, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
