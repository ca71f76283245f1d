"""What decoding a heat map and finding its clusters costs, against decoding its JSON alone.

    python benchmarks/decode.py

Maps of the sizes that were recorded for BTC, 24h: 17,457 (model1), 31,788 (model2) and 54,859 triples
(model3). Three ways: `json` is msgspec making Python objects of the reply (`json_stdlib`: the standard
library), `last_column` is what nearly every map goes through (reply to clusters), `all_columns` what
the 30d map does: every cell decoded, the 14d map derived, the clusters of both. CPU time of the thread,
in ms: the median of `--repeats`, and the ratio to `json` of the same map. `peak_mb` is the most memory that
one decoding holds beside the reply. To reach: a ratio of 2 at 17,457 triples. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import tracemalloc
from collections.abc import Callable
from statistics import median
from typing import Any

import msgspec
import numpy as np

from whalestack.clients.coinglass.heatmap_reply import decode_heatmap
from whalestack.clients.coinglass.types import Heatmap
from whalestack.math.clusters import Cluster, find_clusters
from whalestack.math.heatmap import LevelMap, derive_14d, last_column

PRICE = 76_729.6
NOW_S = 1_777_368_600
# Triples, levels, and whether they come column by column, as recorded for each model.
MODELS = {"model1": (17_457, 127, True), "model2": (31_788, 119, False), "model3": (54_859, 390, False)}
COLUMNS = {"24h": (288, 300), "30d": (372, 7200)}
MOST_RATIO = 2.0


def reply(model: str, timeframe: str, seed: int = 7) -> bytes:
    """A reply of the recorded size and layout with made-up figures."""
    triples, levels, by_column = MODELS[model]
    columns, column_s = COLUMNS[timeframe]
    random = np.random.default_rng(seed)
    places = np.sort(random.choice(levels * columns, triples, replace=False))
    xs, ys = np.divmod(places, levels) if by_column else np.divmod(places, columns)[::-1]
    values = np.round(np.exp(random.normal(13, 1.5, triples)), 2)
    first_s = NOW_S - column_s * (columns - 1)
    candle = [f"{PRICE:.1f}"] * 4
    data = {
        "y_axis": np.round(PRICE * np.linspace(0.91, 1.1, levels), 2).tolist(),
        "liquidation_leverage_data": [
            list(cell) for cell in zip(xs.tolist(), ys.tolist(), values.tolist(), strict=True)
        ],
        "price_candlesticks": [
            [first_s + column_s * n, *candle, f"{random.uniform(1e7, 9e7):.4f}"] for n in range(columns)
        ],
        "update_time": NOW_S * 1000 + 46_129,
    }
    return json.dumps({"code": "0", "msg": "success", "data": data}, separators=(",", ":")).encode()


def clusters_of(body: bytes) -> tuple[Cluster, ...]:
    """From the reply to the clusters of what stands now."""
    heatmap = decode_heatmap(body, "BTC", "24h")
    return find_clusters(_level_map(heatmap, "24h", _now(heatmap)))


def clusters_of_both(body: bytes) -> tuple[Cluster, ...]:
    """From the 30d map's reply to its clusters and those of the 14d map."""
    heatmap = decode_heatmap(body, "BTC", "30d", all_columns=True)
    younger = derive_14d(
        heatmap.y_axis, heatmap.xs, heatmap.ys, heatmap.values, heatmap.column_times_ms, NOW_S * 1000
    )
    now = find_clusters(_level_map(heatmap, "30d", _now(heatmap)))
    return now + find_clusters(_level_map(heatmap, "14d", younger))


def _now(heatmap: Heatmap) -> Any:
    return last_column(heatmap.y_axis, heatmap.xs, heatmap.ys, heatmap.values, heatmap.n_columns)


def _level_map(heatmap: Heatmap, timeframe: str, values: Any) -> LevelMap:
    return LevelMap(timeframe, heatmap.price, heatmap.y_axis, values, NOW_S * 1000)


def cpu_ms(act: Callable[[], object], repeats: int) -> float:
    """The median CPU time of this thread."""
    taken = []
    for _ in range(repeats):
        began = time.thread_time()
        act()
        taken.append(time.thread_time() - began)
    return median(taken) * 1000


def peak_mb(act: Callable[[], object]) -> float:
    """The most that is held at once."""
    act()
    tracemalloc.start()
    act()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return round(peak / 1e6, 2)


def measure(model: str, repeats: int) -> dict[str, Any]:
    """One size."""
    now, month = reply(model, "24h"), reply(model, "30d")
    base, base_month = (cpu_ms(lambda body=body: msgspec.json.decode(body), repeats) for body in (now, month))
    last, both = cpu_ms(lambda: clusters_of(now), repeats), cpu_ms(lambda: clusters_of_both(month), repeats)
    return {
        "triples": MODELS[model][0],
        "reply_kb": round(len(now) / 1000),
        "json_ms": round(base, 2),
        "json_stdlib_ms": round(cpu_ms(lambda: json.loads(now), repeats), 2),
        "last_column_ms": round(last, 2),
        "last_column_ratio": round(last / base, 2),
        "all_columns_ms": round(both, 2),
        "all_columns_ratio": round(both / base_month, 2),
        "json_peak_mb": peak_mb(lambda: msgspec.json.decode(now)),
        "last_column_peak_mb": peak_mb(lambda: clusters_of(now)),
        "all_columns_peak_mb": peak_mb(lambda: clusters_of_both(month)),
    }


def main() -> int:
    """Measure, and print the line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=100)
    repeats = parser.parse_args().repeats
    load = round(os.getloadavg()[0], 2)
    sizes = {model: measure(model, repeats) for model in MODELS}
    ratio = max(sizes["model1"][f"{way}_ratio"] for way in ("last_column", "all_columns"))
    line = {
        "benchmark": "decode",
        "simulator_share": 0.0,
        "load_before": load,
        "sizes": sizes,
        "worst_ratio_17k": ratio,
        "most_ratio": MOST_RATIO,
        "reached": ratio <= MOST_RATIO,
    }
    print(json.dumps(line))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
