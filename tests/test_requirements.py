"""What requirements.txt brings is all that the running system imports."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]

# Refuses what is installed here for the tests only, then imports every module of the system, and what
# a worker imports by name at its start: the transport, the beat scheduler, the web page of the workers.
IMPORTING = """
import importlib, pkgutil, sys
refused = set(sys.argv[1].split(","))
class NotThere:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in refused:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, NotThere())
import whalestack
names = [found.name for found in pkgutil.walk_packages(whalestack.__path__, "whalestack.")]
for name in [*names, "kombu.transport.redis", "celery.backends.redis", "redbeat", "flower.command"]:
    if not name.endswith("__main__"):
        importlib.import_module(name)
"""


def _brought(requirement: Requirement) -> Iterator[str]:
    """Names of the distributions that installing `requirement` brings, itself among them."""
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [requirement]
    while waiting:
        each = waiting.pop()
        name, extras = canonicalize_name(each.name), frozenset(each.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        yield name
        try:
            needs = distribution(name).requires or []
        except PackageNotFoundError:
            continue  # needed on another platform or by another Python
        for need in map(Requirement, needs):
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras | {""}):
                waiting.append(need)


def _for_running() -> set[str]:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    wanted = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {name for each in wanted for name in _brought(each)} | {"whalestack"}


def test_the_running_system_imports_nothing_that_only_the_tests_bring() -> None:
    allowed = _for_running()
    refused = {
        module
        for module, owners in packages_distributions().items()
        if not {canonicalize_name(owner) for owner in owners} & allowed
    }
    assert {"pytest", "hypothesis"} <= refused, "the tests' own packages must be among those refused"

    done = subprocess.run(
        [sys.executable, "-c", IMPORTING, ",".join(sorted(refused))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-2000:]
