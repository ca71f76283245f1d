"""The words of each message, and the laws that any facts must keep."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whalestack.agents import messages
from whalestack.agents.messages import MessageText
from whalestack.clients.telegram.limits import MAX_TEXT, utf16_length, visible_length
from whalestack.clients.x.weighted import MAX_WEIGHTED, cut_to, fit, weighted_length
from whalestack.simulator.telegram_text import visible_text
from whalestack.simulator.x_server import weighted

AT = datetime(2025, 10, 20, 14, 5, 9, tzinfo=UTC)
NAMES = {"agent_name": "conservative-1", "scanner": "ranking+spikes", "symbol": "AIAUSDT"}


def signal() -> MessageText:
    return messages.signal(
        **NAMES,
        direction="LONG",
        rank=1,
        score=71.26,
        price=2.0,
        oi_change_15m_pct=4.2,
        price_change_5m_pct=1.3,
        volume_spike_ratio=2.26,
        target_price=2.17,
        at=AT,
    )


def entry() -> MessageText:
    return messages.entry(
        **NAMES,
        direction="LONG",
        entry_price=Decimal("2.000"),
        stop_loss=Decimal("1.88"),
        take_profit=Decimal("2.17"),
        leverage=Decimal("5.00"),
        strategy="CONSERVATIVE",
        at=AT,
    )


def stop_moved() -> MessageText:
    return messages.stop_moved(
        **NAMES,
        direction="SHORT",
        entry_price=Decimal("2.0"),
        old_stop=Decimal("2.12"),
        new_stop=Decimal("1.8"),
        profit_pct=20.4,
        at=AT,
    )


def close() -> MessageText:
    return messages.close(
        **NAMES,
        direction="LONG",
        entry_price=Decimal("2.0"),
        exit_price=Decimal("2.17"),
        pnl_pct=8.38,
        exit_reason="take-profit",
        held_s=93_780,
        at=AT,
    )


def refusal() -> MessageText:
    return messages.refusal(
        **NAMES, direction="SHORT", reasons=["stop needs 11.2 %", "5 positions are open"], at=AT
    )


def alert() -> MessageText:
    return messages.alert(agent_name="watchdog", what="AIAUSDT has no stop", symbol="AIAUSDT", at=AT)


ALL = [signal, entry, stop_moved, close, refusal, alert]


def test_a_signal_is_worded() -> None:
    """2.0 to 2.17 is +8.5 %."""
    assert (
        "Signal: AIAUSDT LONG\n"
        "Rank 1, score 71.3, price 2\n"
        "OI +4.2 % in 15m, price +1.3 % in 5m, volume 2.3x\n"
        "Liquidity at 2.17 (+8.5 %)\n"
        "conservative-1 / ranking+spikes 2025-10-20 14:05:09 UTC"
    ) == signal().x


def test_an_entry_tells_its_stop_and_target_in_per_cent() -> None:
    """1.88 / 2 is -6 %, 2.17 / 2 is +8.5 %."""
    assert (
        "<b>Entry: AIAUSDT LONG</b>\n"
        "Filled at 2, 5x\n"
        "Stop 1.88 (-6.0 %)\n"
        "Target 2.17 (+8.5 %)\n"
        "Strategy CONSERVATIVE\n"
        "<i>conservative-1 / ranking+spikes</i>\n"
        "2025-10-20 14:05:09 UTC"
    ) == entry().telegram


def test_a_moved_stop_tells_what_it_secures() -> None:
    """A short from 2.0 that is stopped at 1.8 has won 10 %."""
    assert "Stop from 2.12 to 1.8 (+10.0 % if hit)" in stop_moved().x


def test_a_close_tells_the_result_after_costs_and_the_time_held() -> None:
    """93,780 s are 1 day, 2 hours and 3 minutes."""
    assert "Result +8.38 % after costs\n2 to 2.17, take-profit, held 1d 2h" in close().x


def test_a_refusal_gives_every_reason() -> None:
    assert "Why: stop needs 11.2 %\nWhy: 5 positions are open" in refusal().telegram


@pytest.mark.parametrize("make", ALL)
def test_no_message_speaks_of_dollars_and_each_names_its_agent(make) -> None:  # type: ignore[no-untyped-def]
    text = make()
    for channel in (text.telegram, text.x):
        assert "$" not in channel
        assert "USD " not in channel.replace("USDT", "")
        assert ("watchdog" if make is alert else "conservative-1 / ranking+spikes") in channel


def test_the_same_fact_a_second_later_is_another_text() -> None:
    """X refuses a text that it has seen."""
    facts = {"agent_name": "a", "scanner": "s", "symbol": "B", "direction": "LONG", "reasons": ["late"]}
    texts = {messages.refusal(**facts, at=AT + timedelta(seconds=second)).x for second in range(5)}  # type: ignore[arg-type]
    assert 5 == len(texts)


ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=3000)


@given(name=ANY_TEXT, scanner=ANY_TEXT, symbol=ANY_TEXT, reasons=st.lists(ANY_TEXT, max_size=4))
def test_whatever_the_facts_both_channels_take_the_text(
    name: str, scanner: str, symbol: str, reasons: list[str]
) -> None:
    """The simulator's own parser and counter judge, not the ones that made the text."""
    text = messages.refusal(
        agent_name=name, scanner=scanner, symbol=symbol, direction="LONG", reasons=reasons, at=AT
    )
    assert utf16_length(visible_text(text.telegram)) <= MAX_TEXT
    assert weighted(text.x) <= MAX_WEIGHTED
    assert text.x.endswith(" 2025-10-20 14:05:09 UTC")


@given(ANY_TEXT)
def test_the_two_counts_of_x_and_of_telegram_agree(text: str) -> None:
    """The client's and the simulator's were written apart."""
    html = f"<b>{escape(text)}</b>"
    assert weighted(text) == weighted_length(text)
    assert utf16_length(visible_text(html)) == visible_length(html)


@pytest.mark.parametrize(
    ("text", "weight"),
    [
        ("abc", 3),
        ("鲸鱼", 4),  # two each
        ("–…", 3),  # an en dash is light, an ellipsis (U+2026) is not
        ("see https://example.org/a/long/path now", 31),  # 4 + 23 + 4
        ("e\u0301", 1),  # one character after normalisation
    ],
)
def test_a_text_is_weighed(text: str, weight: int) -> None:
    assert weight == weighted_length(text)


@given(ANY_TEXT, st.integers(min_value=2, max_value=300))
def test_a_cut_keeps_the_beginning_and_the_limit(text: str, limit: int) -> None:
    short = fit(text, limit)
    assert weighted_length(short) <= limit
    assert short == text or text.startswith(short.removesuffix("…"))


def test_a_text_that_fits_is_left_alone() -> None:
    assert ("abc", "a…") == (cut_to("abc", 3, len), cut_to("abc", 2, len))


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "under 1m"), (89, "1m"), (3_660, "1h 1m"), (90_000, "1d 1h")]
)
def test_a_duration_is_told_in_its_two_largest_units(seconds: float, words: str) -> None:
    text = messages.close(
        **NAMES,
        direction="LONG",
        entry_price=1.0,
        exit_price=1.0,
        pnl_pct=0,
        exit_reason="stop",
        held_s=seconds,
        at=AT,
    )
    assert f"held {words}\n" in text.x
