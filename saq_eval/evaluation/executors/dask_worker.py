"""What a Dask worker does for a comparison: it gets the files that a call reads, once for each run, and makes the call.

The process that runs the comparison may not be reachable from a worker. So a worker asks by an event, which Dask brings there
through the scheduler, and gets the file in parts by the same way back.
"""

from __future__ import annotations

import functools
import os
import platform
import queue
import shutil
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cloudpickle
from filelock import FileLock

from saq_eval.core.code import checksum_of_files
from saq_eval.core.errors import CannotWrite, SaqEvalError, first_line
from saq_eval.core.extras import import_extra
from saq_eval.evaluation.executors.base import on_one_thread
from saq_eval.evaluation.shared import SETTINGS, close_at, shared_at
from saq_eval.evaluation.store.keys import OF_SCORES, versions
from saq_eval.evaluation.store.store import LOCKS, identity_of, make_store

_PATIENCE = 120.0  # seconds without a part of a file
_ONE_CALL = threading.Lock()  # a worker may have several threads; results and memory are those of one call at a time
_ARRIVING: dict[str, queue.SimpleQueue[bool | OSError]] = {}  # by request; for each part, whether it is the last


@dataclass(frozen=True)
class Sender:
    """The process that runs a comparison, as its workers know it.

    Attributes:
        run: a random text, the same for all calls that share their data. Files are asked for by events of this topic.
        software: what computes there; see `software`.
        store: the identity of its store; "" if the calls use none.
    """

    run: str
    software: Mapping[str, str]
    store: str = ""


@functools.cache
def software() -> Mapping[str, str]:
    """Return what determines this process's results: the versions of Python, of libraries, and of this package's code."""
    package = Path(__file__).parents[2]
    code = checksum_of_files(sorted(package.rglob("*.py")))
    return {"Python": ".".join(platform.python_version_tuple()[:2]), **versions(OF_SCORES), "code of saq_eval": code}


def compute(sender: Sender, files: Sequence[str], networks: Sequence[str], call: bytes) -> Any:
    """Make a call on a worker, on one thread, when no other call runs in this process.

    Args:
        files: the names of the shared files that the call reads.
        networks: the identities of the networks that it uses.
        call: the pickled function and arguments; see `Call`.

    Raises:
        SaqEvalError: if other software computes here, or the files do not come or cannot be read.
        CannotWrite: if the files cannot be kept.
    """
    worker = import_extra("distributed", "dask", "the executor dask").get_worker()
    with _ONE_CALL:
        _check(sender.software, worker.address)
        folder = _folder(worker, sender.run)
        for name in files:
            _get(name, sender, worker)
        try:
            function, arguments = cloudpickle.loads(call)
            for identity in networks if files else ():
                shared_at(str(folder)).network(identity)
        except Exception as error:  # code that only the sender has, or a network of the user
            raise SaqEvalError(
                f"the Dask worker {worker.address} cannot read what it is sent ({first_line(error)}): install there the "
                "packages and modules that define the networks, methods and metrics"
            ) from error
        return on_one_thread(function, (str(folder), *arguments))


def _check(sender: Mapping[str, str], address: str) -> None:
    own = software()
    for name, version in sender.items():
        if own.get(name) != version:
            raise SaqEvalError(
                f"the Dask worker {address} has another {name} than this process, {own.get(name)} and not {version}: "
                "install the same versions on all machines"
            )


def _folder(worker: Any, run: str) -> Path:
    """Return the folder of a run's files, which the workers of a machine share if they have the same scratch folder."""
    return Path(worker.local_directory).parent / f"saq_eval-{run}"


def _get(name: str, sender: Sender, worker: Any) -> None:
    """Get a shared file unless it is there."""
    folder = _folder(worker, sender.run)
    path = folder / name
    if path.exists():
        return
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        with FileLock(folder / f"{name}.lock"):  # another worker of this machine may be getting it
            if not path.exists():
                received = _ask(name, sender, worker)
                if name == SETTINGS:
                    _use_store(received, sender.store, folder / "store")
                received.replace(path)
    except OSError as error:
        raise CannotWrite(path, error) from error


def _ask(name: str, sender: Sender, worker: Any) -> Path:
    """Ask the sender for a file, and return where it is when it has come."""
    request = uuid.uuid4().hex
    parts = _ARRIVING[request] = queue.SimpleQueue()
    try:
        worker.log_event(sender.run, {"name": name, "request": request, "worker": worker.address})
        last: bool | OSError = False
        while not last:
            last = parts.get(timeout=_PATIENCE)
            if isinstance(last, OSError):
                raise last
    except queue.Empty:
        raise SaqEvalError(
            f"the Dask worker {worker.address} has waited {_PATIENCE:.0f} seconds for a file of the comparison"
        ) from None
    finally:
        del _ARRIVING[request]
    return _part(worker, sender.run, request)


def _part(worker: Any, run: str, request: str) -> Path:
    return _folder(worker, run) / f".partial-{request}"


def receive(run: str, request: str, data: bytes, last: bool, dask_worker: Any = None) -> None:
    """Take a part of a file that a call in this process waits for.

    Args:
        dask_worker: the worker, which Dask gives.
    """
    waiting = _ARRIVING.get(request)
    if waiting is None:  # it waits no longer
        return
    try:
        with _part(dask_worker, run, request).open("ab") as file:
            file.write(data)
        waiting.put(last)
    except OSError as error:
        waiting.put(error)


def _use_store(path: Path, identity: str, own: Path) -> None:
    """Make settings name a store of this machine, unless the sender's is seen here.

    Args:
        path: the settings' file.
        identity: that of the sender's store.
        own: the folder of the store of this machine.
    """
    try:
        settings = cloudpickle.loads(path.read_bytes())
    except Exception:  # the call says why, when it reads the settings
        return
    if not sees(settings.store, identity):
        path.write_bytes(cloudpickle.dumps(replace(settings, store=make_store(own).folder)))


def sees(folder: Path, identity: str) -> bool:
    """Return whether a folder is the store of an identity, and can be written; another machine may have another store there."""
    return bool(identity) and identity_of(folder) == identity and os.access(folder / LOCKS, os.W_OK)


def forget(runs: Sequence[str], dask_worker: Any = None) -> None:
    """Remove what this worker has got for runs, which have ended.

    Args:
        dask_worker: the worker, which Dask gives.
    """
    for run in runs:
        folder = _folder(dask_worker, run)
        close_at(str(folder))
        shutil.rmtree(folder, ignore_errors=True)
