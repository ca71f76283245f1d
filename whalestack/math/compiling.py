"""How the compiled passes are compiled. Importing it loads numba, so only kernels do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compiled at its first call; kept on disk where some folder can be written."""
    return _jit(function)


def inlined(function: Function) -> Function:
    """As `compiled`, and put into whoever calls it: for what a pass does for every candle."""
    return _jit(function, forceinline=True)


def _jit(function: Function, *, forceinline: bool = False) -> Function:
    try:
        done = numba.njit(cache=True, error_model="numpy", forceinline=forceinline)(function)
    except RuntimeError:
        # "No locator available": a read-only installation without a home.
        done = numba.njit(error_model="numpy", forceinline=forceinline)(function)
    return cast(Function, done)
