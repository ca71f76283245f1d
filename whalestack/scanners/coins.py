"""The universe: which perpetuals are followed, under which name at CoinGlass, and why others are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog

from whalestack.clients.bybit.port import MarketPort
from whalestack.clients.bybit.types import Instrument
from whalestack.clients.coinglass.symbols import CoinName, match_coin
from whalestack.clock import Clock
from whalestack.config import HeatmapSource, Settings
from whalestack.db.coin_store import known_coins, upsert_coins
from whalestack.db.engine import Database
from whalestack.db.models import Coin
from whalestack.errors import TryAgain, WhalestackError
from whalestack.scanners.universe_changes import TRADING, has_changed, mark_missing, missing_coins

log = structlog.get_logger()

QUOTE = "USDT"
NO_SUCH_COIN = "no such coin at CoinGlass"


class CoinList(Protocol):
    """Who knows which coins have heat maps. `CoinglassClient` is one."""

    def supported_coins(self) -> frozenset[str]:
        """Names of coins, upper case."""


@dataclass(frozen=True)
class UniverseReport:
    """What one look at the universe found.

    Args:
        listed: USDT perpetuals that Bybit lists.
        followed: coins whose heat maps are collected.
        skipped: coins that are not, by reason.
        new: symbols that were not known before.
        gone: symbols that Bybit listed at the refresh before and lists no more.
        changed: symbols whose contract changed (tick, step, limits).
        coinglass_asked: False where CoinGlass could not be asked and the last known names stand.
    """

    listed: int
    followed: int
    skipped: Mapping[str, int]
    coinglass_asked: bool
    new: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Found:
    """One listed perpetual on its way into `coins`."""

    instrument: Instrument
    name: CoinName | None
    turnover_24h_usd: float | None
    skipped_reason: str | None


class CoinScanner:
    """Keeps the table `coins`.

    Args:
        db: of this process.
        bybit: for instruments and tickers.
        coinglass: for the coins that have maps.
        settings: majors, blacklist and filters.
        clock: market time.
    """

    def __init__(
        self, *, db: Database, bybit: MarketPort, coinglass: CoinList, settings: Settings, clock: Clock
    ) -> None:
        self._db = db
        self._bybit = bybit
        self._coinglass = coinglass
        self._settings = settings
        self._clock = clock

    def refresh(self) -> UniverseReport:
        """Look at both sides and write every coin down.

        A coin that one side does not have is kept, skipped and named. When CoinGlass
        cannot be asked, the names it had last time stand.

        Raises:
            TryAgain: Bybit cannot be asked, or lists nothing, or so much less than before
                that its answer cannot be whole; nothing is changed.
        """
        instruments = [each for each in self._bybit.instruments() if _is_usdt_perpetual(each)]
        if not instruments:
            raise TryAgain("Bybit lists no USDT perpetual; the universe stays as it is")
        turnovers = {each.symbol: float(each.turnover_24h_usd) for each in self._bybit.tickers()}
        supported = self._supported()
        now = self._clock.now()
        with self._db.begin() as work:
            known = known_coins(work.session)
            missing = missing_coins(known, instruments, now)
            found = self._judge(instruments, turnovers, supported, known, now)
            rows = [self._row(each, now) for each in found]
            changed = [row["symbol"] for row in rows if has_changed(known.get(row["symbol"]), row)]
            new = sorted(row["symbol"] for row in rows if row["symbol"] not in known)
            gone = [symbol for symbol in missing if symbol not in turnovers]
            mark_missing([known[symbol] for symbol in missing], gone, rows, now)
            upsert_coins(work.session, rows)
        return self._report(found, new, gone, changed, supported is not None)

    def _supported(self) -> frozenset[str] | None:
        if self._settings.heatmap_source is HeatmapSource.MODEL:
            return None
        try:
            return self._coinglass.supported_coins()
        except WhalestackError as error:
            log.warning("coinglass_coins_unknown", error=str(error))
            return None

    def _judge(
        self,
        instruments: Sequence[Instrument],
        turnovers: Mapping[str, float],
        supported: frozenset[str] | None,
        known: Mapping[str, Coin],
        now: datetime,
    ) -> list[_Found]:
        found = []
        for instrument in instruments:
            name = self._name(instrument, supported, known.get(instrument.symbol))
            turnover = turnovers.get(instrument.symbol)
            reason = self._skip_reason(instrument, name, turnover, now)
            if reason == NO_SUCH_COIN and supported is None:
                reason = "CoinGlass could not be asked for this coin yet"
            found.append(_Found(instrument, name, turnover, reason))
        return self._within_max_coins(found)

    def _name(
        self, instrument: Instrument, supported: frozenset[str] | None, known: Coin | None
    ) -> CoinName | None:
        if supported is not None:
            return match_coin(instrument.base_coin, supported.__contains__)
        if self._settings.heatmap_source is HeatmapSource.MODEL:
            # The own model computes maps from Bybit's prices, in Bybit's unit.
            return CoinName(instrument.base_coin)
        if known is None or known.coinglass_symbol is None:
            return None
        return CoinName(known.coinglass_symbol, known.price_multiplier)

    def _skip_reason(
        self, instrument: Instrument, name: CoinName | None, turnover: float | None, now: datetime
    ) -> str | None:
        """The first reason not to follow a coin, None to follow it."""
        settings = self._settings
        if instrument.is_prelisting:
            return "in pre-listing"
        if instrument.status != TRADING:
            return f"status {instrument.status}"
        if instrument.delisted_at is not None:
            return f"will be delisted at {instrument.delisted_at:%Y-%m-%d %H:%M}"
        if _names(instrument, name) & set(settings.blacklist):
            return "blacklisted"
        if name is None:
            return NO_SUCH_COIN
        if instrument.launched_at is not None and now - instrument.launched_at < timedelta(
            hours=settings.min_listing_age_h
        ):
            return f"listed less than {settings.min_listing_age_h:g} h ago"
        if (turnover or 0.0) < settings.min_turnover_24h_usd:
            return f"turnover below {settings.min_turnover_24h_usd:,.0f} USD a day"
        return None

    def _within_max_coins(self, found: Sequence[_Found]) -> list[_Found]:
        """Where more coins remain than may be followed, those with the largest turnover stay."""
        candidates = sorted(
            (each for each in found if each.skipped_reason is None),
            key=lambda each: (-(each.turnover_24h_usd or 0.0), each.instrument.symbol),
        )
        beyond = {each.instrument.symbol for each in candidates[self._settings.max_coins :]}
        reason = f"beyond the {self._settings.max_coins} coins of largest turnover"
        return [
            replace(each, skipped_reason=reason) if each.instrument.symbol in beyond else each
            for each in found
        ]

    def _row(self, each: _Found, now: datetime) -> dict[str, Any]:
        instrument, name = each.instrument, each.name
        called = _names(instrument, name)
        return {
            "symbol": instrument.symbol,
            "base_coin": instrument.base_coin,
            "coinglass_symbol": name.coin if name else None,
            "price_multiplier": name.multiplier if name else 1,
            "tick_size": instrument.tick_size,
            "qty_step": instrument.qty_step,
            "min_order_qty": instrument.min_order_qty,
            "max_order_qty": instrument.max_order_qty,
            "max_market_order_qty": instrument.max_market_order_qty,
            "min_notional_usd": instrument.min_notional_usd,
            "min_leverage": instrument.min_leverage,
            "max_leverage": instrument.max_leverage,
            "leverage_step": instrument.leverage_step,
            "price_limit_ratio": instrument.price_limit_ratio,
            "funding_interval_min": instrument.funding_interval_min,
            "launched_at": instrument.launched_at,
            "delisted_at": instrument.delisted_at,
            "status": instrument.status,
            "is_prelisting": instrument.is_prelisting,
            "is_major": bool(called & set(self._settings.majors)),
            "blacklisted": bool(called & set(self._settings.blacklist)),
            "turnover_24h_usd": each.turnover_24h_usd,
            "skipped_reason": each.skipped_reason,
            "updated_at": now,
        }

    def _report(
        self,
        found: Sequence[_Found],
        new: Sequence[str],
        gone: Sequence[str],
        changed: Sequence[str],
        asked: bool,
    ) -> UniverseReport:
        skipped = Counter(each.skipped_reason for each in found if each.skipped_reason is not None)
        report = UniverseReport(
            listed=len(found),
            followed=len(found) - skipped.total(),
            skipped=dict(skipped),
            coinglass_asked=asked,
            new=tuple(new),
            gone=tuple(gone),
            changed=tuple(changed),
        )
        log.info(
            "universe_refreshed",
            listed=report.listed,
            followed=report.followed,
            skipped=report.skipped,
            # The first refresh knows nobody: everybody would be new.
            new=report.new if len(new) < len(found) else len(new),
            gone=report.gone,
            changed=report.changed,
        )
        return report


def _is_usdt_perpetual(instrument: Instrument) -> bool:
    # Dated futures of the same category carry their date in the name: BTCUSDT-26DEC25.
    return instrument.quote_coin == QUOTE and "-" not in instrument.symbol


def _names(instrument: Instrument, name: CoinName | None) -> set[str]:
    """What the owner may call a coin in a list of the settings."""
    return {instrument.symbol, instrument.base_coin} | ({name.coin} if name else set())
