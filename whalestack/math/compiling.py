"""How the compiled passes are compiled. Importing it loads numba, so only kernels do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compiled at its first call; kept on disk where some folder can be written."""
    return _jit(function)


def inlined(function: Function) -> Function:
    """Made part of whoever calls it before that is compiled, and never compiled by itself.

    For what has one caller: a function that is called is optimised once by itself and once more with
    each of its callers, and so takes several times as long to compile.
    """
    return _jit(function, is_inlined=True)


def _jit(function: Function, *, is_inlined: bool = False) -> Function:
    inline: Literal["always", "never"] = "always" if is_inlined else "never"
    try:
        done = numba.njit(cache=True, error_model="numpy", inline=inline, _nrt=False)(function)
    except RuntimeError:
        # "No locator available": a read-only installation without a home.
        done = numba.njit(error_model="numpy", inline=inline, _nrt=False)(function)
    return cast(Function, done)
