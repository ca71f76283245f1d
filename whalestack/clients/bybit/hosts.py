"""Where Bybit is, for each mode. A URL in the settings always wins."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from whalestack.config import Mode, Settings
from whalestack.errors import StopAndTell

PUBLIC_PATH = "/v5/public/linear"
PRIVATE_PATH = "/v5/private"
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True)
class BybitHosts:
    """The three doors of one Bybit: REST root, public linear socket, private socket."""

    rest: str
    public_ws: str
    private_ws: str


# Demo trading has private streams only; its market is the one of the main net.
DEFAULTS = {
    Mode.TESTNET: BybitHosts(
        "https://api-testnet.bybit.com",
        "wss://stream-testnet.bybit.com" + PUBLIC_PATH,
        "wss://stream-testnet.bybit.com" + PRIVATE_PATH,
    ),
    Mode.BYBIT_DEMO: BybitHosts(
        "https://api-demo.bybit.com",
        "wss://stream.bybit.com" + PUBLIC_PATH,
        "wss://stream-demo.bybit.com" + PRIVATE_PATH,
    ),
    Mode.LIVE: BybitHosts(
        "https://api.bybit.com",
        "wss://stream.bybit.com" + PUBLIC_PATH,
        "wss://stream.bybit.com" + PRIVATE_PATH,
    ),
}


def bybit_hosts(settings: Settings) -> BybitHosts:
    """The doors that these settings mean.

    Raises:
        StopAndTell: demo or paper mode without the simulator's URLs. They have no default,
            so that a simulated account can never reach the real exchange by omission.
    """
    usual = DEFAULTS.get(settings.mode, BybitHosts("", "", ""))
    hosts = BybitHosts(
        rest=(settings.bybit_rest_url or usual.rest).rstrip("/").removesuffix("/v5"),
        public_ws=_with_path(settings.bybit_public_ws_url or usual.public_ws, PUBLIC_PATH),
        private_ws=_with_path(settings.bybit_private_ws_url or usual.private_ws, PRIVATE_PATH),
    )
    for name, url in (
        ("BYBIT_REST_URL", hosts.rest),
        ("BYBIT_PUBLIC_WS_URL", hosts.public_ws),
        ("BYBIT_PRIVATE_WS_URL", hosts.private_ws),
    ):
        if not url:
            raise StopAndTell(f"MODE={settings.mode} needs {name}: the address of the simulator")
    return hosts


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine."""
    return (urlsplit(url).hostname or "") in LOOPBACK_NAMES


def _with_path(url: str, path: str) -> str:
    root = url.rstrip("/")
    return root if not root or "/v5/" in root else root + path
