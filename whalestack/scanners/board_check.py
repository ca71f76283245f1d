"""Our board held against CoinGlass's `coins-markets`: which coins differ, and by how much.

What can be compared is the last hour's change of price and of open interest. CoinGlass's
price is of its own making over several exchanges and its open interest is all exchanges'
sum, ours are Bybit's; so a difference is told and stops nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Protocol

import structlog

from whalestack.clients.coinglass.plans import PLANS
from whalestack.clients.coinglass.types import CoinMarket
from whalestack.clock import Clock
from whalestack.config import HeatmapSource, Settings
from whalestack.db.agent_store import log_action
from whalestack.db.board_store import Board, latest_board
from whalestack.db.coin_store import followed_coins
from whalestack.db.engine import Database
from whalestack.errors import StopAndTell, WhalestackError

log = structlog.get_logger()

AGENT_NAME = "board-check"
ACTION = "board_compared"
WINDOW = "1h"
# An older board would differ for no other reason than its age.
OLDEST_BOARD = timedelta(minutes=3)
NAMED_AT_MOST = 100


class MarketList(Protocol):
    """Who knows every coin's changes. `CoinglassClient` is one."""

    def coin_markets(self) -> list[CoinMarket]:
        """Every row of coins-markets."""


@dataclass(frozen=True)
class Difference:
    """One coin whose change is not the same on both sides, in per cent over the last hour."""

    symbol: str
    measure: str
    ours_pct: float
    theirs_pct: float

    @property
    def size(self) -> float:
        """Percentage points between the two."""
        return abs(self.ours_pct - self.theirs_pct)


@dataclass(frozen=True)
class BoardCheckReport:
    """What one comparison found.

    Args:
        compared: changes that both sides know.
        differences: those further apart than the tolerance, largest first.
        not_checked: why nothing was compared, None where it was.
    """

    compared: int = 0
    differences: tuple[Difference, ...] = ()
    not_checked: str | None = None


class BoardCheck:
    """Compares, now and then: each comparison costs a call for every hundred coins of CoinGlass.

    Args:
        db: of this process.
        coinglass: the other side.
        settings: the tolerances.
        clock: market time.
    """

    def __init__(self, *, db: Database, coinglass: MarketList, settings: Settings, clock: Clock) -> None:
        self._db = db
        self._coinglass = coinglass
        self._settings = settings
        self._clock = clock

    def check(self) -> BoardCheckReport:
        """Compare the newest board and write down what differs. Never raises what CoinGlass raises."""
        obstacle = self._obstacle()
        if obstacle is None:
            try:
                markets = self._coinglass.coin_markets()
            except StopAndTell as error:
                obstacle = f"the key or its plan does not serve coins-markets: {error}"
            except WhalestackError as error:
                obstacle = f"CoinGlass could not be asked: {error}"
        if obstacle is not None:
            log.info("board_not_checked", why=obstacle)
            return BoardCheckReport(not_checked=obstacle)
        return self._compare(markets)

    def _obstacle(self) -> str | None:
        if self._settings.heatmap_source is HeatmapSource.MODEL:
            return "HEATMAP_SOURCE=model: CoinGlass is not asked"
        if not PLANS[self._settings.coinglass_plan].coins_markets:
            return f"COINGLASS_PLAN={self._settings.coinglass_plan} does not serve coins-markets"
        return None if self._fresh_board() is not None else "there is no fresh board to compare"

    def _fresh_board(self) -> Board | None:
        with self._db.begin() as work:
            board = latest_board(work.session, "price", WINDOW)
        return board if board and self._clock.now() - board.at <= OLDEST_BOARD else None

    def _compare(self, markets: Sequence[CoinMarket]) -> BoardCheckReport:
        # Read again: many pages were fetched since, and a minute may have passed.
        board = self._fresh_board()
        if board is None:
            return BoardCheckReport(not_checked="there is no fresh board to compare")
        with self._db.begin() as work:
            names = {coin.symbol: coin.coin for coin in followed_coins(work.session)}
            pairs = list(_pairs(board, names, {market.coin: market for market in markets}))
            beyond = sorted(filter(self._is_beyond, pairs), key=lambda each: -each.size)
            report = BoardCheckReport(len(pairs), tuple(beyond))
            log_action(
                work.session,
                agent_name=AGENT_NAME,
                action=ACTION,
                now=self._clock.now(),
                details=self._details(report),
            )
        log.info(
            "board_checked",
            compared=report.compared,
            beyond=len(beyond),
            coins=[each.symbol for each in beyond[:10]],
        )
        return report

    def _is_beyond(self, each: Difference) -> bool:
        return each.size > self._tolerances()[each.measure]

    def _tolerances(self) -> dict[str, float]:
        return {
            "price": self._settings.board_check_price_tolerance_pct,
            "oi": self._settings.board_check_oi_tolerance_pct,
        }

    def _details(self, report: BoardCheckReport) -> dict[str, object]:
        return {
            "window": WINDOW,
            "tolerance_pct": self._tolerances(),
            "compared": report.compared,
            "beyond": len(report.differences),
            "differences": [asdict(each) for each in report.differences[:NAMED_AT_MOST]],
        }


def _pairs(board: Board, names: Mapping[str, str], markets: Mapping[str, CoinMarket]) -> Iterable[Difference]:
    """Both sides' change of every coin and measure that both know."""
    for line in board.lines:
        market = markets.get(names.get(line.symbol, ""))
        if market is None:
            continue
        sides = (
            ("price", line.price_pct, market.price_change_1h_pct),
            ("oi", line.oi_pct, market.open_interest_change_1h_pct),
        )
        for measure, ours, theirs in sides:
            if ours is not None and theirs is not None:
                yield Difference(line.symbol, measure, ours, theirs)
