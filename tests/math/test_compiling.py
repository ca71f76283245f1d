"""Compiled code that is kept on disk is used only while nothing that went into it has changed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from whalestack.math import compiling

PROGRAM = """
from demo.math.outer import outer
print(outer(1), sum(outer.stats.cache_hits.values()))
"""


def package(folder: Path) -> Path:
    """A package whose compiled function makes another file's function part of itself."""
    math = folder / "demo" / "math"
    math.mkdir(parents=True)
    (folder / "demo" / "backtest").mkdir()
    (folder / "demo" / "db").mkdir()
    (folder / "demo" / "db" / "cluster_store.py").write_text("")
    for name in (folder / "demo", math):
        (name / "__init__.py").write_text("")
    shutil.copy(compiling.__file__, math / "compiling.py")
    (math / "outer.py").write_text(
        "from demo.math.compiling import compiled\nfrom demo.math.inner import inner\n\n\n"
        "@compiled\ndef outer(a):\n    return inner(a)\n"
    )
    write_inner(math, 1)
    return math


def write_inner(math: Path, added: int) -> None:
    (math / "inner.py").write_text(
        f"from demo.math.compiling import inlined\n\n\n@inlined\ndef inner(a):\n    return a + {added}\n"
    )


def printed(folder: Path) -> list[int]:
    """What the function gives in a process of its own, and how often it was found on disk."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    return [int(each) for each in done.stdout.split()]


def test_a_change_in_another_file_is_compiled_anew(tmp_path: Path) -> None:
    math = package(tmp_path)
    assert printed(tmp_path) == [2, 0]
    assert printed(tmp_path) == [2, 1]
    write_inner(math, 41)
    assert printed(tmp_path) == [42, 0]


def test_the_kernels_own_sources_are_all_looked_at() -> None:
    """Each file whose functions are compiled, or made part of such, is one of those that count."""
    own = set(compiling.compiled_from())
    door = "from whalestack.math.compiling"
    users = {path for path in compiling.PACKAGE.rglob("*.py") if door in path.read_text()}
    assert users
    assert users <= own
