"""The direction of dependencies, read from the source: a change against it fails here, with its line."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "whalestack"

GROUND = {"config", "clock", "errors", "dispatch", "raw_replies", "trader_list"}
SERVICES = {"scanners", "agents", "sockets"}
# What each part of the package may import besides itself. Parts that are not named here put
# the others together (tasks, cli, web, demo, ...) and may import anything but each other's tasks.
MAY_IMPORT = {
    "math": set(),
    "clock": set(),
    "errors": set(),
    "trader_list": set(),
    "settings": {"trader_list"},
    "config": {"clock", "errors", "settings", "trader_list"},
    "dispatch": {"errors"},
    "raw_replies": {"errors"},
    "db": {"math", *GROUND},
    "clients": {"math", "db", *GROUND},
    "scanners": {"math", "db", "clients", *SERVICES, *GROUND},
    "agents": {"math", "db", "clients", *SERVICES, *GROUND},
    "sockets": {"math", "db", "clients", *SERVICES, *GROUND},
    "simulator": {"math", *GROUND},
    "embedded": {"errors"},
    "backtest": {"math", "db", "clients", "scanners", "agents", "simulator", *GROUND},
}
# Of the layers that act, the backtest calls what decides and what the market is made of: functions of
# facts, rows as values, the exchange and the walk. Nothing there opens a connection.
BACKTEST_MAY_IMPORT = {
    "whalestack.agents": {"account", "desk", "guards", "kill_switch", "order_ids", "plan_inputs", "plans"}
    | {"pnl", "targets", "trading_gate"},
    "whalestack.clients": {"bybit.lengths", "bybit.types"},
    "whalestack.db": {"cluster_store", "live", "market_frames", "models", "pattern_store", "ranking_store"}
    | {"trading_inputs"},
    "whalestack.scanners": {"coin_history", "ranking", "signals", "thresholds"},
    "whalestack.simulator": {
        "exchange",
        "exchange.instrument",
        "exchange.order",
        "exchange.protective_orders",
        "exchange.refusals",
        "exchange.state",
        "market.base",
        "market.instruments",
        "market.open_interest",
        "market.played",
        "market.store",
        "market.walk",
    },
}
MAY_USE_CELERY = {"tasks"}
CELERY = {"celery", "kombu", "billiard", "redbeat", "flower"}
MAY_READ_ENVIRONMENT = {"config.py"}
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}


@dataclass(frozen=True)
class Import:
    """One import statement: where it stands and the dotted name that it brings."""

    path: str
    line: int
    name: str

    @property
    def part(self) -> str:
        """The part of the package that imports: a folder or a module of the top."""
        return Path(self.path).parts[0].removesuffix(".py")

    @property
    def target(self) -> str:
        """The part of the package that is imported, empty for anything else."""
        names = self.name.split(".")
        return names[1] if names[0] == "whalestack" and len(names) > 1 else ""


@cache
def sources() -> dict[str, ast.Module]:
    return {
        str(path.relative_to(PACKAGE)): ast.parse(path.read_text(), str(path))
        for path in sorted(PACKAGE.rglob("*.py"))
    }


@cache
def imports() -> tuple[Import, ...]:
    return tuple(_imports())


def _imports() -> Iterator[Import]:
    for path, tree in sources().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from (Import(path, node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                module = node.module or ""
                # `from whalestack import clock` imports the module clock.
                names = (
                    [f"{module}.{alias.name}" for alias in node.names] if module == "whalestack" else [module]
                )
                yield from (Import(path, node.lineno, name) for name in names)


@pytest.mark.parametrize("part", sorted(MAY_IMPORT))
def test_each_part_imports_only_what_lies_below_it(part: str) -> None:
    allowed = MAY_IMPORT[part] | {part, "", "__version__"}

    assert [] == [found for found in imports() if found.part == part and found.target not in allowed]


def test_the_backtest_calls_what_decides_and_nothing_that_acts() -> None:
    strangers = [
        found
        for found in imports()
        for layer, allowed in BACKTEST_MAY_IMPORT.items()
        if found.part == "backtest"
        and found.name.startswith(f"{layer}.")
        and found.name.removeprefix(f"{layer}.") not in allowed
    ]

    assert [] == strangers


def test_only_tasks_knows_celery() -> None:
    users = [found for found in imports() if found.name.split(".")[0] in CELERY]

    assert [] == [found for found in users if found.part not in MAY_USE_CELERY]


def test_only_config_reads_the_environment() -> None:
    readers = [
        (path, node.lineno)
        for path, tree in sources().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr in ("environ", "getenv")
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    ]

    assert [] == [(path, line) for path, line in readers if path not in MAY_READ_ENVIRONMENT]


def test_imports_are_absolute() -> None:
    relative = [
        (path, node.lineno)
        for path, tree in sources().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
    ]

    assert [] == relative


def test_every_file_is_named_for_its_subject() -> None:
    assert [] == [path for path in sources() if Path(path).stem in VAGUE_NAMES]


def test_files_stay_short_enough_to_be_read() -> None:
    lengths = {path: len((PACKAGE / path).read_text().splitlines()) for path in sources()}

    assert {} == {path: lines for path, lines in lengths.items() if lines > 450}
