"""The folders of the embedded services: who can enter them, and private ones for sockets."""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path


class EmbeddedFailed(Exception):
    """An embedded service cannot start; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The user a service runs as."""

    uid: int
    gid: int
    name: str


def service_user() -> Identity | None:
    """Return the user PostgreSQL shall run as when we are root, which it refuses to be; None when we are not."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Identity(entry.pw_uid, entry.pw_gid, name)
    raise EmbeddedFailed(
        "PostgreSQL does not run as root and there is no user postgres or nobody. Start as another user."
    )


def can_enter(folder: Path, user: Identity | None) -> bool:
    """Tell whether this user may pass through every existing folder down to this one."""
    if user is None:
        return True
    return all(_passes(part.stat(), user) for part in (folder, *folder.parents) if part.exists())


def _passes(status: os.stat_result, user: Identity) -> bool:
    if status.st_uid == user.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == user.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def private_folder(folder: Path, user: Identity | None, mode: int = 0o700) -> Path:
    """Make a folder that belongs to this user; refuse one that somebody else made before us (in /tmp)."""
    folder.mkdir(parents=True, exist_ok=True, mode=mode)
    status = folder.lstat()
    owner = user.uid if user else os.getuid()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in (owner, os.getuid()):
        raise EmbeddedFailed(f"{folder} belongs to another user. Start Baton as that user, or remove it.")
    if user:
        os.chown(folder, user.uid, user.gid)
    folder.chmod(mode)
    return folder
