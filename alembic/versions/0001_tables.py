"""Every table, as the models describe them (made by autogenerate; extras follow in 0002 and 0003)."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "agent_logs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("agent_name", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=True),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent_logs")),
    )
    op.create_index("ix_agent_logs_created_at", "agent_logs", ["created_at"], unique=False)
    op.create_table(
        "api_usage",
        sa.Column("ts", sa.DateTime(timezone=True), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("calls", sa.Integer(), server_default="0", nullable=False),
        sa.Column("errors", sa.Integer(), server_default="0", nullable=False),
        sa.Column("rate_limited", sa.Integer(), server_default="0", nullable=False),
        sa.Column("limit_per_min", sa.Integer(), nullable=True),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("ts", "service", "endpoint", name=op.f("pk_api_usage")),
    )
    op.create_table(
        "candles",
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("interval", sa.Text(), nullable=False, comment="Bybit's name: 1, 5, 60, D"),
        sa.Column("start_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("open", sa.Double(), nullable=False),
        sa.Column("high", sa.Double(), nullable=False),
        sa.Column("low", sa.Double(), nullable=False),
        sa.Column("close", sa.Double(), nullable=False),
        sa.Column("volume", sa.Double(), nullable=False, comment="base coin"),
        sa.Column("turnover_usd", sa.Double(), nullable=False),
        sa.Column(
            "open_interest", sa.Double(), nullable=True, comment="base coin, at the last tick of the bar"
        ),
        sa.PrimaryKeyConstraint("symbol", "interval", "start_at", name=op.f("pk_candles")),
    )
    op.create_index(
        "ix_candles_start_at",
        "candles",
        ["start_at"],
        unique=False,
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 32, "autosummarize": "on"},
    )
    op.create_table(
        "coin_liquidation_patterns",
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("avg_cluster_size", sa.Double(), nullable=False),
        sa.Column(
            "success_rate", sa.Double(), nullable=False, comment="0 to 1, shrunk toward the market's mean"
        ),
        sa.Column("hits", sa.Integer(), server_default="0", nullable=False),
        sa.Column("observations", sa.Integer(), server_default="0", nullable=False),
        sa.Column("avg_time_to_target", sa.Double(), nullable=True, comment="seconds"),
        sa.Column("max_wick_up_pct", sa.Double(), nullable=True, comment="high quantile of upward wicks"),
        sa.Column("max_wick_down_pct", sa.Double(), nullable=True, comment="high quantile of downward wicks"),
        sa.Column("trades", sa.Integer(), server_default="0", nullable=False),
        sa.Column("trade_wins", sa.Integer(), server_default="0", nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("symbol", "timeframe", name=op.f("pk_coin_liquidation_patterns")),
    )
    op.create_table(
        "coin_rankings",
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=True),
        sa.Column("imbalance_ratio", sa.Double(), nullable=True),
        sa.Column("direction", sa.Text(), nullable=True),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("target_price", sa.Double(), nullable=True),
        sa.Column("price", sa.Double(), nullable=True),
        sa.Column("long_usd", sa.Double(), nullable=True),
        sa.Column("short_usd", sa.Double(), nullable=True),
        sa.Column("cluster_size_pct", sa.Double(), nullable=True),
        sa.Column("historical_success", sa.Double(), nullable=True),
        sa.Column("observations", sa.Integer(), nullable=True),
        sa.Column("oldest_map_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dropped_reason", sa.Text(), nullable=True),
        sa.Column("made_of", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("symbol", "created_at", name=op.f("pk_coin_rankings")),
    )
    op.create_index("ix_coin_rankings_created_at", "coin_rankings", ["created_at"], unique=False)
    op.create_table(
        "coin_thresholds",
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column(
            "min_cluster_threshold",
            sa.Double(),
            nullable=False,
            comment="USD; smaller clusters are noise for this coin",
        ),
        sa.Column("avg_cluster_size", sa.Double(), nullable=False, comment="USD; the coin's typical cluster"),
        sa.Column("market_cap", sa.Double(), nullable=True, comment="USD"),
        sa.Column("observations", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "cluster_observations",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="refreshes that avg_cluster_size was learned from; 0: a seed",
        ),
        sa.Column(
            "oi_change_pct",
            sa.Double(),
            nullable=True,
            comment="15-minute open interest change that is a spike",
        ),
        sa.Column(
            "volume_ratio",
            sa.Double(),
            nullable=True,
            comment="5-minute volume over its 1-hour average that is a spike",
        ),
        sa.Column(
            "price_change_pct", sa.Double(), nullable=True, comment="5-minute price change that triggers"
        ),
        sa.Column("mover_1m_pct", sa.Double(), nullable=True),
        sa.Column("mover_5m_pct", sa.Double(), nullable=True),
        sa.Column("last_updated", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("symbol", name=op.f("pk_coin_thresholds")),
    )
    op.create_table(
        "coins",
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("base_coin", sa.Text(), nullable=False),
        sa.Column("coinglass_symbol", sa.Text(), nullable=True),
        sa.Column("price_multiplier", sa.Integer(), server_default="1", nullable=False),
        sa.Column("tick_size", sa.Numeric(precision=38, scale=18), nullable=False),
        sa.Column("qty_step", sa.Numeric(precision=38, scale=18), nullable=False),
        sa.Column("min_order_qty", sa.Numeric(precision=38, scale=18), nullable=False),
        sa.Column("max_order_qty", sa.Numeric(precision=38, scale=18), nullable=False),
        sa.Column("max_market_order_qty", sa.Numeric(precision=38, scale=18), nullable=False),
        sa.Column("min_notional_usd", sa.Numeric(precision=38, scale=18), nullable=False),
        sa.Column("min_leverage", sa.Numeric(precision=38, scale=18), nullable=False),
        sa.Column("max_leverage", sa.Numeric(precision=38, scale=18), nullable=False),
        sa.Column("leverage_step", sa.Numeric(precision=38, scale=18), nullable=False),
        sa.Column("price_limit_ratio", sa.Numeric(precision=38, scale=18), nullable=True),
        sa.Column("funding_interval_min", sa.Integer(), nullable=False),
        sa.Column("launched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("delisted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("is_prelisting", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("is_major", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("blacklisted", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("turnover_24h_usd", sa.Double(), nullable=True),
        sa.Column("skipped_reason", sa.Text(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("symbol", name=op.f("pk_coins")),
    )
    op.create_index(op.f("ix_coins_coinglass_symbol"), "coins", ["coinglass_symbol"], unique=False)
    op.create_table(
        "fast_price_movers",
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("detected_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("price_1min_change", sa.Double(), nullable=True, comment="per cent"),
        sa.Column("price_5min_change", sa.Double(), nullable=True, comment="per cent"),
        sa.Column("price", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("symbol", "detected_at", name=op.f("pk_fast_price_movers")),
    )
    op.create_index("ix_fast_price_movers_detected_at", "fast_price_movers", ["detected_at"], unique=False)
    op.create_table(
        "liquidation_clusters",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("price_low", sa.Double(), nullable=False),
        sa.Column("price_high", sa.Double(), nullable=False),
        sa.Column("price_center", sa.Double(), nullable=False, comment="centre of mass"),
        sa.Column("leverage", sa.Double(), nullable=False, comment="total value in USD"),
        sa.Column(
            "side",
            sa.Text(),
            nullable=False,
            comment="whose liquidations wait there: short above price, long below",
        ),
        sa.Column("detected_price", sa.Double(), nullable=False),
        sa.Column(
            "distance_pct",
            sa.Double(),
            nullable=False,
            comment="from the price at detection to the near edge",
        ),
        sa.Column("detected_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "horizon_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="not hit until then: judged a miss",
        ),
        sa.Column("hit_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("hit_target", sa.Boolean(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "beyond_pct",
            sa.Double(),
            nullable=True,
            comment="how far price ran past the far edge after the hit",
        ),
        sa.Column(
            "adverse_wick_pct",
            sa.Double(),
            nullable=True,
            comment="largest move against the way to it before the hit",
        ),
        sa.Column("traded", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("trade_outcome", sa.Text(), nullable=True),
        sa.CheckConstraint("side in ('long', 'short')", name=op.f("ck_liquidation_clusters_side")),
        sa.CheckConstraint("price_low <= price_high", name=op.f("ck_liquidation_clusters_edges")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_liquidation_clusters")),
    )
    op.create_index(
        "ix_liquidation_clusters_open",
        "liquidation_clusters",
        ["symbol", "timeframe"],
        unique=False,
        postgresql_where="hit_target is null",
    )
    op.create_index(
        "ix_liquidation_clusters_symbol_detected_at",
        "liquidation_clusters",
        ["symbol", "detected_at"],
        unique=False,
    )
    op.create_table(
        "liquidation_orders",
        sa.Column("ts", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "event_key", sa.Text(), nullable=False, comment="digest of the event: the streams have no id"
        ),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("exchange", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False, comment="who was liquidated: long or short"),
        sa.Column("price", sa.Double(), nullable=False),
        sa.Column("value_usd", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("ts", "event_key", name=op.f("pk_liquidation_orders")),
    )
    op.create_index(op.f("ix_liquidation_orders_symbol"), "liquidation_orders", ["symbol"], unique=False)
    op.create_table(
        "liquidation_snapshots",
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "map_time", sa.DateTime(timezone=True), nullable=True, comment="when the source computed it"
        ),
        sa.Column("price", sa.Double(), nullable=False, comment="the coin's price at the fetch"),
        sa.Column("prices", postgresql.ARRAY(sa.REAL()), nullable=False),
        sa.Column("values", postgresql.ARRAY(sa.REAL()), nullable=False),
        sa.Column("derived", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column(
            "digest", sa.Text(), nullable=True, comment="of prices and values; equal digests are the same map"
        ),
        sa.PrimaryKeyConstraint("symbol", "timeframe", "fetched_at", name=op.f("pk_liquidation_snapshots")),
    )
    op.create_index(
        "ix_liquidation_snapshots_fetched_at",
        "liquidation_snapshots",
        ["fetched_at"],
        unique=False,
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 32, "autosummarize": "on"},
    )
    op.create_table(
        "market_changes",
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("ts", sa.DateTime(timezone=True), nullable=False),
        sa.Column("price", sa.Double(), nullable=False),
        sa.Column("price_change_1m_pct", sa.REAL(), nullable=True),
        sa.Column("price_rank_1m", sa.SmallInteger(), nullable=True),
        sa.Column("price_change_5m_pct", sa.REAL(), nullable=True),
        sa.Column("price_rank_5m", sa.SmallInteger(), nullable=True),
        sa.Column("price_change_15m_pct", sa.REAL(), nullable=True),
        sa.Column("price_rank_15m", sa.SmallInteger(), nullable=True),
        sa.Column("price_change_30m_pct", sa.REAL(), nullable=True),
        sa.Column("price_rank_30m", sa.SmallInteger(), nullable=True),
        sa.Column("price_change_1h_pct", sa.REAL(), nullable=True),
        sa.Column("price_rank_1h", sa.SmallInteger(), nullable=True),
        sa.Column("price_change_4h_pct", sa.REAL(), nullable=True),
        sa.Column("price_rank_4h", sa.SmallInteger(), nullable=True),
        sa.Column("price_change_24h_pct", sa.REAL(), nullable=True),
        sa.Column("price_rank_24h", sa.SmallInteger(), nullable=True),
        sa.Column("oi_change_1m_pct", sa.REAL(), nullable=True),
        sa.Column("oi_rank_1m", sa.SmallInteger(), nullable=True),
        sa.Column("oi_change_5m_pct", sa.REAL(), nullable=True),
        sa.Column("oi_rank_5m", sa.SmallInteger(), nullable=True),
        sa.Column("oi_change_15m_pct", sa.REAL(), nullable=True),
        sa.Column("oi_rank_15m", sa.SmallInteger(), nullable=True),
        sa.Column("oi_change_30m_pct", sa.REAL(), nullable=True),
        sa.Column("oi_rank_30m", sa.SmallInteger(), nullable=True),
        sa.Column("oi_change_1h_pct", sa.REAL(), nullable=True),
        sa.Column("oi_rank_1h", sa.SmallInteger(), nullable=True),
        sa.Column("oi_change_4h_pct", sa.REAL(), nullable=True),
        sa.Column("oi_rank_4h", sa.SmallInteger(), nullable=True),
        sa.Column("oi_change_24h_pct", sa.REAL(), nullable=True),
        sa.Column("oi_rank_24h", sa.SmallInteger(), nullable=True),
        sa.Column("volume_change_1m_pct", sa.REAL(), nullable=True),
        sa.Column("volume_rank_1m", sa.SmallInteger(), nullable=True),
        sa.Column("volume_change_5m_pct", sa.REAL(), nullable=True),
        sa.Column("volume_rank_5m", sa.SmallInteger(), nullable=True),
        sa.Column("volume_change_15m_pct", sa.REAL(), nullable=True),
        sa.Column("volume_rank_15m", sa.SmallInteger(), nullable=True),
        sa.Column("volume_change_30m_pct", sa.REAL(), nullable=True),
        sa.Column("volume_rank_30m", sa.SmallInteger(), nullable=True),
        sa.Column("volume_change_1h_pct", sa.REAL(), nullable=True),
        sa.Column("volume_rank_1h", sa.SmallInteger(), nullable=True),
        sa.Column("volume_change_4h_pct", sa.REAL(), nullable=True),
        sa.Column("volume_rank_4h", sa.SmallInteger(), nullable=True),
        sa.Column("volume_change_24h_pct", sa.REAL(), nullable=True),
        sa.Column("volume_rank_24h", sa.SmallInteger(), nullable=True),
        sa.PrimaryKeyConstraint("symbol", "ts", name=op.f("pk_market_changes")),
    )
    op.create_index("ix_market_changes_ts", "market_changes", ["ts"], unique=False)
    op.create_table(
        "market_ticks",
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("ts", sa.DateTime(timezone=True), nullable=False),
        sa.Column("price", sa.Double(), nullable=False),
        sa.Column("mark_price", sa.Double(), nullable=True),
        sa.Column("open_interest", sa.Double(), nullable=True, comment="base coin, both sides"),
        sa.Column("turnover_24h_usd", sa.Double(), nullable=True),
        sa.Column("funding_rate_pct", sa.Double(), nullable=True),
        sa.Column("bid_price", sa.Double(), nullable=True),
        sa.Column("ask_price", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("symbol", "ts", name=op.f("pk_market_ticks")),
    )
    op.create_index(
        "ix_market_ticks_ts",
        "market_ticks",
        ["ts"],
        unique=False,
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 32, "autosummarize": "on"},
    )
    op.create_table(
        "oi_volume_spikes",
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("detected_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("oi_change_pct", sa.Double(), nullable=True, comment="over 15 minutes"),
        sa.Column(
            "volume_spike_ratio",
            sa.Double(),
            nullable=True,
            comment="5-minute volume over its 1-hour average",
        ),
        sa.Column("price_change_pct", sa.Double(), nullable=True, comment="over 5 minutes"),
        sa.Column("price", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("symbol", "detected_at", name=op.f("pk_oi_volume_spikes")),
    )
    op.create_index("ix_oi_volume_spikes_detected_at", "oi_volume_spikes", ["detected_at"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("event_key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("agent_name", sa.Text(), nullable=False),
        sa.Column("scanner", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("image", sa.LargeBinary(), nullable=True),
        sa.Column("status", sa.Text(), server_default="due", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True, comment="real time"),
        sa.Column(
            "held_until",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="the channel asked that nothing be sent to it before this",
        ),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("event_key", "channel", name=op.f("uq_outbox_event_key_channel")),
    )
    op.create_index(
        "ix_outbox_due", "outbox", ["due_at"], unique=False, postgresql_where="status in ('due', 'sending')"
    )
    op.create_table(
        "refresh_rounds",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("coins", sa.Integer(), nullable=False),
        sa.Column("maps_due", sa.Integer(), nullable=False),
        sa.Column("maps_stored", sa.Integer(), server_default="0", nullable=False),
        sa.Column("maps_unchanged", sa.Integer(), server_default="0", nullable=False),
        sa.Column("maps_failed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("batches_due", sa.Integer(), nullable=False),
        sa.Column("batches_done", sa.Integer(), server_default="0", nullable=False),
        sa.Column("status", sa.Text(), server_default="running", nullable=False),
        sa.Column(
            "problems",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="[]",
            nullable=False,
            comment="the first failed maps: coin, range, what was wrong",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refresh_rounds")),
    )
    op.create_index(op.f("ix_refresh_rounds_started_at"), "refresh_rounds", ["started_at"], unique=False)
    op.create_table(
        "signals",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.Column(
            "occasion",
            sa.Text(),
            nullable=False,
            comment="what makes it unique: symbol, direction and time slot",
        ),
        sa.Column("scanner", sa.Text(), nullable=False),
        sa.Column("triggered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("price", sa.Double(), nullable=False),
        sa.Column("oi_change_pct", sa.Double(), nullable=False),
        sa.Column("volume_spike_ratio", sa.Double(), nullable=False),
        sa.Column("price_change_pct", sa.Double(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("ranked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Text(), server_default="new", nullable=False),
        sa.Column("reasons", postgresql.JSONB(astext_type=sa.Text()), server_default="[]", nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("direction in ('LONG', 'SHORT')", name=op.f("ck_signals_direction")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signals")),
        sa.UniqueConstraint("occasion", name=op.f("uq_signals_occasion")),
    )
    op.create_index("ix_signals_triggered_at", "signals", ["triggered_at"], unique=False)
    op.create_table(
        "switches",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("is_on", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_switches")),
    )
    op.create_table(
        "task_runs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False, comment="real time"),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("duration_ms", sa.Double(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False, comment="ok, failed, skipped_overlap, expired"),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", "started_at", name=op.f("pk_task_runs")),
    )
    op.create_index(
        "ix_task_runs_started_at",
        "task_runs",
        ["started_at"],
        unique=False,
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 32, "autosummarize": "on"},
    )
    op.create_index("ix_task_runs_task_started_at", "task_runs", ["task", "started_at"], unique=False)
    op.create_table(
        "trade_plans",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("signal_id", sa.BigInteger(), nullable=False),
        sa.Column("agent_name", sa.Text(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="checking", nullable=False),
        sa.Column("reasons", postgresql.JSONB(astext_type=sa.Text()), server_default="[]", nullable=False),
        sa.Column("cluster_id", sa.BigInteger(), nullable=True),
        sa.Column("limit_price", sa.Numeric(precision=38, scale=18), nullable=True),
        sa.Column("expected_entry_price", sa.Numeric(precision=38, scale=18), nullable=True),
        sa.Column("stop_loss", sa.Numeric(precision=38, scale=18), nullable=True),
        sa.Column("take_profit", sa.Numeric(precision=38, scale=18), nullable=True),
        sa.Column("qty", sa.Numeric(precision=38, scale=18), nullable=True),
        sa.Column("leverage", sa.Numeric(precision=38, scale=18), nullable=True),
        sa.Column("liquidation_price", sa.Numeric(precision=38, scale=18), nullable=True),
        sa.Column("equity_usd", sa.Numeric(precision=38, scale=18), nullable=True),
        sa.Column("worst_loss_usd", sa.Numeric(precision=38, scale=18), nullable=True),
        sa.Column("reward_pct", sa.Double(), nullable=True),
        sa.Column("risk_pct", sa.Double(), nullable=True),
        sa.Column("costs_pct", sa.Double(), nullable=True),
        sa.Column("success_rate", sa.Double(), nullable=True),
        sa.Column("observations", sa.Integer(), nullable=True),
        sa.Column(
            "inputs",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="{}",
            nullable=False,
            comment="age of each input, seconds",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["cluster_id"], ["liquidation_clusters.id"], name=op.f("fk_trade_plans_cluster_id")
        ),
        sa.ForeignKeyConstraint(["signal_id"], ["signals.id"], name=op.f("fk_trade_plans_signal_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trade_plans")),
        sa.UniqueConstraint("signal_id", "agent_name", name=op.f("uq_trade_plans_signal_id_agent_name")),
    )
    op.create_index("ix_trade_plans_status", "trade_plans", ["status"], unique=False)
    op.create_index(
        "uq_trade_plans_active_symbol",
        "trade_plans",
        ["symbol"],
        unique=True,
        postgresql_where="status in ('entering', 'open')",
    )
    op.create_table(
        "trades",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("agent_name", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("entry_price", sa.Numeric(precision=38, scale=18), nullable=False),
        sa.Column("exit_price", sa.Numeric(precision=38, scale=18), nullable=True),
        sa.Column(
            "qty", sa.Numeric(precision=38, scale=18), nullable=False, comment="largest size the position had"
        ),
        sa.Column("open_qty", sa.Numeric(precision=38, scale=18), nullable=False),
        sa.Column(
            "pnl_pct", sa.Double(), nullable=True, comment="per cent of entry value, after fees and funding"
        ),
        sa.Column(
            "pnl_usd", sa.Numeric(precision=38, scale=18), nullable=True, comment="after fees and funding"
        ),
        sa.Column("fees_usd", sa.Numeric(precision=38, scale=18), server_default="0", nullable=False),
        sa.Column("stop_loss", sa.Numeric(precision=38, scale=18), nullable=True),
        sa.Column("initial_stop_loss", sa.Numeric(precision=38, scale=18), nullable=True),
        sa.Column("take_profit", sa.Numeric(precision=38, scale=18), nullable=True),
        sa.Column("entry_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("exit_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("status", sa.Text(), server_default="open", nullable=False),
        sa.Column("exit_reason", sa.Text(), nullable=True),
        sa.Column("notes", sa.Text(), nullable=True),
        sa.Column("plan_id", sa.BigInteger(), nullable=True),
        sa.Column("leverage", sa.Numeric(precision=38, scale=18), nullable=True),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("side in ('LONG', 'SHORT')", name=op.f("ck_trades_side")),
        sa.CheckConstraint("status in ('open', 'closed', 'stopped_out')", name=op.f("ck_trades_status")),
        sa.ForeignKeyConstraint(["plan_id"], ["trade_plans.id"], name=op.f("fk_trades_plan_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trades")),
    )
    op.create_index("ix_trades_entry_time", "trades", ["entry_time"], unique=False)
    op.create_index(
        "uq_trades_open_symbol", "trades", ["symbol"], unique=True, postgresql_where="status = 'open'"
    )
    op.create_table(
        "fills",
        sa.Column("exec_id", sa.Text(), nullable=False),
        sa.Column("order_link_id", sa.Text(), nullable=True),
        sa.Column("exchange_order_id", sa.Text(), nullable=False),
        sa.Column("trade_id", sa.BigInteger(), nullable=True),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("price", sa.Numeric(precision=38, scale=18), nullable=False),
        sa.Column("qty", sa.Numeric(precision=38, scale=18), nullable=False),
        sa.Column("fee_usd", sa.Numeric(precision=38, scale=18), nullable=False),
        sa.Column("is_maker", sa.Boolean(), nullable=False),
        sa.Column("exec_type", sa.Text(), nullable=False),
        sa.Column("stop_order_type", sa.Text(), nullable=True),
        sa.Column("closed_qty", sa.Numeric(precision=38, scale=18), nullable=False),
        sa.Column("executed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False, comment="stream or poll"),
        sa.ForeignKeyConstraint(["trade_id"], ["trades.id"], name=op.f("fk_fills_trade_id")),
        sa.PrimaryKeyConstraint("exec_id", name=op.f("pk_fills")),
    )
    op.create_index("ix_fills_symbol_executed_at", "fills", ["symbol", "executed_at"], unique=False)
    op.create_index("ix_fills_trade_id", "fills", ["trade_id"], unique=False)
    op.create_table(
        "orders",
        sa.Column("order_link_id", sa.String(length=36), nullable=False),
        sa.Column("agent_name", sa.Text(), nullable=False),
        sa.Column("plan_id", sa.BigInteger(), nullable=True),
        sa.Column("trade_id", sa.BigInteger(), nullable=True),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("leg", sa.Text(), nullable=False, comment="e0.. entry rungs, x0.. exits"),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("order_type", sa.Text(), nullable=False),
        sa.Column("time_in_force", sa.Text(), nullable=False),
        sa.Column("price", sa.Numeric(precision=38, scale=18), nullable=True),
        sa.Column("qty", sa.Numeric(precision=38, scale=18), nullable=False),
        sa.Column("reduce_only", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("stop_loss", sa.Numeric(precision=38, scale=18), nullable=True),
        sa.Column("take_profit", sa.Numeric(precision=38, scale=18), nullable=True),
        sa.Column("status", sa.Text(), server_default="intent", nullable=False),
        sa.Column("exchange_order_id", sa.Text(), nullable=True),
        sa.Column("filled_qty", sa.Numeric(precision=38, scale=18), server_default="0", nullable=False),
        sa.Column("avg_fill_price", sa.Numeric(precision=38, scale=18), nullable=True),
        sa.Column("reject_code", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("side in ('Buy', 'Sell')", name=op.f("ck_orders_side")),
        sa.CheckConstraint(
            "status in ('intent', 'sent', 'unknown', 'new', 'partially_filled', 'filled', 'cancelled', 'rejected', 'refused')",
            name=op.f("ck_orders_status"),
        ),
        sa.CheckConstraint("qty > 0", name=op.f("ck_orders_qty")),
        sa.CheckConstraint("reduce_only or stop_loss is not null", name=op.f("ck_orders_entry_has_stop")),
        sa.ForeignKeyConstraint(["plan_id"], ["trade_plans.id"], name=op.f("fk_orders_plan_id")),
        sa.ForeignKeyConstraint(["trade_id"], ["trades.id"], name=op.f("fk_orders_trade_id")),
        sa.PrimaryKeyConstraint("order_link_id", name=op.f("pk_orders")),
    )
    op.create_index(op.f("ix_orders_exchange_order_id"), "orders", ["exchange_order_id"], unique=False)
    op.create_index("ix_orders_plan_id", "orders", ["plan_id"], unique=False)
    op.create_index(
        "ix_orders_unfinished",
        "orders",
        ["symbol"],
        unique=False,
        postgresql_where="status in ('intent', 'sent', 'unknown', 'new', 'partially_filled')",
    )
    op.create_table(
        "position_monitor_logs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("trade_id", sa.BigInteger(), nullable=True),
        sa.Column("agent_name", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False, comment="trail, protect, extend_target"),
        sa.Column("old_stop_loss", sa.Numeric(precision=38, scale=18), nullable=True),
        sa.Column("new_stop_loss", sa.Numeric(precision=38, scale=18), nullable=True),
        sa.Column("old_take_profit", sa.Numeric(precision=38, scale=18), nullable=True),
        sa.Column("new_take_profit", sa.Numeric(precision=38, scale=18), nullable=True),
        sa.Column("profit_pct_at_action", sa.Double(), nullable=True),
        sa.Column("price", sa.Numeric(precision=38, scale=18), nullable=True),
        sa.Column("status", sa.Text(), server_default="intent", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["trade_id"], ["trades.id"], name=op.f("fk_position_monitor_logs_trade_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_position_monitor_logs")),
    )
    op.create_index("ix_position_monitor_logs_trade_id", "position_monitor_logs", ["trade_id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_position_monitor_logs_trade_id", table_name="position_monitor_logs")
    op.drop_table("position_monitor_logs")
    op.drop_index(
        "ix_orders_unfinished",
        table_name="orders",
        postgresql_where="status in ('intent', 'sent', 'unknown', 'new', 'partially_filled')",
    )
    op.drop_index("ix_orders_plan_id", table_name="orders")
    op.drop_index(op.f("ix_orders_exchange_order_id"), table_name="orders")
    op.drop_table("orders")
    op.drop_index("ix_fills_trade_id", table_name="fills")
    op.drop_index("ix_fills_symbol_executed_at", table_name="fills")
    op.drop_table("fills")
    op.drop_index("uq_trades_open_symbol", table_name="trades", postgresql_where="status = 'open'")
    op.drop_index("ix_trades_entry_time", table_name="trades")
    op.drop_table("trades")
    op.drop_index(
        "uq_trade_plans_active_symbol",
        table_name="trade_plans",
        postgresql_where="status in ('entering', 'open')",
    )
    op.drop_index("ix_trade_plans_status", table_name="trade_plans")
    op.drop_table("trade_plans")
    op.drop_index("ix_task_runs_task_started_at", table_name="task_runs")
    op.drop_index(
        "ix_task_runs_started_at",
        table_name="task_runs",
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 32, "autosummarize": "on"},
    )
    op.drop_table("task_runs")
    op.drop_table("switches")
    op.drop_index("ix_signals_triggered_at", table_name="signals")
    op.drop_table("signals")
    op.drop_index(op.f("ix_refresh_rounds_started_at"), table_name="refresh_rounds")
    op.drop_table("refresh_rounds")
    op.drop_index("ix_outbox_due", table_name="outbox", postgresql_where="status in ('due', 'sending')")
    op.drop_table("outbox")
    op.drop_index("ix_oi_volume_spikes_detected_at", table_name="oi_volume_spikes")
    op.drop_table("oi_volume_spikes")
    op.drop_index(
        "ix_market_ticks_ts",
        table_name="market_ticks",
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 32, "autosummarize": "on"},
    )
    op.drop_table("market_ticks")
    op.drop_index("ix_market_changes_ts", table_name="market_changes")
    op.drop_table("market_changes")
    op.drop_index(
        "ix_liquidation_snapshots_fetched_at",
        table_name="liquidation_snapshots",
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 32, "autosummarize": "on"},
    )
    op.drop_table("liquidation_snapshots")
    op.drop_index(op.f("ix_liquidation_orders_symbol"), table_name="liquidation_orders")
    op.drop_table("liquidation_orders")
    op.drop_index("ix_liquidation_clusters_symbol_detected_at", table_name="liquidation_clusters")
    op.drop_index(
        "ix_liquidation_clusters_open",
        table_name="liquidation_clusters",
        postgresql_where="hit_target is null",
    )
    op.drop_table("liquidation_clusters")
    op.drop_index("ix_fast_price_movers_detected_at", table_name="fast_price_movers")
    op.drop_table("fast_price_movers")
    op.drop_index(op.f("ix_coins_coinglass_symbol"), table_name="coins")
    op.drop_table("coins")
    op.drop_table("coin_thresholds")
    op.drop_index("ix_coin_rankings_created_at", table_name="coin_rankings")
    op.drop_table("coin_rankings")
    op.drop_table("coin_liquidation_patterns")
    op.drop_index(
        "ix_candles_start_at",
        table_name="candles",
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 32, "autosummarize": "on"},
    )
    op.drop_table("candles")
    op.drop_table("api_usage")
    op.drop_index("ix_agent_logs_created_at", table_name="agent_logs")
    op.drop_table("agent_logs")
