"""Signals, plans, orders, fills, trades and the moves of their stops."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from whalestack.db.models.base import Base, BigId

OPEN_PLAN = "status in ('entering', 'open')"


class Signal(Base):
    """A trigger on a ranked coin, unique per occasion, whoever acts on it.

    status: new, acted (a plan of at least one agent went to the exchange),
    refused (every agent refused), expired (nobody acted in time).
    """

    __tablename__ = "signals"
    __table_args__ = (
        UniqueConstraint("occasion"),
        CheckConstraint("direction in ('LONG', 'SHORT')", name="direction"),
        Index("ix_signals_triggered_at", "triggered_at"),
    )

    id: Mapped[BigId]
    symbol: Mapped[str]
    direction: Mapped[str]
    occasion: Mapped[str] = mapped_column(comment="what makes it unique: symbol, direction and time slot")
    scanner: Mapped[str]
    triggered_at: Mapped[datetime]
    price: Mapped[float]
    oi_change_pct: Mapped[float]
    volume_spike_ratio: Mapped[float]
    price_change_pct: Mapped[float]
    rank: Mapped[int]
    score: Mapped[float]
    ranked_at: Mapped[datetime]
    status: Mapped[str] = mapped_column(default="new", server_default="new")
    reasons: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")
    updated_at: Mapped[datetime]


class TradePlan(Base):
    """One agent's plan for one signal: what it will do, from which inputs, or why it will not.

    status: checking (inputs are being made fresh), refused, entering (orders may be on
    the exchange), open (a trade runs), closed, expired (the pullback did not come).
    At most one plan per symbol is entering or open: Bybit nets a symbol's orders into
    one position, so two plans would share one stop.
    """

    __tablename__ = "trade_plans"
    __table_args__ = (
        UniqueConstraint("signal_id", "agent_name"),
        Index("uq_trade_plans_active_symbol", "symbol", unique=True, postgresql_where=OPEN_PLAN),
        Index("ix_trade_plans_status", "status"),
        Index("ix_trade_plans_cluster_id", "cluster_id"),
    )

    id: Mapped[BigId]
    signal_id: Mapped[int] = mapped_column(ForeignKey("signals.id"))
    agent_name: Mapped[str]
    strategy: Mapped[str]
    symbol: Mapped[str]
    direction: Mapped[str]
    status: Mapped[str] = mapped_column(default="checking", server_default="checking")
    reasons: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")
    cluster_id: Mapped[int | None] = mapped_column(ForeignKey("liquidation_clusters.id"))
    limit_price: Mapped[Decimal | None]
    expected_entry_price: Mapped[Decimal | None]
    stop_loss: Mapped[Decimal | None]
    take_profit: Mapped[Decimal | None]
    qty: Mapped[Decimal | None]
    leverage: Mapped[Decimal | None]
    liquidation_price: Mapped[Decimal | None]
    equity_usd: Mapped[Decimal | None]
    worst_loss_usd: Mapped[Decimal | None]
    reward_pct: Mapped[float | None]
    risk_pct: Mapped[float | None]
    costs_pct: Mapped[float | None]
    success_rate: Mapped[float | None]
    observations: Mapped[int | None]
    inputs: Mapped[dict[str, Any]] = mapped_column(
        default=dict, server_default="{}", comment="age of each input, seconds"
    )
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    updated_at: Mapped[datetime]


class Order(Base):
    """An order: committed as an intent before it is sent, then moved only along its state machine.

    status: intent -> sent -> new -> partially_filled -> filled | cancelled | rejected;
    unknown after a send whose answer was lost, until the exchange has been asked;
    refused when it was never sent. The database refuses any other move (a trigger).
    """

    __tablename__ = "orders"
    __table_args__ = (
        CheckConstraint("side in ('Buy', 'Sell')", name="side"),
        CheckConstraint("qty > 0", name="qty"),
        CheckConstraint(
            "status in ('intent', 'sent', 'unknown', 'new', 'partially_filled', "
            "'filled', 'cancelled', 'rejected', 'refused')",
            name="status",
        ),
        CheckConstraint("reduce_only or stop_loss is not null", name="entry_has_stop"),
        Index(
            "ix_orders_unfinished",
            "symbol",
            postgresql_where="status in ('intent', 'sent', 'unknown', 'new', 'partially_filled')",
        ),
        Index("ix_orders_plan_id", "plan_id"),
        Index("ix_orders_trade_id", "trade_id"),
    )

    order_link_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    agent_name: Mapped[str]
    plan_id: Mapped[int | None] = mapped_column(ForeignKey("trade_plans.id"))
    trade_id: Mapped[int | None] = mapped_column(ForeignKey("trades.id"))
    symbol: Mapped[str]
    leg: Mapped[str] = mapped_column(comment="e0.. entry rungs, x0.. exits")
    side: Mapped[str]
    order_type: Mapped[str]
    time_in_force: Mapped[str]
    price: Mapped[Decimal | None]
    qty: Mapped[Decimal]
    reduce_only: Mapped[bool] = mapped_column(default=False, server_default="false")
    stop_loss: Mapped[Decimal | None]
    take_profit: Mapped[Decimal | None]
    status: Mapped[str] = mapped_column(default="intent", server_default="intent")
    exchange_order_id: Mapped[str | None] = mapped_column(index=True)
    filled_qty: Mapped[Decimal] = mapped_column(default=Decimal(0), server_default="0")
    avg_fill_price: Mapped[Decimal | None]
    reject_code: Mapped[int | None]
    reason: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    resolved_at: Mapped[datetime | None]
    updated_at: Mapped[datetime]


class Fill(Base):
    """One execution, known by the exchange's id: seen twice, it is stored once."""

    __tablename__ = "fills"
    __table_args__ = (
        Index("ix_fills_trade_id", "trade_id"),
        Index("ix_fills_symbol_executed_at", "symbol", "executed_at"),
    )

    exec_id: Mapped[str] = mapped_column(primary_key=True)
    order_link_id: Mapped[str | None]
    exchange_order_id: Mapped[str]
    trade_id: Mapped[int | None] = mapped_column(ForeignKey("trades.id"))
    symbol: Mapped[str]
    side: Mapped[str]
    price: Mapped[Decimal]
    qty: Mapped[Decimal]
    fee_usd: Mapped[Decimal]
    is_maker: Mapped[bool]
    exec_type: Mapped[str]
    stop_order_type: Mapped[str | None]
    closed_qty: Mapped[Decimal]
    executed_at: Mapped[datetime]
    source: Mapped[str] = mapped_column(comment="stream or poll")


