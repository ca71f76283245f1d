"""Puts everything together for one process: settings, stores, clients, services.

Each part is made when it is first asked for, so a worker opens only what its queue needs,
and only after the fork.
"""

from whalestack.runtime.agents import wall_ms
from whalestack.runtime.process import Runtime, get_runtime

__all__ = ["Runtime", "get_runtime", "wall_ms"]
