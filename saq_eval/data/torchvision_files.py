"""Files in the layouts of torchvision's data sets: read, and downloaded where torchvision can."""

from __future__ import annotations

import contextlib
import io
import os
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from saq_eval.core.errors import SaqEvalError

T = TypeVar("T")


def read_or_download(name: str, folder: Path, data_root: Path, files: Sequence[str], read: Callable[[], T]) -> T:
    """Return what torchvision reads of a dataset; a failed download leaves no empty folders.

    Args:
        name: the dataset's registered name, for the message.
        folder: where the files are looked for: in or below the data root.
        files: what the files are called, for the message.
        read: calls torchvision, which checks the files against their MD5 sums and downloads those that are missing.

    Raises:
        SaqEvalError: files that are missing and cannot be downloaded, or that are damaged.
    """
    folders = [folder, *(parent for parent in folder.parents if parent.is_relative_to(data_root))]
    missing = [path for path in folders if not os.path.exists(path)]
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # torchvision prints each mirror it tries
            return read()
    except (
        *(OSError, RuntimeError, ValueError, AssertionError, EOFError, KeyError, TypeError),
        *(zlib.error, zipfile.BadZipFile, ImportError),
    ) as error:
        for path in missing:
            with contextlib.suppress(OSError):
                path.rmdir()
        reason = str(error).strip().partition("\n")[0].rstrip(":") or type(error).__name__
        raise SaqEvalError(
            f"{name}: could not read or download its files ({reason}): looked for {', '.join(files)} in {folder}; "
            "set --data-root or SAQ_EVAL_DATA_ROOT to a folder that holds them, "
            "or use --dataset digits, which needs none"
        ) from error
