"""Each mode has its own Bybit, and a simulated account cannot reach the real one by omission."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from whalestack.clients.bybit.hosts import bybit_hosts
from whalestack.config import Mode, Settings
from whalestack.errors import StopAndTell


def some(mode: Mode, **urls: str) -> Settings:
    """Only what `bybit_hosts` reads: the settings as a whole refuse some of these on their own."""
    given: dict[str, Any] = {"bybit_rest_url": "", "bybit_public_ws_url": "", "bybit_private_ws_url": ""}
    return cast("Settings", SimpleNamespace(mode=mode, **(given | urls)))


def test_live_is_the_main_net() -> None:
    hosts = bybit_hosts(some(Mode.LIVE))

    assert "https://api.bybit.com" == hosts.rest
    assert "wss://stream.bybit.com/v5/public/linear" == hosts.public_ws
    assert "wss://stream.bybit.com/v5/private" == hosts.private_ws


def test_demo_trading_has_the_main_nets_market_and_its_own_account() -> None:
    hosts = bybit_hosts(some(Mode.BYBIT_DEMO))

    assert "https://api-demo.bybit.com" == hosts.rest
    assert "wss://stream.bybit.com/v5/public/linear" == hosts.public_ws
    assert "wss://stream-demo.bybit.com/v5/private" == hosts.private_ws


@pytest.mark.parametrize("mode", [Mode.DEMO, Mode.PAPER])
def test_a_simulated_mode_without_its_address_says_which_line_is_missing(mode: Mode) -> None:
    with pytest.raises(StopAndTell, match="BYBIT_REST_URL"):
        bybit_hosts(some(mode))


def test_addresses_may_be_given_with_or_without_their_path() -> None:
    hosts = bybit_hosts(
        some(
            Mode.DEMO,
            bybit_rest_url="http://127.0.0.1:1/",
            bybit_public_ws_url="ws://127.0.0.1:1",
            bybit_private_ws_url="ws://127.0.0.1:1/v5/private",
        )
    )

    assert "http://127.0.0.1:1" == hosts.rest
    assert "ws://127.0.0.1:1/v5/public/linear" == hosts.public_ws
    assert "ws://127.0.0.1:1/v5/private" == hosts.private_ws
