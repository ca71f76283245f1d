"""Every table of the system. Importing this package registers all of them on `Base`."""

from whalestack.db.models.accuracy import AccuracyRecord
from whalestack.db.models.base import Base
from whalestack.db.models.coins import Coin, CoinThreshold
from whalestack.db.models.heatmaps import (
    CoinLiquidationPattern,
    CoinRanking,
    LiquidationCluster,
    LiquidationSnapshot,
    MapHead,
    RefreshRound,
)
from whalestack.db.models.machine import AgentLog, ApiUsage, Switch, TaskRun
from whalestack.db.models.market import (
    Candle,
    FastPriceMover,
    LiquidationOrder,
    MarketChange,
    MarketTick,
    OiVolumeSpike,
)
from whalestack.db.models.messages import OutboxMessage
from whalestack.db.models.refreshing import MapFailure, RefreshBatch
from whalestack.db.models.trading import (
    Fill,
    Order,
    PositionMonitorLog,
    Signal,
    Trade,
    TradePlan,
)

__all__ = [
    "AccuracyRecord",
    "AgentLog",
    "ApiUsage",
    "Base",
    "Candle",
    "Coin",
    "CoinLiquidationPattern",
    "CoinRanking",
    "CoinThreshold",
    "FastPriceMover",
    "Fill",
    "LiquidationCluster",
    "LiquidationOrder",
    "LiquidationSnapshot",
    "MapFailure",
    "MapHead",
    "MarketChange",
    "MarketTick",
    "OiVolumeSpike",
    "Order",
    "OutboxMessage",
    "PositionMonitorLog",
    "RefreshBatch",
    "RefreshRound",
    "Signal",
    "Switch",
    "TaskRun",
    "Trade",
    "TradePlan",
]
