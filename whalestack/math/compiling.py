"""How the compiled passes are compiled. Importing it loads numba, so only kernels do."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])

PACKAGE = Path(__file__).parents[1]
COMPILED_FROM = ("math", "backtest", "db/cluster_store.py")
"""Where kernels, what they make part of themselves, and the constants that they take stand."""


def compiled(function: Function) -> Function:
    """Compiled at its first call; kept on disk where some folder can be written.

    Nothing in it may make an array: references to arrays are not counted, which takes half the time of
    loops over small ones. It works on what it is given.
    """
    return _jit(function)


def inlined(function: Function) -> Function:
    """Made part of whoever calls it before that is compiled, and never compiled by itself.

    For what has one caller: a function that is called is optimised once by itself and once more with
    each of its callers, and so takes several times as long to compile.
    """
    return _jit(function, is_inlined=True)


def _jit(function: Function, *, is_inlined: bool = False) -> Function:
    # `_nrt` stands in no list of arguments: reference counting, and with it making arrays.
    options: dict[str, Any] = {"error_model": "numpy", "inline": "always" if is_inlined else "never"}
    options["_nrt"] = False
    try:
        done = numba.njit(cache=True, **options)(function)
    except RuntimeError:
        # "No locator available": a read-only installation without a home.
        done = numba.njit(**options)(function)
    else:
        _forget_when_anything_changed(done)
    return cast(Function, done)


def _forget_when_anything_changed(dispatcher: Any) -> None:
    """What is kept on disk counts while all the sources that went into it are the same.

    numba looks at the file of the function only: after an update it would go on with what other files
    had made part of it, and with the constants of before.
    """
    kept = dispatcher._cache._cache_file
    kept._source_stamp = (kept._source_stamp, sources_stamp())


@cache
def sources_stamp() -> str:
    """Of everything that is compiled, and of what goes into it."""
    digest = hashlib.sha256()
    for path in compiled_from():
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def compiled_from() -> Iterator[Path]:
    """The files of `COMPILED_FROM`."""
    for name in COMPILED_FROM:
        path = PACKAGE / name
        yield from sorted(path.glob("*.py")) if path.is_dir() else [path]
