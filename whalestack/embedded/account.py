"""Under which account a server runs, and where that account can reach files.

PostgreSQL refuses to run as root. Started by root, servers run as `nobody`; started by
anybody else, as that user. No account is made and no permission of a foreign folder is
changed: what `nobody` cannot reach is put under /var/tmp instead.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from whalestack.errors import StopAndTell


@dataclass(frozen=True)
class Account:
    """A user to run a server as.

    Args:
        uid: user id.
        gid: group id.
        switches: whether it is another account than that of this process.
    """

    uid: int
    gid: int
    switches: bool


def server_account() -> Account:
    """The account for servers: this user, or `nobody` when this user is root.

    Raises:
        StopAndTell: root on a machine without the account `nobody`.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), switches=False)
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise StopAndTell(
            "PostgreSQL does not run as root and there is no account 'nobody' here; run as another user"
        ) from None
    return Account(entry.pw_uid, entry.pw_gid, switches=True)


def can_reach(account: Account, path: Path) -> bool:
    """Whether the account can enter every existing folder on the way to `path`."""
    if not account.switches:
        return True
    ways = {*path.absolute().parents, *path.resolve().parents}  # a link may lead somewhere closed
    existing = [folder for folder in ways if folder.exists()]
    return all(_may_enter(account, folder.stat()) for folder in existing)


def _may_enter(account: Account, info: os.stat_result) -> bool:
    if info.st_uid == account.uid:
        return bool(info.st_mode & stat.S_IXUSR)
    return bool(info.st_mode & stat.S_IXOTH)


def private_directory(account: Account, wanted: Path) -> Path:
    """A folder that only the account (and root) can read, made if it is not there.

    Args:
        account: who shall own it.
        wanted: where it should be; used where the account can reach it.

    Returns:
        `wanted`, or a folder under /var/tmp that is the same one for the same `wanted`.
    """
    place = wanted.absolute()
    if not can_reach(account, place):
        digest = hashlib.sha256(str(place).encode()).hexdigest()[:16]
        place = Path("/var/tmp") / f"whalestack-{os.geteuid()}-{digest}"  # noqa: S108 - owner is checked below
    place.parent.mkdir(parents=True, exist_ok=True)
    place.mkdir(mode=0o700, exist_ok=True)
    _own(account, place)
    return place


def _own(account: Account, place: Path) -> None:
    info = place.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid not in (account.uid, os.geteuid()):
        raise StopAndTell(f"{place} belongs to somebody else; remove it or set RUN_DIR to another folder")
    if account.switches and info.st_uid != account.uid:
        os.chown(place, account.uid, account.gid)
    place.chmod(0o700)
