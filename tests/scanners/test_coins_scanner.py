"""The universe: who is followed under which name, and why the others are not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select

from whalestack.clients.bybit.errors import BybitUnavailable
from whalestack.clients.bybit.types import Instrument
from whalestack.clients.coinglass.errors import CoinglassBadReply, CoinglassNotAllowed, CoinglassUnavailable
from whalestack.clock import ManualClock
from whalestack.config import HeatmapSource, Settings
from whalestack.db.engine import Database
from whalestack.db.market_store import MarketStore
from whalestack.db.models import Coin
from whalestack.errors import TryAgain
from whalestack.scanners.coins import CoinScanner, UniverseReport

COINS = frozenset({"BTC", "EVAA", "PEPE", "1INCH", "SHIB"})


def instrument(symbol: str, **changes: Any) -> Instrument:
    base = Instrument(
        symbol=symbol,
        base_coin=symbol.removesuffix("USDT"),
        quote_coin="USDT",
        status="Trading",
        launched_at=ManualClock().now() - timedelta(days=300),
        delisted_at=None,
        is_prelisting=False,
        tick_size=Decimal("0.001"),
        min_price=Decimal("0.001"),
        max_price=Decimal(1_000_000),
        qty_step=Decimal("0.1"),
        min_order_qty=Decimal("0.1"),
        max_order_qty=Decimal(10_000),
        max_market_order_qty=Decimal(1000),
        min_notional_usd=Decimal(5),
        min_leverage=Decimal(1),
        max_leverage=Decimal(50),
        leverage_step=Decimal("0.01"),
        funding_interval_min=240,
        price_limit_ratio=None,
    )
    return replace(base, **changes)


class FakeBybit:
    """Instruments, and a turnover of 1,000,000 USD for each, less 1 for each place in the list."""

    def __init__(self, *instruments: Instrument) -> None:
        self.listed = list(instruments)
        self.turnovers: dict[str, float] = {}
        self.quoted: list[str] = []

    def instruments(self) -> list[Instrument]:
        return self.listed

    def tickers(self) -> list[Any]:
        return [
            SimpleNamespace(
                symbol=each.symbol, turnover_24h_usd=self.turnovers.get(each.symbol, 1_000_000 - place)
            )
            for place, each in enumerate(self.listed)
        ] + [SimpleNamespace(symbol=symbol, turnover_24h_usd=1.0) for symbol in self.quoted]


class FakeCoinList:
    """CoinGlass's coins, or an error instead."""

    def __init__(self) -> None:
        self.coins = COINS
        self.error: Exception | None = None

    def supported_coins(self) -> frozenset[str]:
        if self.error:
            raise self.error
        return self.coins


class Scene:
    """A scanner between two fakes."""

    def __init__(self, db: Database, clock: ManualClock, settings: Settings) -> None:
        self.db, self.clock, self.settings = db, clock, settings
        self.bybit, self.coinglass = FakeBybit(), FakeCoinList()

    def refresh(self, *instruments: Instrument, **changes: object) -> UniverseReport:
        self.bybit.listed = list(instruments) or self.bybit.listed
        return CoinScanner(
            db=self.db,
            bybit=self.bybit,  # type: ignore[arg-type]
            coinglass=self.coinglass,
            settings=self.settings.model_copy(update=changes),
            clock=self.clock,
        ).refresh()

    def coin(self, symbol: str) -> Coin:
        with self.db.begin() as work:
            return work.session.scalars(select(Coin).where(Coin.symbol == symbol)).one()

    def reason(self, symbol: str) -> str | None:
        return self.coin(symbol).skipped_reason


@pytest.fixture
def scene(db: Database, clock: ManualClock, settings: Settings) -> Scene:
    return Scene(db, clock, settings)


def test_a_coin_that_both_sides_have_is_followed(scene: Scene) -> None:
    """With everything that Bybit says of it."""
    report = scene.refresh(instrument("EVAAUSDT"))
    coin = scene.coin("EVAAUSDT")
    assert UniverseReport(1, 1, {}, coinglass_asked=True, new=("EVAAUSDT",)) == report
    assert ("EVAA", 1, None, False) == (
        coin.coinglass_symbol,
        coin.price_multiplier,
        coin.skipped_reason,
        coin.is_major,
    )
    assert (Decimal("0.001"), Decimal(50), 240, 1e6) == (
        coin.tick_size,
        coin.max_leverage,
        coin.funding_interval_min,
        coin.turnover_24h_usd,
    )


