"""Holding an output folder, so that two processes never write to it at once."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from saq_eval.core.errors import SaqEvalError

_LOCK, _HOLDER = ".held", ".holder"


@contextlib.contextmanager
def held(folder: Path, *, join: bool) -> Iterator[bool]:
    """Hold an output folder for this process while the context lasts; yield whether this process holds it.

    It is released when the process ends, however it ends.

    Args:
        folder: created if it does not exist.
        join: go on without holding it if another process does, and yield false.

    Raises:
        SaqEvalError: if another process holds it, unless `join`; the message says which. If it cannot be written.
    """
    lock = FileLock(folder / _LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        if not join:
            raise SaqEvalError(
                f"{folder} is being written by {_holder(folder)}: wait for it, name another output folder, or share its work "
                "with --join"
            ) from None
        yield False
        return
    except NotImplementedError:  # a file system without locks
        yield True
        return
    except OSError as error:
        raise SaqEvalError(f"the output folder {folder} cannot be written: {error.strerror}") from error
    try:
        with contextlib.suppress(OSError):
            started = datetime.now().astimezone().isoformat(timespec="seconds")
            about = f"process {os.getpid()} on {platform.node() or 'this machine'}, since {started}"
            (folder / _HOLDER).write_text(about, encoding="utf-8", errors="backslashreplace")
        yield True
    finally:
        with contextlib.suppress(OSError):
            (folder / _HOLDER).unlink(missing_ok=True)
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _holder(folder: Path) -> str:
    try:
        return (folder / _HOLDER).read_text(encoding="utf-8", errors="replace")[:200] or "another process"
    except OSError:
        return "another process"
