"""Ids that are a function of what they belong to, and totals that are a function of the set of fills."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whalestack.agents.order_ids import LinkId, entry_link_id, exit_link_id, parse_link_id, stray_exit_link_id
from whalestack.agents.pnl import FillFact, profit_pct, trade_totals

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
agents = st.from_regex(r"[a-z0-9-]{1,16}", fullmatch=True)
legs = st.integers(0, 19)


@given(agent=agents, signal_id=st.integers(1, 99_999_999), leg=legs)
def test_an_id_fits_bybit_and_can_be_read_back(agent: str, signal_id: int, leg: int) -> None:
    """At most 36 of 0-9A-Za-z_-, and it says whose order it is."""
    if leg > 9 and len(agent) == 16 and signal_id > 9_999_999:
        return
    link_id = entry_link_id(agent, signal_id, AT, f"e{leg}")
    assert re.fullmatch(r"[0-9A-Za-z_-]{1,36}", link_id)
    assert parse_link_id(link_id) == LinkId(agent, str(signal_id), f"e{leg}")
    assert link_id == entry_link_id(agent, signal_id, AT, f"e{leg}")


@given(
    first=st.tuples(agents, st.integers(1, 10**6), legs),
    second=st.tuples(agents, st.integers(1, 10**6), legs),
)
def test_different_orders_have_different_ids(
    first: tuple[str, int, int], second: tuple[str, int, int]
) -> None:
    ids = [entry_link_id(agent, signal_id, AT, f"e{leg}") for agent, signal_id, leg in {first, second}]
    ids += [exit_link_id(agent, signal_id, AT, f"x{leg}") for agent, signal_id, leg in {first, second}]
    assert len(ids) == len(set(ids))


def test_a_database_made_anew_does_not_reuse_ids() -> None:
    """Signal 1 of another day has another id, because Bybit remembers the first."""
    assert entry_link_id("a", 1, AT, "e0") != entry_link_id("a", 1, AT.replace(second=1), "e0")


def test_an_id_that_would_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="no id that Bybit takes"):
        entry_link_id("a" * 16, 10**12, AT, "e0")
    with pytest.raises(ValueError, match="no id that Bybit takes"):
        entry_link_id("Upper", 1, AT, "e0")


@pytest.mark.parametrize("link_id", ["", "grid-bot-1", "web_123", "a_b_c_d", "x" * 40, "a_1_t4_z0"])
def test_an_id_of_somebody_else_is_not_ours(link_id: str) -> None:
    assert parse_link_id(link_id) is None


def test_a_position_without_a_trade_has_exit_ids_too() -> None:
    link_id = stray_exit_link_id("kill-switch", "1000000BABYDOGEUSDT:Buy", AT, "x0")
    assert len(link_id) <= 36
    assert parse_link_id(link_id) is not None


def fact(side: str, price: str, qty: str, fee: str = "0", exec_type: str = "Trade") -> FillFact:
    return FillFact(side, Decimal(price), Decimal(qty), Decimal(fee), exec_type)


def test_profit_of_a_long_by_hand() -> None:
    """2 at 100 and 1 at 103 is an entry of 101; 3 out at 110 earn 27; 0.9 fees and 0.6 funding leave 25.5,
    which is 8.4158 % of the entry value of 303."""
    totals = trade_totals(
        "LONG",
        [
            fact("Buy", "100", "2", "0.2"),
            fact("Buy", "103", "1", "0.1"),
            fact("Sell", "110", "3", "0.6"),
            fact("Buy", "101", "3", "0.6", "Funding"),
        ],
    )
    assert totals.entry_price == Decimal(101)
    assert totals.pnl_usd == Decimal("25.5")
    assert totals.pnl_pct == pytest.approx(8.41584, abs=1e-5)
    assert totals.is_over


def test_profit_of_a_short_by_hand() -> None:
    """5 sold at 20, bought back at 19: 5 earned, 0.1 paid."""
    totals = trade_totals("SHORT", [fact("Sell", "20", "5", "0.05"), fact("Buy", "19", "5", "0.05")])
    assert totals.pnl_usd == Decimal("4.9")
    assert totals.pnl_pct == pytest.approx(4.9)


def test_funding_received_makes_a_trade_better() -> None:
    totals = trade_totals("SHORT", [fact("Sell", "20", "5"), fact("Sell", "20", "5", "-1", "Funding")])
    assert totals.pnl_usd == Decimal(1)
    assert totals.open_qty == Decimal(5)


@given(
    qtys=st.lists(st.integers(1, 50), min_size=1, max_size=6),
    order=st.randoms(use_true_random=False),
)
def test_the_order_of_fills_does_not_matter(qtys: list[int], order: object) -> None:
    """The same set of fills makes the same trade."""
    fills = [fact("Buy", str(100 + index), str(qty), "0.1") for index, qty in enumerate(qtys)]
    fills += [fact("Sell", "120", str(qty), "0.1") for qty in qtys]
    shuffled = list(fills)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    expected = trade_totals("LONG", fills)
    assert expected.is_over
    assert trade_totals("LONG", shuffled) == expected


def test_more_closed_than_opened_says_that_a_fill_is_missing() -> None:
    totals = trade_totals("LONG", [fact("Buy", "100", "5"), fact("Sell", "110", "10")])
    assert totals.missing_entry_qty == Decimal(5)
    assert not totals.is_over


@pytest.mark.parametrize(("direction", "expected"), [("LONG", 10.0), ("SHORT", -10.0)])
def test_profit_in_per_cent_of_the_entry(direction: str, expected: float) -> None:
    assert profit_pct(direction, Decimal(100), Decimal(110)) == pytest.approx(expected)