def test_contracts_of_a_thousand_coins_find_their_coin(scene: Scene) -> None:
    """In front, behind, and a name that only looks like it."""
    scene.refresh(instrument("1000PEPEUSDT"), instrument("SHIB1000USDT"), instrument("1INCHUSDT"))
    found = {
        symbol: (scene.coin(symbol).coinglass_symbol, scene.coin(symbol).price_multiplier)
        for symbol in ("1000PEPEUSDT", "SHIB1000USDT", "1INCHUSDT")
    }
    assert {
        "1000PEPEUSDT": ("PEPE", 1000),
        "SHIB1000USDT": ("SHIB", 1000),
        "1INCHUSDT": ("1INCH", 1),
    } == found


def test_a_coin_that_coinglass_lacks_is_skipped_and_named(scene: Scene) -> None:
    """It stays in the table with the reason."""
    report = scene.refresh(instrument("EVAAUSDT"), instrument("ODDUSDT"))
    assert "no such coin at CoinGlass" == scene.reason("ODDUSDT")
    assert (1, {"no such coin at CoinGlass": 1}) == (report.followed, report.skipped)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"is_prelisting": True}, "in pre-listing"),
        ({"status": "Settling"}, "status Settling"),
        ({"launched_at": ManualClock().now() - timedelta(hours=3)}, "listed less than 24 h ago"),
        ({"delisted_at": ManualClock().now() + timedelta(days=1)}, "will be delisted at 2025-10-20 12:00"),
    ],
)
def test_coins_that_are_not_in_ordinary_trading_are_skipped(
    scene: Scene, changes: dict[str, Any], reason: str
) -> None:
    """Each with its own reason."""
    scene.refresh(instrument("EVAAUSDT", **changes))
    assert reason == scene.reason("EVAAUSDT")


def test_other_contracts_are_no_perpetuals_of_ours(scene: Scene) -> None:
    """USDC perpetuals and dated futures are left out altogether."""
    report = scene.refresh(
        instrument("EVAAUSDT"),
        instrument("BTCPERP", quote_coin="USDC"),
        instrument("BTCUSDT-26DEC25", base_coin="BTC"),
    )
    assert 1 == report.listed


def test_majors_are_followed_and_marked(scene: Scene) -> None:
    """Their maps are collected; that they are not traded is for others to see to."""
    scene.refresh(instrument("BTCUSDT"))
    assert (True, None) == (scene.coin("BTCUSDT").is_major, scene.reason("BTCUSDT"))


@pytest.mark.parametrize("named", ["PEPE", "1000PEPE", "1000PEPEUSDT"])
def test_the_blacklist_takes_any_name(scene: Scene, named: str) -> None:
    """The coin's, the contract's base, the contract's."""
    scene.refresh(instrument("1000PEPEUSDT"), blacklist=(named,))
    assert (True, "blacklisted") == (scene.coin("1000PEPEUSDT").blacklisted, scene.reason("1000PEPEUSDT"))


def test_small_turnover_is_skipped(scene: Scene) -> None:
    """Below the setting, and unknown."""
    scene.bybit.turnovers = {"EVAAUSDT": 10.0}
    scene.refresh(instrument("EVAAUSDT"), min_turnover_24h_usd=50_000.0)
    assert "turnover below 50,000 USD a day" == scene.reason("EVAAUSDT")


def test_only_so_many_coins_are_followed(scene: Scene) -> None:
    """Those with the largest turnover."""
    scene.bybit.turnovers = {"EVAAUSDT": 5.0, "1INCHUSDT": 7.0, "BTCUSDT": 9.0}
    report = scene.refresh(
        instrument("EVAAUSDT"), instrument("1INCHUSDT"), instrument("BTCUSDT"), max_coins=2
    )
    assert 2 == report.followed
    assert "beyond the 2 coins of largest turnover" == scene.reason("EVAAUSDT")


def test_a_coin_that_bybit_dropped_is_gone(scene: Scene) -> None:
    """Its row stays, because trades and maps speak of it."""
    scene.refresh(instrument("EVAAUSDT"), instrument("1INCHUSDT"))
    report = scene.refresh(instrument("1INCHUSDT"))
    assert ("EVAAUSDT",) == report.gone
    assert ("Gone", "no longer listed on Bybit") == (scene.coin("EVAAUSDT").status, scene.reason("EVAAUSDT"))