class Trade(Base):
    """One position from its first fill to its last, under the name of who opened it."""

    __tablename__ = "trades"
    __table_args__ = (
        CheckConstraint("side in ('LONG', 'SHORT')", name="side"),
        CheckConstraint("status in ('open', 'closed', 'stopped_out')", name="status"),
        Index("uq_trades_open_symbol", "symbol", unique=True, postgresql_where="status = 'open'"),
        Index("ix_trades_entry_time", "entry_time"),
        Index("ix_trades_plan_id", "plan_id"),
    )

    id: Mapped[BigId]
    agent_name: Mapped[str]
    symbol: Mapped[str]
    side: Mapped[str]
    entry_price: Mapped[Decimal]
    exit_price: Mapped[Decimal | None]
    qty: Mapped[Decimal] = mapped_column(comment="largest size the position had")
    open_qty: Mapped[Decimal]
    pnl_pct: Mapped[float | None] = mapped_column(comment="per cent of entry value, after fees and funding")
    pnl_usd: Mapped[Decimal | None] = mapped_column(comment="after fees and funding")
    fees_usd: Mapped[Decimal] = mapped_column(default=Decimal(0), server_default="0")
    stop_loss: Mapped[Decimal | None]
    initial_stop_loss: Mapped[Decimal | None]
    take_profit: Mapped[Decimal | None]
    entry_time: Mapped[datetime]
    exit_time: Mapped[datetime | None]
    status: Mapped[str] = mapped_column(default="open", server_default="open")
    exit_reason: Mapped[str | None]
    notes: Mapped[str | None]
    plan_id: Mapped[int | None] = mapped_column(ForeignKey("trade_plans.id"))
    leverage: Mapped[Decimal | None]
    mode: Mapped[str]
    updated_at: Mapped[datetime]


class PositionMonitorLog(Base):
    """A move of a stop: committed as an intent before it is sent, then its outcome.

    status: intent, done, refused, unknown.
    """

    __tablename__ = "position_monitor_logs"
    __table_args__ = (
        Index("ix_position_monitor_logs_trade_id", "trade_id"),
        Index(
            "ix_position_monitor_logs_open",
            "symbol",
            postgresql_where="status in ('intent', 'unknown')",
        ),
    )

    id: Mapped[BigId]
    trade_id: Mapped[int | None] = mapped_column(ForeignKey("trades.id"))
    agent_name: Mapped[str]
    symbol: Mapped[str]
    action: Mapped[str] = mapped_column(comment="trail, protect, extend_target")
    old_stop_loss: Mapped[Decimal | None]
    new_stop_loss: Mapped[Decimal | None]
    old_take_profit: Mapped[Decimal | None]
    new_take_profit: Mapped[Decimal | None]
    profit_pct_at_action: Mapped[float | None]
    price: Mapped[Decimal | None]
    status: Mapped[str] = mapped_column(default="intent", server_default="intent")
    reason: Mapped[str | None]
    created_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]
