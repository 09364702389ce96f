"""The store: a folder of entries, which processes and machines share.

Plain files are used, and no data base: a file that is moved to its name in one step is either there or not, whatever kills the
process that writes it, and this holds on network file systems too, where locks of a data base may fail. Nothing rests on a
lock. Locks only keep two processes from computing the same thing.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from saq_eval.core.errors import CannotWrite, SaqEvalError, SaqEvalWarning
from saq_eval.evaluation.store.entries import Damaged, Entry, Key, digest_of_key, key_text, read_entry, write_entry
from saq_eval.evaluation.store.files import PARTIAL, is_partial

KINDS = ("cells", "explained", "maps", "logits", "gaps", "tables")
LOCKS, RUNS = "locks", "runs"
MARK = "store.json"  # the file that shows that a folder is a store
STORE = "store"  # the name of a store in an output folder
LAYOUT = 1  # of the files; raised when other versions can no longer read it
Arrays = Mapping[str, np.ndarray]


class Store:
    """A folder of entries: `<kind>/<two digits>/<hash of the key>.safetensors`.

    It may be used by several processes at once. A damaged file counts as missing, and is removed.

    Attributes:
        folder: the folder; see `make_store`.
        damaged: what damaged files were found by this object, in sentences.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.damaged: list[str] = []

    def path(self, key: Key) -> Path:
        """Return where the entry of a key is, or would be."""
        digest = digest_of_key(key)
        return self.folder / key["kind"] / digest[:2] / f"{digest}.safetensors"

    def get(self, key: Key) -> Entry | None:
        """Return the entry of a key; `None` if there is none, or it was damaged."""
        path = self.path(key)
        try:
            entry = read_entry(path)
            if entry.key != key_text(key):
                raise Damaged(f"{path} is damaged: it belongs to another key")
        except FileNotFoundError:
            return None
        except Damaged as error:
            self.damaged.append(str(error))
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            return None
        return entry

    def take_damaged(self) -> tuple[str, ...]:
        """Return what damaged files were found since the last call, in sentences."""
        damaged, self.damaged = tuple(self.damaged), []
        return damaged

    def put(self, key: Key, arrays: Arrays, facts: Mapping[str, str] | None = None) -> None:
        """Write the entry of a key; raises `CannotWrite` if that fails."""
        write_entry(self.path(key), key, arrays, facts)

    def once(self, key: Key, compute: Callable[[], Arrays]) -> tuple[Entry, bool]:
        """Return the entry of a key, and whether it was computed now. If another process computes it, wait for that."""
        entry = self.get(key)
        if entry is not None:
            return entry, False
        with self._lock(key, wait=True):
            entry = self.get(key)
            if entry is not None:
                return entry, False
            self.put(key, compute())
        entry = self.get(key)
        if entry is None:
            raise CannotWrite(self.path(key), OSError(None, "what was written cannot be read back"))
        return entry, True

    @contextlib.contextmanager
    def claim(self, key: Key) -> Iterator[bool]:
        """Claim work for this process while the context lasts; yield false if another process has claimed it.

        The claim of a process that is killed ends with it.
        """
        with self._lock(key, wait=False) as held:
            yield held

    @contextlib.contextmanager
    def _lock(self, key: Key, *, wait: bool) -> Iterator[bool]:
        lock = FileLock(self.folder / LOCKS / digest_of_key(key))
        try:
            lock.acquire(timeout=-1 if wait else 0)
        except Timeout:
            yield False
            return
        except (OSError, NotImplementedError):  # a file system without locks: work may be done twice, and is right
            yield True
            return
        try:
            yield True
        finally:
            with contextlib.suppress(OSError):
                Path(lock.lock_file).unlink(missing_ok=True)  # while it is held, so that few files stay
            lock.release()


def warn_of_damage(damaged: Iterable[str]) -> None:
    """Warn of damaged files, given in sentences; what they held is computed again."""
    for sentence in damaged:
        warnings.warn(f"{sentence}; it is computed again", SaqEvalWarning, stacklevel=4)


def make_store(folder: Path) -> Store:
    """Make a folder a store, if it is none yet, and return it.

    Raises:
        SaqEvalError: if it cannot be made, holds other files, or is a store of another version.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = [path for path in folder.iterdir() if not is_partial(path)]
        if not (folder / MARK).exists():  # asked last, since another process may be making the store
            if others:
                raise SaqEvalError(f"{folder} is not empty and no store: name an empty or new folder as the store")
            _mark(folder)
        (folder / LOCKS).mkdir(exist_ok=True)
    except OSError as error:
        raise SaqEvalError(f"the store {folder} cannot be made: {error.strerror}") from error
    return open_store(folder)


def _mark(folder: Path) -> None:
    """Make a folder a store with an identity of its own, in one step; another process may do it first."""
    partial = folder / f"{PARTIAL}{uuid.uuid4().hex}"
    about = {"layout": LAYOUT, "id": uuid.uuid4().hex}
    try:
        partial.write_text(json.dumps(about) + "\n", encoding="utf-8")
        try:
            os.link(partial, folder / MARK)
        except FileExistsError:
            return
        except OSError:  # a file system without links
            partial.replace(folder / MARK)
    finally:
        partial.unlink(missing_ok=True)


def identity_of(folder: Path) -> str:
    """Return the identity of the store in a folder, a random text that was chosen when it was made; "" if there is none."""
    try:
        return str(json.loads((folder / MARK).read_text(encoding="utf-8")).get("id", ""))
    except (OSError, ValueError, AttributeError, RecursionError):
        return ""


def open_store(folder: Path) -> Store:
    """Return the store in a folder.

    Raises:
        SaqEvalError: if the folder is no store, or one of another version.
    """
    try:
        about = json.loads((folder / MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SaqEvalError(f"{folder} is no store: there is no {MARK} in it that can be read") from error
    if not isinstance(about, dict) or about.get("layout") != LAYOUT:
        raise SaqEvalError(
            f"the store {folder} was made by another version of saq_eval: name a new folder as the store"
        )
    return Store(folder)