def test_a_coin_that_comes_back_is_followed_again(scene: Scene) -> None:
    """Rows are overwritten whole."""
    scene.refresh(instrument("EVAAUSDT"), instrument("1INCHUSDT"))
    scene.refresh(instrument("1INCHUSDT"))
    scene.refresh(instrument("EVAAUSDT"), instrument("1INCHUSDT"))
    assert ("Trading", None) == (scene.coin("EVAAUSDT").status, scene.reason("EVAAUSDT"))


def test_a_gone_coin_is_told_of_once(scene: Scene) -> None:
    """The hour after it is no news any more."""
    scene.refresh(instrument("EVAAUSDT"), instrument("1INCHUSDT"))
    scene.refresh(instrument("1INCHUSDT"))
    assert () == scene.refresh(instrument("1INCHUSDT")).gone
    assert "Gone" == scene.coin("EVAAUSDT").status


def test_a_new_listing_is_followed_once_it_is_old_enough(scene: Scene) -> None:
    """Named when it appears, skipped for its age, followed a day later."""
    scene.refresh(instrument("1INCHUSDT"))
    fresh = instrument("EVAAUSDT", launched_at=scene.clock.now() - timedelta(hours=1))
    assert ("EVAAUSDT",) == scene.refresh(instrument("1INCHUSDT"), fresh).new
    assert "listed less than 24 h ago" == scene.reason("EVAAUSDT")
    scene.clock.advance(24 * 3600)
    report = scene.refresh()
    assert ((), 2, None) == (report.new, report.followed, scene.reason("EVAAUSDT"))


def test_a_coin_in_pre_listing_is_skipped_until_it_trades(scene: Scene) -> None:
    """Bybit lists it with status PreLaunch; its age counts from the day on which it trades."""
    before = instrument("EVAAUSDT", status="PreLaunch", is_prelisting=True, launched_at=None)
    scene.refresh(before)
    assert ("PreLaunch", "in pre-listing") == (scene.coin("EVAAUSDT").status, scene.reason("EVAAUSDT"))
    scene.refresh(replace(before, is_prelisting=False))
    assert "status PreLaunch" == scene.reason("EVAAUSDT")
    trading = instrument("EVAAUSDT", launched_at=scene.clock.now())
    scene.refresh(trading)
    assert ("Trading", "listed less than 24 h ago") == (
        scene.coin("EVAAUSDT").status,
        scene.reason("EVAAUSDT"),
    )
    scene.clock.advance(25 * 3600)
    scene.refresh(trading)
    assert scene.reason("EVAAUSDT") is None


def test_an_announced_delisting_is_skipped_and_then_gone(scene: Scene) -> None:
    """Bybit names the moment days ahead: nothing is entered from then on, prices are followed to the end."""
    soon = scene.clock.now() + timedelta(days=2)
    scene.refresh(instrument("EVAAUSDT", delisted_at=soon), instrument("1INCHUSDT"))
    assert "will be delisted at 2025-10-21 12:00" == scene.reason("EVAAUSDT")
    assert ["1INCHUSDT", "EVAAUSDT"] == sorted(c.symbol for c in MarketStore(scene.db).followed_coins())
    scene.refresh(instrument("1INCHUSDT"))
    assert ("Gone", "no longer listed on Bybit") == (scene.coin("EVAAUSDT").status, scene.reason("EVAAUSDT"))
    assert ["1INCHUSDT"] == [c.symbol for c in MarketStore(scene.db).followed_coins()]


def test_a_renamed_contract_is_one_gone_and_one_new(scene: Scene) -> None:
    """SHIB1000USDT becomes 1000SHIBUSDT: the old row says where its coin went."""
    scene.refresh(instrument("SHIB1000USDT"), instrument("1INCHUSDT"))
    report = scene.refresh(instrument("1000SHIBUSDT"), instrument("1INCHUSDT"))
    assert (("1000SHIBUSDT",), ("SHIB1000USDT",)) == (report.new, report.gone)
    assert "no longer listed on Bybit; its coin trades as 1000SHIBUSDT now" == scene.reason("SHIB1000USDT")
    new = scene.coin("1000SHIBUSDT")
    assert ("SHIB", 1000, None) == (new.coinglass_symbol, new.price_multiplier, new.skipped_reason)


