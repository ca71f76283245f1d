"""The backtest's maps rest on the model's settings and on what each coin's contract allows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.backtest.random_market import START_MS, WARM_UP_MS, candles, market, settings
from whalestack.backtest.coin_maps import MapRules
from whalestack.backtest.played_coins import play
from whalestack.backtest.prepared import PreparedMarket

MARKET = market(candles(coins=1, bars=120))
COIN = "COIN0USDT"
END_MS = START_MS + WARM_UP_MS + 3_600_000


def distances(prepared: PreparedMarket, *, as_live: bool = False, **overrides: object) -> set[float]:
    """How far the clusters of an hour's maps lie from the price, per cent."""
    rules = MapRules(timeframes=("12h",), as_live=as_live)
    played = play(prepared, settings(**overrides), START_MS + WARM_UP_MS, END_MS, rules=rules)
    maps = played.coins[COIN].maps
    return {round(each.distance_pct, 1) for at in range(maps.refreshes) for each in maps.standing(at)}


def allowing(max_leverage: str) -> PreparedMarket:
    """The market with a contract that allows so much."""
    row: dict[str, Any] = dict(MARKET.instruments[COIN])
    row["leverageFilter"] = {**row["leverageFilter"], "maxLeverage": max_leverage}
    return replace(MARKET, instruments={COIN: row})


@pytest.mark.parametrize("as_live", [False, True])
@pytest.mark.parametrize(("leverage", "away_pct"), [(10.0, 8.0), (5.0, 18.0)])
def test_who_holds_at_one_leverage_is_liquidated_at_one_distance(
    as_live: bool, leverage: float, away_pct: float
) -> None:
    """1/leverage less a margin of 2 % (half of 1/25), and what the price has moved since."""
    found = distances(MARKET, as_live=as_live, model_leverages=((leverage, 1.0),))

    assert away_pct - 5 < min(found) < away_pct < max(found)


def test_a_contract_caps_the_leverages() -> None:
    """Where 50 times is allowed, levels lie nearer than where 5 times is the most."""
    assert min(distances(allowing("50.00"))) < min(distances(allowing("5.00")))
