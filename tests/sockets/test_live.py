"""The present in Redis: what is written is read, and an absent Redis is said, not guessed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr

from whalestack.config import Settings
from whalestack.db.live import LiveMarket, LiveTick, PriceWatch
from whalestack.errors import TryAgain

TICK = LiveTick("AIAUSDT", 1_760_875_200_000, 1.25, 1.26, 1.24, 1.27, 5e6, 1e7, -0.5)
numbers = st.floats(allow_nan=False, allow_infinity=False)
ticks = st.builds(
    LiveTick,
    symbol=st.from_regex(r"[A-Z0-9]{2,12}USDT", fullmatch=True),
    ts_ms=st.integers(0, 2**53),
    last=numbers,
    mark=st.none() | numbers,
    bid=st.none() | numbers,
    ask=st.none() | numbers,
    open_interest=st.none() | numbers,
    turnover_24h_usd=st.none() | numbers,
    funding_rate_pct=st.none() | numbers,
)


@pytest.fixture
def live(redis_state_url: str) -> Iterator[LiveMarket]:
    market = LiveMarket(redis.Redis.from_url(redis_state_url))
    yield market
    market.close()


@given(st.lists(ticks, unique_by=lambda tick: tick.symbol, max_size=5))
@hypothesis_settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_ticks_are_read_as_they_were_written(live: LiveMarket, written: list[LiveTick]) -> None:
    live.forget(live.all())

    assert len(written) == live.put_many(written)

    expected = {tick.symbol: tick for tick in written}
    assert expected == live.all()
    assert expected == live.get_many([*expected, "NOBODY"])


def test_a_coin_that_was_never_seen_is_none(live: LiveMarket) -> None:
    live.put_many([TICK])

    assert TICK == live.get("AIAUSDT")
    assert live.get("BIOUSDT") is None
    assert {} == live.get_many([])


def test_watches_are_replaced_and_cleared(live: LiveMarket) -> None:
    live.set_watches({"AIAUSDT": PriceWatch(above=2.0)})
    live.set_watches({"AIAUSDT": PriceWatch(below=0.5), "BIOUSDT": PriceWatch(1.0, 0.25)})
    live.set_watches({"GONEUSDT": PriceWatch()})

    assert {"AIAUSDT": PriceWatch(below=0.5), "BIOUSDT": PriceWatch(1.0, 0.25)} == live.watches()

    live.set_watches({"BIOUSDT": PriceWatch()})

    assert ["AIAUSDT"] == list(live.watches())


def test_a_claim_that_is_given_back_is_free(live: LiveMarket) -> None:
    assert live.claim("look", "AIAUSDT", hold_s=60)
    live.release("look", "AIAUSDT")
    assert live.claim("look", "AIAUSDT", hold_s=60)


def test_a_claim_is_for_one(live: LiveMarket) -> None:
    assert [True, False] == [live.claim("refetch", "AIAUSDT", hold_s=60) for _ in range(2)]
    assert live.claim("refetch", "BIOUSDT", hold_s=60)
    assert live.claim("other", "AIAUSDT", hold_s=60)


def test_a_redis_that_is_away_says_try_again_at_once(settings: Settings) -> None:
    away = settings.model_copy(update={"redis_state_url": SecretStr("redis://127.0.0.1:1/0")})
    live = LiveMarket.from_settings(away)

    with pytest.raises(TryAgain):
        live.put_many([TICK])
    with pytest.raises(TryAgain):
        live.get("AIAUSDT")