def test_a_changed_contract_is_taken_over_and_named(scene: Scene) -> None:
    """Orders are rounded to the new tick and step from the next refresh on."""
    scene.refresh(instrument("EVAAUSDT"), instrument("1INCHUSDT"))
    finer = instrument("EVAAUSDT", tick_size=Decimal("0.0001"), qty_step=Decimal(1))
    report = scene.refresh(finer, instrument("1INCHUSDT"))
    coin = scene.coin("EVAAUSDT")
    assert (("EVAAUSDT",), Decimal("0.0001"), Decimal(1)) == (report.changed, coin.tick_size, coin.qty_step)
    assert () == scene.refresh(finer, instrument("1INCHUSDT")).changed


def test_a_coin_whose_row_is_unreadable_is_not_taken_for_delisted(scene: Scene) -> None:
    """Bybit still quotes it: nothing is entered, and the streams go on for whoever holds it."""
    scene.refresh(instrument("EVAAUSDT"), instrument("1INCHUSDT"))
    scene.bybit.quoted = ["EVAAUSDT"]
    report = scene.refresh(instrument("1INCHUSDT"))
    assert ((), "Trading") == (report.gone, scene.coin("EVAAUSDT").status)
    assert "Bybit quotes it" in (scene.reason("EVAAUSDT") or "")
    assert "EVAAUSDT" in {coin.symbol for coin in MarketStore(scene.db).followed_coins()}
    scene.refresh(instrument("EVAAUSDT"), instrument("1INCHUSDT"))
    assert scene.reason("EVAAUSDT") is None


def test_a_list_that_lacks_a_third_of_the_coins_is_not_believed(scene: Scene) -> None:
    """A page was lost on the way: ending a hundred coins for it would be worse than an hour's delay.
    When the third answer is the same it is true: another exchange, or a great tidying up."""
    many = [instrument(f"C{number}USDT") for number in range(90)]
    scene.refresh(*many)
    with pytest.raises(TryAgain, match="30 of 90 known coins no more"):
        scene.refresh(*many[30:])
    assert "Trading" == scene.coin("C0USDT").status
    scene.clock.advance(3 * 3600)
    assert len(scene.refresh().gone) == 30
    assert "Gone" == scene.coin("C0USDT").status


@pytest.mark.parametrize(
    "error", [CoinglassUnavailable("away"), CoinglassNotAllowed("key"), CoinglassBadReply("empty")]
)
def test_without_coinglass_the_last_known_names_stand(scene: Scene, error: Exception) -> None:
    """A coin seen before stays followed; a new one waits and says why."""
    scene.refresh(instrument("1000PEPEUSDT"))
    scene.coinglass.error = error
    report = scene.refresh(instrument("1000PEPEUSDT"), instrument("EVAAUSDT"))
    assert not report.coinglass_asked
    assert ("PEPE", 1000, None) == (
        scene.coin("1000PEPEUSDT").coinglass_symbol,
        scene.coin("1000PEPEUSDT").price_multiplier,
        scene.reason("1000PEPEUSDT"),
    )
    assert "CoinGlass could not be asked for this coin yet" == scene.reason("EVAAUSDT")


def test_with_the_own_model_coinglass_is_not_asked(scene: Scene) -> None:
    """Every coin has a map then, in Bybit's unit."""
    scene.coinglass.error = CoinglassNotAllowed("no key")
    scene.refresh(instrument("1000PEPEUSDT"), heatmap_source=HeatmapSource.MODEL)
    assert ("1000PEPE", 1, None) == (
        scene.coin("1000PEPEUSDT").coinglass_symbol,
        scene.coin("1000PEPEUSDT").price_multiplier,
        scene.reason("1000PEPEUSDT"),
    )


def test_an_empty_list_of_instruments_is_not_believed(scene: Scene) -> None:
    """It would end every coin."""
    scene.refresh(instrument("EVAAUSDT"))
    scene.bybit.listed = []
    with pytest.raises(TryAgain, match="lists no USDT perpetual"):
        scene.refresh()
    assert scene.reason("EVAAUSDT") is None


def test_when_bybit_is_away_nothing_changes(scene: Scene) -> None:
    """The error goes on to the caller."""
    scene.refresh(instrument("EVAAUSDT"))

    def away() -> list[Instrument]:
        raise BybitUnavailable("timeout")

    scene.bybit.instruments = away  # type: ignore[method-assign]
    with pytest.raises(BybitUnavailable):
        scene.refresh()
    assert scene.reason("EVAAUSDT") is None
