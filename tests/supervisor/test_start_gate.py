"""A start trades nothing before both sides have been compared."""

from __future__ import annotations

from types import SimpleNamespace

from whalestack.supervisor.plan import STAGE_BEAT, STAGE_STREAMS, STAGE_WORKERS
from whalestack.supervisor.up import start_stages


def test_the_gate_is_shut_before_the_first_worker_starts() -> None:
    """A gate that was open when the system stopped is open still, and messages of then may wait in Redis."""
    order: list[object] = []
    supervisor = SimpleNamespace(start=order.append, processes=[])
    runtime = SimpleNamespace(
        coin_scanner=SimpleNamespace(refresh=lambda: None),
        reconciler=SimpleNamespace(require=lambda _reason: order.append("gate shut")),
        settings=None,
    )
    start_stages(supervisor, runtime)  # type: ignore[arg-type]
    assert order.index("gate shut") < order.index(STAGE_WORKERS)
    assert order.index(STAGE_WORKERS) < order.index(STAGE_STREAMS) < order.index(STAGE_BEAT)
