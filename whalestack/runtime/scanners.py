"""The services of one process that watch the market."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from whalestack.config import HeatmapSource
from whalestack.runtime.stores import Stores

if TYPE_CHECKING:
    from whalestack.scanners.accuracy import AccuracyScanner
    from whalestack.scanners.board import BoardScanner
    from whalestack.scanners.board_check import BoardCheck
    from whalestack.scanners.coin_history import CoinHistoryScanner
    from whalestack.scanners.coins import CoinScanner
    from whalestack.scanners.freshness import FreshnessScanner
    from whalestack.scanners.heatmap import HeatmapScanner
    from whalestack.scanners.model_maps import ModelMaps
    from whalestack.scanners.moves import MoveScanner
    from whalestack.scanners.outcomes import OutcomeScanner
    from whalestack.scanners.ranking import RankingScanner
    from whalestack.scanners.signals import SignalScanner
    from whalestack.scanners.thresholds import ThresholdScanner
    from whalestack.sockets.process import StreamsProcess


class Scanners(Stores):
    """What finds things and writes them down."""

    @cached_property
    def coin_scanner(self) -> CoinScanner:
        from whalestack.scanners.coins import CoinScanner

        return CoinScanner(
            db=self.db, bybit=self.bybit, coinglass=self.coinglass, settings=self.settings, clock=self.clock
        )

    @cached_property
    def heatmap_scanner(self) -> HeatmapScanner:
        from whalestack.scanners.heatmap import HeatmapScanner

        if self.settings.heatmap_source is HeatmapSource.MODEL:
            return HeatmapScanner(
                db=self.db, settings=self.settings, clock=self.clock, live=self.live, own=self.model_maps
            )
        return HeatmapScanner(
            db=self.db, coinglass=self.coinglass, settings=self.settings, clock=self.clock, live=self.live
        )

    @cached_property
    def model_maps(self) -> ModelMaps:
        from whalestack.scanners.model_candles import CandleKeeper
        from whalestack.scanners.model_maps import ModelMaps

        return ModelMaps(
            db=self.db,
            candles=CandleKeeper(db=self.db, market=self.bybit, clock=self.clock),
            settings=self.settings,
            clock=self.clock,
            live=self.live,
        )

    @cached_property
    def freshness_scanner(self) -> FreshnessScanner:
        from whalestack.scanners.freshness import FreshnessScanner

        return FreshnessScanner(db=self.db, settings=self.settings, clock=self.clock)

    @cached_property
    def ranking_scanner(self) -> RankingScanner:
        from whalestack.scanners.ranking import RankingScanner

        return RankingScanner(db=self.db, settings=self.settings, clock=self.clock)

    @cached_property
    def move_scanner(self) -> MoveScanner:
        from whalestack.scanners.movers import MoverScanner
        from whalestack.scanners.moves import MoveScanner
        from whalestack.scanners.spikes import SpikeScanner

        movers = MoverScanner(db=self.db, live=self.live, settings=self.settings, clock=self.clock)
        spikes = SpikeScanner(db=self.db, live=self.live, settings=self.settings, clock=self.clock)
        return MoveScanner(db=self.db, settings=self.settings, clock=self.clock, lookers=(movers, spikes))

    @cached_property
    def board_scanner(self) -> BoardScanner:
        from whalestack.scanners.board import BoardScanner

        return BoardScanner(db=self.db, clock=self.clock)

    @cached_property
    def board_check(self) -> BoardCheck:
        from whalestack.scanners.board_check import BoardCheck

        return BoardCheck(db=self.db, coinglass=self.coinglass, settings=self.settings, clock=self.clock)

    @cached_property
    def signal_scanner(self) -> SignalScanner:
        from whalestack.scanners.signals import SignalScanner

        return SignalScanner(db=self.db, live=self.live, settings=self.settings, clock=self.clock)

    @cached_property
    def outcome_scanner(self) -> OutcomeScanner:
        from whalestack.scanners.outcomes import OutcomeScanner

        return OutcomeScanner(db=self.db, clock=self.clock)

    @cached_property
    def coin_history_scanner(self) -> CoinHistoryScanner:
        from whalestack.scanners.coin_history import CoinHistoryScanner

        return CoinHistoryScanner(db=self.db, settings=self.settings, clock=self.clock)

    @cached_property
    def accuracy_scanner(self) -> AccuracyScanner:
        from whalestack.scanners.accuracy import AccuracyScanner

        return AccuracyScanner(db=self.db, settings=self.settings, clock=self.clock)

    @cached_property
    def threshold_scanner(self) -> ThresholdScanner:
        from whalestack.scanners.thresholds import ThresholdScanner

        return ThresholdScanner(db=self.db, settings=self.settings, clock=self.clock)

    def streams_process(self) -> StreamsProcess:
        """The process that listens to the exchange; it runs once."""
        from whalestack.sockets.process import StreamsProcess

        return StreamsProcess(
            settings=self.settings, db=self.db, live=self.live, dispatcher=self.dispatcher, clock=self.clock
        )
