"""Names of coins on both sides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whalestack.clients.coinglass.symbols import CoinName, coinglass_candidates, match_coin

LISTED = {"BTC", "PEPE", "BONK", "SHIB", "MOG", "1INCH", "1000SATS", "SATS", "LADYS", "A2Z", "W"}


@pytest.mark.parametrize(
    ("base_coin", "expected"),
    [
        ("BTC", CoinName("BTC", 1)),
        ("1000PEPE", CoinName("PEPE", 1000)),
        ("1000BONK", CoinName("BONK", 1000)),
        ("10000LADYS", CoinName("LADYS", 10_000)),
        ("1000000MOG", CoinName("MOG", 1_000_000)),
        ("SHIB1000", CoinName("SHIB", 1000)),
        ("1INCH", CoinName("1INCH", 1)),
        ("1000SATS", CoinName("1000SATS", 1)),
        ("10000SATS", CoinName("SATS", 10_000)),
        ("A2Z", CoinName("A2Z", 1)),
        ("1000w", CoinName("W", 1000)),
        ("1000NOBODY", None),
        ("100PEPE", None),
        ("1000", None),
        ("", None),
    ],
)
def test_bybit_names_find_their_coin(base_coin: str, expected: CoinName | None) -> None:
    """The name as it stands wins; then what a thousand, ten thousand or a million stands beside."""
    assert expected == match_coin(base_coin, LISTED.__contains__)


@given(coin=st.from_regex(r"[A-Z][A-Z0-9]{0,8}[A-Z]", fullmatch=True), zeros=st.integers(3, 7))
def test_a_multiplied_name_leads_back_to_its_coin(coin: str, zeros: int) -> None:
    """For every coin and power of ten, in front and behind."""
    for name in (f"{10**zeros}{coin}", f"{coin}{10**zeros}"):
        assert CoinName(coin, 10**zeros) in coinglass_candidates(name)
