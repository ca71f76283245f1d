"""Our board held against CoinGlass's `coins-markets`: which coins differ, and by how much.

What can be compared are the changes of price and of open interest over an hour and more; over
minutes the two sides' moments lie too far apart. CoinGlass's
price is of its own making over several exchanges and its open interest is all exchanges'
sum, ours are Bybit's; so a difference is told and stops nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Protocol

import structlog
from sqlalchemy.orm import Session

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
# The longer two are told by hourly bars while the system is young: they need the check most.
WINDOWS = ("1h", "4h", "24h")
# An older board would differ for no other reason than its age.
OLDEST_BOARD = timedelta(minutes=3)
NAMED_AT_MOST = 100
NO_BOARD = "there is no fresh board to compare"


class MarketList(Protocol):
    """Who knows every coin's changes. `CoinglassClient` is one."""

    def coin_markets(self) -> list[CoinMarket]:
        """Every row of coins-markets."""


@dataclass(frozen=True)
class Difference:
    """One coin whose change is not the same on both sides, in per cent."""

    symbol: str
    measure: str
    window: str
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
        with self._db.begin() as work:
            return None if self._fresh_boards(work.session) else NO_BOARD

    def _fresh_boards(self, session: Session) -> dict[str, Board]:
        """The newest board by window, empty where it is too old to be compared."""
        found = {window: latest_board(session, "price", window) for window in WINDOWS}
        oldest = self._clock.now() - OLDEST_BOARD
        return {window: board for window, board in found.items() if board and board.at >= oldest}

    def _compare(self, markets: Sequence[CoinMarket]) -> BoardCheckReport:
        rows = {market.coin: market for market in markets}
        with self._db.begin() as work:
            # Read again: many pages were fetched since, and a minute may have passed.
            boards = self._fresh_boards(work.session)
            if not boards:
                return BoardCheckReport(not_checked=NO_BOARD)
            names = {coin.symbol: coin.coin for coin in followed_coins(work.session)}
            pairs = [pair for window, board in boards.items() for pair in _pairs(board, window, names, rows)]
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
            coins=sorted({each.symbol for each in beyond[:10]}),
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
            "windows": WINDOWS,
            "tolerance_pct": self._tolerances(),
            "compared": report.compared,
            "beyond": len(report.differences),
            "differences": [asdict(each) for each in report.differences[:NAMED_AT_MOST]],
        }


def _pairs(
    board: Board, window: str, names: Mapping[str, str], markets: Mapping[str, CoinMarket]
) -> Iterable[Difference]:
    """Both sides' change of every coin and measure that both know."""
    for line in board.lines:
        market = markets.get(names.get(line.symbol, ""))
        if market is None:
            continue
        sides = (
            ("price", line.price_pct, getattr(market, f"price_change_{window}_pct")),
            ("oi", line.oi_pct, getattr(market, f"open_interest_change_{window}_pct")),
        )
        for measure, ours, theirs in sides:
            if ours is not None and theirs is not None:
                yield Difference(line.symbol, measure, window, ours, theirs)
