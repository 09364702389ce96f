"""Folders for temporary files, and the removal of those that killed processes have left."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from saq_eval.core.errors import CannotWrite

_LOCK = ".lock"  # held by the process that made the folder, until it ends


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a new folder among the system's temporary files; it is removed at the end.

    If the process is killed, the next process on this machine that makes such a folder removes it.

    Raises:
        CannotWrite: if no folder can be made.
    """
    try:
        _remove_left()
        folder, lock = _made()
    except OSError as error:
        raise CannotWrite("the folder of temporary files", error) from error
    try:
        yield folder
    finally:
        if lock is not None:
            lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def _prefix() -> str:
    # With the machine's name: on a file system that machines share, a lock may hold on one machine only.
    return f"saq_eval-{re.sub('[^A-Za-z0-9]', '', platform.node())[:32]}-"


def _made() -> tuple[Path, FileLock | None]:
    """Return a new folder and its lock, which is held; `None` where the file system has no locks."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_prefix()))
        lock = FileLock(folder / _LOCK)
        try:
            lock.acquire(timeout=0)
        except (Timeout, FileNotFoundError):  # another process has seen it before it was locked, and removes it
            continue
        except (OSError, NotImplementedError):
            return folder, None
        if (folder / _LOCK).exists():
            return folder, lock
        lock.release()


def _remove_left() -> None:
    """Remove this user's folders whose locks nobody holds."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_prefix()}*"):
        with contextlib.suppress(Timeout, OSError, NotImplementedError):
            if not _is_own_folder(folder) or not (folder / _LOCK).exists():
                continue
            with FileLock(folder / _LOCK, timeout=0):
                shutil.rmtree(folder, ignore_errors=True)


def _is_own_folder(path: Path) -> bool:
    about = path.lstat()
    owner = os.getuid() if hasattr(os, "getuid") else about.st_uid
    return stat.S_ISDIR(about.st_mode) and about.st_uid == owner
