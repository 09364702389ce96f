"""The upkeep of a store: what it holds, whether it is whole, and what can be removed from it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from saq_eval.core.errors import CannotWrite, SaqEvalError
from saq_eval.core.temporary import temporary_folder
from saq_eval.evaluation.store.entries import Key, digest_of_key, read_entry
from saq_eval.evaluation.store.files import write_text
from saq_eval.evaluation.store.store import KINDS, LOCKS, MARK, RUNS, STORE, Store, make_store, open_store

_FRESH = "fresh-"  # stores of runs that compute everything again, while they run
_IN_USE = "in-use-"


@dataclass(frozen=True)
class Held:
    """What a store holds of one kind: the number of entries, and their bytes."""

    kind: str
    entries: int
    bytes: int


@dataclass(frozen=True)
class Run:
    """The last run that has written to an output folder: the folder, and the hashes of the keys of what it needs."""

    output: str
    entries: frozenset[str]


def info(store: Store) -> list[Held]:
    """Return what a store holds, by kind."""
    found = []
    for kind in KINDS:
        sizes = [path.stat().st_size for path in _entries(store, kind)]
        found.append(Held(kind, len(sizes), sum(sizes)))
    return found


def verify(store: Store) -> Iterator[tuple[Path, str]]:
    """Read every entry; yield each file that is damaged, and what is wrong with it. Nothing is removed."""
    for kind in KINDS:
        for path in _entries(store, kind):
            try:
                entry = read_entry(path)
                if hashlib.blake2b(str(entry.key).encode(), digest_size=16).hexdigest() != path.stem:
                    yield path, f"{path} is damaged: it belongs to another key"
            except FileNotFoundError:  # another process has removed it
                continue
            except SaqEvalError as error:
                yield path, str(error)


def runs(store: Store) -> list[Run]:
    """Return the last run of each output folder that has used a store, in the order of the folders' names.

    Raises:
        SaqEvalError: if the file of a run cannot be read.
    """
    found = []
    for path in sorted((store.folder / RUNS).glob("*.json")):
        try:
            about = json.loads(path.read_text(encoding="utf-8"))
            found.append(Run(str(about["output"]), frozenset(map(str, about["entries"]))))
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise SaqEvalError(
                f"{path} cannot be read, so nothing says what its run needs: remove it, or repeat the run"
            ) from error
    return sorted(found, key=lambda run: run.output)


def find_store(folder: Path) -> Store:
    """Return the store in a folder, which is the store's own or an output folder that holds one.

    Raises:
        SaqEvalError: if there is none.
    """
    if not (folder / MARK).exists() and (folder / STORE / MARK).exists():
        return open_store(folder / STORE)
    return open_store(folder)


def _entries(store: Store, kind: str) -> list[Path]:
    return sorted((store.folder / kind).glob("??/*.safetensors"))


def prune(store: Store) -> tuple[int, int]:
    """Remove what the last run of no output folder needs; return the number of files removed, and their bytes.

    Raises:
        SaqEvalError: if a run uses the store now, or no run is known.
        CannotWrite: if files cannot be removed.
    """
    if _in_use(store):
        raise SaqEvalError(f"the store {store.folder} is in use: wait for the runs to end")
    known = runs(store)
    if not known:
        raise SaqEvalError(f"no comparison has used the store {store.folder} yet, so nothing says what may be removed")
    needed = frozenset[str]().union(*(run.entries for run in known))
    kept_files = {path for kind in KINDS for path in _entries(store, kind) if path.stem in needed}
    removed = [path for kind in KINDS for path in (store.folder / kind).rglob("*") if path.is_file()]
    removed = [path for path in removed if path not in kept_files]
    removed += [path for folder in store.folder.glob(f"{_FRESH}*") for path in folder.rglob("*") if path.is_file()]
    sizes = sum(path.stat().st_size for path in removed)
    try:
        for path in removed:
            path.unlink(missing_ok=True)
        for folder in store.folder.glob(f"{_FRESH}*"):
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise CannotWrite(store.folder, error) from error
    return len(removed), sizes


def note_run(store: Store, output: Path, keys: Iterable[Key], part: tuple[int, int] | None = None) -> None:
    """Note which entries the last run that writes to an output folder needs; see `prune`.

    Args:
        output: the output folder; the store's folder for a run without one.
        part: (number, count) for a part of a comparison. The run that writes the whole takes the place of the notes of parts.
    """
    whose = hashlib.blake2b(os.fsencode(output.absolute()), digest_size=8).hexdigest()
    what = "" if part is None else f", part {part[0]} of {part[1]}"
    path = store.folder / RUNS / f"{whose}{what.replace(', ', '-').replace(' ', '-')}.json"
    about = {"output": f"{output.absolute()}{what}", "entries": sorted({digest_of_key(key) for key in keys})}
    try:
        write_text(path, json.dumps(about))
        for former in path.parent.glob(f"{whose}-part-*.json") if part is None else ():
            former.unlink(missing_ok=True)
    except OSError as error:
        raise CannotWrite(path, error) from error


@contextlib.contextmanager
def opened(folder: Path | None, *, fresh: bool) -> Iterator[Store]:
    """Yield the store of a run.

    Args:
        folder: the store's folder; `None` for one that is removed at the end.
        fresh: whether the run does not see what the store holds. What it computes is moved to the store at its end.

    Raises:
        SaqEvalError: as `make_store` does.
        CannotWrite: if the store cannot be written.
    """
    if folder is None:
        with temporary_folder() as temporary:
            yield make_store(temporary / STORE)
        return
    store = make_store(folder)
    with _used(store):
        if not fresh:
            yield store
            return
        new = make_store(folder / f"{_FRESH}{uuid.uuid4().hex}")
        try:
            yield new
        finally:
            _move(new, store)


@contextlib.contextmanager
def _used(store: Store) -> Iterator[None]:
    """Show that a store is in use while the context lasts."""
    try:
        lock = FileLock(store.folder / LOCKS / f"{_IN_USE}{uuid.uuid4().hex}")
        lock.acquire()
    except NotImplementedError:  # a file system without locks
        yield
        return
    except OSError as error:
        raise SaqEvalError(f"the store {store.folder} cannot be written: {error.strerror}") from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _in_use(store: Store) -> bool:
    """Tell whether a run uses a store; locks of runs that were killed are removed."""
    for path in (store.folder / LOCKS).glob(f"{_IN_USE}*"):
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError, NotImplementedError):
            return True
        path.unlink(missing_ok=True)
        lock.release()
    return False


def _move(new: Store, store: Store) -> None:
    """Move the entries of one store to another in the same folder, in the place of what is there."""
    try:
        for kind in KINDS:
            for path in _entries(new, kind):
                target = store.folder / kind / path.parent.name / path.name
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)
    except OSError as error:
        raise CannotWrite(store.folder, error) from error
    finally:
        shutil.rmtree(new.folder, ignore_errors=True)
